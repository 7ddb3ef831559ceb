"""What stands in ZooKeeper's nodes: there and back, and what another version or a person wrote."""

from __future__ import annotations

import json

import pytest

from ha.codec import (
    Epoch,
    Handover,
    epoch_of,
    handover_of,
    history_data,
    history_of,
    member_data,
    member_of,
)
from ha.lease import token
from ha.model import Change, Member
from ha.paths import mark

RUBBISH = [b"", b"x", b"[]", b"null", b'"epoch"', b"\xff", b"{}", b'{"generation": true}']


def test_an_epoch_there_and_back() -> None:
    epoch = Epoch(2, 7, "AUDIO", "abc")
    assert epoch.token == token(2, 7)
    assert epoch_of(epoch.encoded(), 7) == epoch
    assert json.loads(epoch.encoded()) == {
        "generation": 2,
        "node": "AUDIO",
        "token": token(2, 7),
        "installation": "abc",
    }


@pytest.mark.parametrize("data", [*RUBBISH, b'{"generation": 0}', b'{"generation": "1"}'])
def test_what_is_no_epoch_is_none(data: bytes) -> None:
    assert epoch_of(data, 3) is None


def test_a_handover_there_and_back() -> None:
    for handover in (Handover(5, "AUDIO", "AUDIO2"), Handover(5, "AUDIO", why="its daemon ends")):
        assert handover_of(handover.encoded()) == handover
    for data in RUBBISH:
        assert handover_of(data) is None


def test_a_member_there_and_back() -> None:
    member = Member("AUDIO", "master", 110, {"serves": ["audio", "s3"], "versão": 1})
    assert member_of("AUDIO", member_data(member, "abc")) == (member, "abc")


@pytest.mark.parametrize("data", [*RUBBISH, b'{"mode": "king", "priority": "high", "facts": []}'])
def test_a_member_that_says_nothing_is_an_ordinary_one(data: bytes) -> None:
    assert member_of("AUDIO", data) == (Member("AUDIO"), "")


def test_a_history_there_and_back() -> None:
    changes = (Change(1.5, 7, "AUDIO", "nobody is master"), Change(2.0, 8, "AUDIO2", "switchover"))
    assert history_of(history_data(changes)) == changes
    assert history_of(b'{"changes": [1, {}, {"at": "x"}, {"at": 3, "epoch": "y"}]}') == (
        Change(3.0, 0, "", ""),
    )
    for data in RUBBISH:
        assert history_of(data) == ()


def test_a_broker_of_any_name_has_a_watermark() -> None:
    assert mark("voip3", "default") == "/pub/voip3/default"
    assert mark("voip3", "this/a%b") == "/pub/voip3/this%2Fa%25b"
