"""Signed links: what is ours, what is not."""

from __future__ import annotations

import pytest

from daemon.recordings import links
from daemon.recordings.links import Link

KEY = b"k" * 32
LINK = Link("0123456789abcdef0123456789abcdef", 7, 1_800_000_000)


def test_a_link_is_read_as_it_was_signed() -> None:
    token = links.sign(KEY, LINK)
    assert len(token) == 52
    assert links.read(KEY, token) == LINK


def test_another_key_did_not_sign_it() -> None:
    assert links.read(b"x" * 32, links.sign(KEY, LINK)) is None


def test_no_changed_character_passes() -> None:
    token = links.sign(KEY, LINK)
    for at in range(52):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert links.read(KEY, changed) is None


@pytest.mark.parametrize(
    "token", ["", "a", "/" * 52, "é" * 52, "A" * 53, "A" * 52, "../" * 17 + "a", "A" * 51 + "\n"]
)
def test_garbage(token: str) -> None:
    assert links.read(KEY, token) is None


def test_a_publication_is_repeatable_and_another_requests_is_another() -> None:
    one = links.publication_id(KEY, "20251027_110000_1a2b3c4d")
    assert one == links.publication_id(KEY, "20251027_110000_1a2b3c4d")
    assert one != links.publication_id(KEY, "20251027_110000_1a2b3c4e")
    assert one != links.publication_id(b"x" * 32, "20251027_110000_1a2b3c4d")
    assert len(bytes.fromhex(one)) == 16
