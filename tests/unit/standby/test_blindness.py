"""When a master that lost an Asterisk hands over."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from daemon.errors import TransientError
from daemon.standby.blindness import better_there, connections
from daemon.standby.handover import BlindMaster

LONG = 1000.0


@pytest.mark.parametrize(
    ("mine", "theirs", "master_for", "expected"),
    [
        ({"a": None}, {"a": True}, LONG, False),
        ({"a": 2.9}, {"a": True}, LONG, False),  # it may come back
        ({"a": 3.1}, {"a": True}, LONG, True),
        ({"a": 3.1}, {"a": False}, LONG, False),  # Asterisk itself is away
        ({"a": 3.1}, {}, LONG, False),  # it does not watch it
        ({"a": 3.1}, {"a": True}, 59.0, False),  # the hold-off
        ({"a": 3.1, "b": None}, {"a": True, "b": False}, LONG, False),  # each sees another one
        ({"a": 3.1, "b": None}, {"a": True, "b": True}, LONG, True),
        ({"a": 9.0, "b": 9.0}, {"a": True, "b": False}, LONG, True),
        ({"a": 9.0, "b": 1.0, "c": None}, {"a": True, "b": True, "c": False}, LONG, True),
        ({"a": 9.0, "b": None}, {"a": True}, LONG, True),  # b is watched by this node only
        ({}, {"a": True}, LONG, False),
    ],
)
def test_better_there(
    mine: Mapping[str, float | None], theirs: Mapping[str, bool], master_for: float, expected: bool
) -> None:
    assert (better_there(mine, theirs, master_for) is not None) is expected


def test_two_nodes_never_both_find_the_other_better() -> None:
    states = [{"a": a, "b": b} for a in (None, 9.0) for b in (None, 9.0)]
    for one in states:
        for two in states:
            there = better_there(one, {name: gone is None for name, gone in two.items()}, LONG)
            back = better_there(two, {name: gone is None for name, gone in one.items()}, LONG)
            assert there is None or back is None


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, {}),
        ({"asterisk": {"a": True, "b": False}}, {"a": True, "b": False}),
        ({"asterisk": {"a": "yes"}}, {"a": False}),
        ({"asterisk": ["a"]}, {}),
        ({"asterisk": None}, {}),
    ],
)
def test_facts_of_another_version_are_no_connections(
    facts: Mapping[str, object], expected: Mapping[str, bool]
) -> None:
    assert connections(facts) == expected


class Now:
    """A monotonic clock moved by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_service_asks_once_it_is_worth_it() -> None:
    now, mine = Now(), {"a": True}
    asked: list[tuple[str, str]] = []
    others: dict[str, Mapping[str, object]] = {
        "AUDIO": {"asterisk": {"a": False}},
        "AUDIO2": {"asterisk": {"a": True}},
    }
    blind = BlindMaster(lambda: mine, lambda: others, lambda to, why: asked.append((to, why)), clock=now)
    now.seconds = 100.0
    assert not blind.look(since=0.0)
    mine["a"] = False
    assert not blind.look(since=0.0), "it is gone for no time yet"
    assert blind.status()["gone"] == ["a"]
    now.seconds = 104.0
    assert blind.look(since=0.0)
    assert asked == [("AUDIO2", "the connection to a is gone for 4 s, and that node has it")]
    mine["a"] = True
    assert not blind.look(since=0.0)
    mine["a"] = False
    now.seconds = 106.0
    assert not blind.look(since=0.0), "gone anew: it counts from now"


def test_a_refusal_is_said_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    now = Now()

    def refuse(to: str, why: str) -> None:
        raise TransientError("AUDIO2 is a slave by its mode")

    blind = BlindMaster(
        lambda: {"a": False}, lambda: {"AUDIO2": {"asterisk": {"a": True}}}, refuse, clock=now
    )
    blind.look(since=-100.0)
    for now.seconds in (4.0, 5.0, 6.0):
        assert not blind.look(since=-100.0)
    assert blind.status()["refused"] == "AUDIO2 is a slave by its mode"
    assert len(caplog.records) == 1
