"""What is decided about a mailbox without asking it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mail.imap_rules import (
    BodyHash,
    Start,
    aside_note,
    body_sha256,
    candidates,
    message_id_of,
    parse_name,
    start_note,
    unhandled,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()


def test_what_is_looked_for() -> None:
    assert candidates(NOW, 14, keywords=True) == [
        "UNDELETED", "SINCE", "15-Feb-2026", "UNKEYWORD", "$arimonitor-done",
    ]  # fmt: skip
    assert candidates(NOW, 1, keywords=False) == ["UNDELETED", "SINCE", "28-Feb-2026"]
    assert unhandled(keywords=True) == ["OR", "UNSEEN", "KEYWORD", "$arimonitor-accepted"]
    assert unhandled(keywords=False) == ["UNSEEN"]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc"]), max_size=30), st.integers(1, 7))
def test_a_hash_does_not_depend_on_the_pieces(parts: list[bytes], step: int) -> None:
    whole = b"".join(parts)
    expected = hashlib.sha256(whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).hexdigest()
    body = BodyHash()
    for at in range(0, len(whole), step):
        body.feed(whole[at : at + step])
    assert body.hexdigest() == expected
    assert body_sha256([whole]) == expected


@pytest.mark.parametrize("name", ["", "1", "1.2.3", "-1.2", "1.x", "1.2 ", "1" * 13 + ".1", "../1.2"])
def test_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a mail"):
        parse_name(name)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"Subject: x\r\nMessage-ID: <a.b@example.com>\r\n\r\n", "<a.b@example.com>"),
        (b"message-id:\r\n <a@example.com>\r\n\r\n", "<a@example.com>"),
        (b"X-Message-ID: <a@example.com>\r\n\r\n", ""),
        (b"Message-ID: <a b@example.com>\r\n\r\n", ""),
        (b'Message-ID: <a"b@example.com>\r\n\r\n', ""),
        (b"Message-ID: <\xe9@example.com>\r\n\r\n", ""),
        (b"", ""),
    ],
)
def test_message_ids(header: bytes, found: str) -> None:
    assert message_id_of(header) == found


def test_the_start_is_kept_in_a_mail() -> None:
    start = Start(validity=7, uid=120, at=1_761_562_800)
    note = start_note("INBOX", start)
    (line,) = [each for each in note.split(b"\r\n") if each.startswith(b"X-Arimonitor-Start:")]
    assert Start.parse(line.decode().partition(":")[2]) == start
    assert Start.parse("7 120") is None
    assert Start.parse("7 120 1 1") is None


@given(st.text(max_size=2000))
def test_a_reason_makes_no_header(reason: str) -> None:
    note = aside_note("7.120", reason, "<a@example.com>", NOW)
    head = note.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert {line.split(b":")[0] for line in head} == {
        b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted", b"In-Reply-To",
        b"References", b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version",
    }  # fmt: skip
