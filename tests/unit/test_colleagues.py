"""Whose recordings are named where nothing was found: only what the sender may ask for."""

from __future__ import annotations

import pytest

from daemon.carrying import colleagues
from daemon.directory.model import Directory, EndpointEntry
from daemon.jobs.model import Request
from daemon.mail.policy import policy_of
from daemon.settings import Settings

LIMITED = "desk@example.com"


def directory(**clients: str) -> Directory:
    """client=numbers, as c101="1011 1012"."""
    names = [(name, client[1:]) for client, numbers in clients.items() for name in numbers.split()]
    return Directory(endpoints={name: EndpointEntry(name, client) for name, client in names})


VOIP3 = directory(c101="1011 1012 1013", c205="2051 2052 1999", c="9001 9002")
VOIP4 = directory(c101="1014", c300="1013 3001")


@pytest.mark.parametrize(
    ("asked", "sender", "found"),
    [
        ("1011", "person@example.com", ["1012", "1014"]),  # 1013 is also 300's, on the other Asterisk
        ("1011,1012", "person@example.com", ["1014"]),
        ("1011,7777", "person@example.com", ["1012", "1014"]),
        ("2051", "person@example.com", ["1999", "2052"]),
        ("1011,2051", "person@example.com", []),  # of two clients
        ("1013", "person@example.com", []),  # whose it is depends on the Asterisk
        ("9001", "person@example.com", []),  # of no client
        ("7777", "person@example.com", []),  # unknown
        ("101", "person@example.com", []),  # a client's number is no extension
        ("1011", LIMITED, ["1012"]),  # may ask for 1011 to 1013
        ("1011", LIMITED.upper(), ["1012"]),
        ("2051", LIMITED, []),
    ],
)
def test_colleagues(asked: str, sender: str, found: list[str]) -> None:
    settings = Settings.model_validate(
        {"mail": {"sender": [{"address": LIMITED, "extensions": ["1011-1013"]}]}}
    )
    request = Request("r", "RAMAIS", sender, {"ramais": asked})
    assert sorted(colleagues([VOIP3, VOIP4], request, policy_of(settings))) == found
