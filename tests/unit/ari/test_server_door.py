"""Who is let in, and what of the others is said."""

from __future__ import annotations

import pytest

from daemon.ari.server_door import Entrance, Refusals

# "node:s3cret", "node:wrong", "node:" in base64
RIGHT, WRONG, EMPTY = b"Basic bm9kZTpzM2NyZXQ=", b"Basic bm9kZTp3cm9uZw==", b"Basic bm9kZTo="


@pytest.mark.parametrize(
    ("password", "authorization", "host", "admitted"),
    [
        ("s3cret", RIGHT, "192.0.2.1", True),
        ("s3cret", b"basic  " + RIGHT[6:], "192.0.2.1", True),
        ("s3cret", WRONG, "127.0.0.1", False),
        ("s3cret", RIGHT[:-2], "127.0.0.1", False),
        ("s3cret", b"Bearer " + RIGHT[6:], "127.0.0.1", False),
        ("s3cret", b"", "127.0.0.1", False),
        ("s3cret", b"\xff\xfe", "127.0.0.1", False),
        ("", b"", "127.0.0.1", True),
        ("", b"", "::1", True),
        ("", b"", "192.0.2.1", False),
        ("", EMPTY, "192.0.2.1", False),
        ("", RIGHT, "127.0.0.1", False),
    ],
)
def test_who_is_let_in(password: str, authorization: bytes, host: str, admitted: bool) -> None:
    assert Entrance("node", password).admits(authorization, host) is admitted


def test_a_password_is_not_shown() -> None:
    assert "s3cret" not in repr(Entrance("node", "s3cret"))


def test_each_reason_is_said_once_and_then_rarely() -> None:
    refusals = Refusals(every=300.0)
    assert refusals.refused("wrong password", 10.0) == "wrong password"
    assert refusals.refused("wrong password", 11.0) is None
    assert refusals.refused("no websocket", 12.0) == "no websocket"
    assert refusals.refused("wrong password", 13.0) is None
    assert refusals.refused("wrong password", 310.0) == "wrong password (2 more in the last 300 s)"
    assert refusals.refused("wrong password", 311.0) is None
    assert refusals.count == 6


def test_a_flood_of_different_reasons_is_bounded() -> None:
    refusals = Refusals(every=300.0, most=3)
    said = [refusals.refused(f"from 192.0.2.{n}: wrong password", float(n)) for n in range(100)]
    assert [sentence for sentence in said if sentence] == [
        "from 192.0.2.0: wrong password",
        "from 192.0.2.1: wrong password",
        "from 192.0.2.2: wrong password",
        "too many different reasons to name each",
    ]
    assert refusals.refused("from 192.0.2.200: no websocket", 600.0) == "from 192.0.2.200: no websocket"
