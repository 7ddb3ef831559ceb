"""Dedup keys and rows. No SQLite here: tests/integration/test_outbox_store.py has the file."""

from __future__ import annotations

import pytest

from daemon.outbox.rows import key_of, row_of
from tests.unit.outbox.make import message


@pytest.mark.parametrize(
    ("message_id", "key"),
    [
        ("019a2b3c-4d5e-7f60-8123-456789abcdef", bytes.fromhex("019a2b3c4d5e7f608123456789abcdef")),
        ("019A2B3C-4D5E-7F60-8123-456789ABCDEF", b"019A2B3C-4D5E-7F60-8123-456789ABCDEF"),
        ("019a2b3c-4d5e-7f60-8123-456789abcdeg", b"019a2b3c-4d5e-7f60-8123-456789abcdeg"),
        ("019a2b3c-4d5e-7f60-8123-456789abcde ", b"019a2b3c-4d5e-7f60-8123-456789abcde "),
        ("019a2b3c-4d5e-7f6-08123-456789abcdef", b"019a2b3c-4d5e-7f6-08123-456789abcdef"),
        ("short", b"short"),
        ("condomínio", "condomínio".encode()),
        ("", b""),
    ],
)
def test_key_of(message_id: str, key: bytes) -> None:
    assert key_of(message_id) == key


def test_row_of() -> None:
    row = row_of(7, message("x", order="voip3/9", broker="main"))
    assert row[0] == 7
    assert row[3:7] == ("main", "voip3/9", "received-call", "call.received-call.101.voip3")
    assert row[7] == '{"server":"voip3","client":"101","node":"AUDIO2"}'


def test_a_body_that_is_no_utf8_is_refused() -> None:
    from dataclasses import replace

    with pytest.raises(UnicodeDecodeError):
        row_of(1, replace(message("x"), body=b"\xff"))
