"""Calls that nobody saw, out of the CDR rows of the recorded stories."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.calls.cdr import missed, read
from daemon.calls.tracker import all_digits
from tests.unit.calls import expectations as ex
from tests.unit.calls.test_tracker_cdr import PATHS
from tests.unit.calls.test_tracker_stories import TABLE, name

# What the CDR does not tell as a person would: it names the transfer's target or the agent, not who was
# dialled first; it knows nothing of a fetched or merged call, and not the agent of a click to call.
DESTINY_DIFFERS = {
    "attended-transfer-ringing",
    "blind-transfer-by-callee",
    "originate-app",
    "click-to-call-agent-silent",
}
NO_ROWS = {"killed"}
# Where a channel is another row's peer too, the CDR alone can't tell whether it made a call of its own;
# and an id that a program chose has no time in it.
NOT_TOLD_APART = {
    "ami-bridge",
    "confbridge",
    "park-and-fetch",
    "click-to-call-through-local",
    "click-to-call",
}


def facts_of(path: Path, since: int = 0) -> dict[str, list[ex.Fact]]:
    rows = path.with_name(ex.story(path) + ".cdr.csv").read_text(encoding="utf-8").splitlines()
    return dict(missed(read(rows), lambda _id: False, since, all_digits))


@pytest.mark.parametrize("path", [p for p in PATHS if ex.story(p) not in NO_ROWS | NOT_TOLD_APART], ids=name)
def test_the_same_calls_as_seen_live(path: Path) -> None:
    """As many calls, of the same ids; received first, ended last, at most one answer."""
    seen = {fact.call for fact in ex.play(ex.read(path))[1]}
    told = facts_of(path)
    assert set(told) == seen
    for facts in told.values():
        assert isinstance(facts[0], ex.Received)
        assert isinstance(facts[-1], ex.Ended)
        assert all(fact.recovered for fact in facts)
        assert [fact.seq for fact in facts] == list(range(1, len(facts) + 1))


@pytest.mark.parametrize("path", [p for p in PATHS if ex.story(p) not in NO_ROWS | NOT_TOLD_APART], ids=name)
def test_origin_and_destiny(path: Path) -> None:
    told = facts_of(path)
    story = ex.story(path)
    if story == "thirty-calls" or story in DESTINY_DIFFERS:
        return
    expected = TABLE[story, "linkedid"]
    assert len(told) == len(expected)
    for wanted, facts in zip(expected, told.values(), strict=True):
        assert (facts[0].origin, facts[0].destiny) == (wanted.origin, wanted.destiny)


ANSWERED = (
    '"","1013010","1013015","internal","x","PJSIP/1013010-00000000","PJSIP/1013015-00000001","Dial",'
    '"PJSIP/1013015,20,T","2025-10-27 08:00:00","2025-10-27 08:00:02","2025-10-27 08:00:07",7,5,'
    '"ANSWERED","DOCUMENTATION","1761562800.42",""'
)


def test_a_plain_answered_row() -> None:
    (facts,) = missed(read([ANSWERED]), lambda _id: False, 0, all_digits).values()
    received, answered, ended = facts
    assert (received.call, received.created, received.origin) == ("1761562800.42", 1761562800000, "1013010")
    assert isinstance(answered, ex.Answered)
    assert (answered.answertime, answered.answered_by) == (1761562802000, "1013015")
    assert isinstance(ended, ex.Ended)
    assert (ended.endtime, ended.duration, ended.billsec) == (1761562807000, 7, 5)
    assert ended.disposition == "ANSWERED"


def test_known_and_older_calls_are_left_alone() -> None:
    assert missed(read([ANSWERED]), lambda id_: id_ == "1761562800.42", 0, all_digits) == {}
    assert missed(read([ANSWERED]), lambda _id: False, 1761562801000, all_digits) == {}


@pytest.mark.parametrize(
    "line",
    [
        "",
        '"unfinished',
        ",".join('"x"' for _ in range(18)),
        ANSWERED.replace("1761562800.42", "click-1"),
        "\x00,\x00",
    ],
)
def test_rows_that_say_nothing_useful(line: str) -> None:
    assert list(read([line])) == []


@pytest.mark.parametrize(
    ("start", "created"),
    [
        ("2026-11-21 01:32:25", 1795235545000),
        # Asterisk wrote this of a channel 1795235545.84 whose creationtime was 01:32:26.002.
        ("2026-11-21 01:32:26", 1795235546000),
        ("2026-11-21 01:32:44", 1795235545000),  # a later row of the same channel
        ("2026-11-20 22:32:26", 1795235546000),  # the Asterisk's time zone does not matter
        ("", 1795235545000),
    ],
)
def test_the_turn_of_a_second(start: str, created: int) -> None:
    row = (
        f'"","1013010","1013013","internal","1013010","PJSIP/1013010-0000002a","PJSIP/1013013-0000002b","Dial",'
        f'"PJSIP/1013013","{start}","2026-11-21 01:32:26","2026-11-21 01:32:27",1,1,"ANSWERED",'
        f'"DOCUMENTATION","1795235545.84",""'
    )
    assert [each.created for each in read([row])] == [created]


def test_the_turn_of_a_minute() -> None:
    row = (
        '"","1","2","internal","1","PJSIP/1-0000002a","PJSIP/2-0000002b","Dial","PJSIP/2",'
        '"2026-11-21 01:33:00","2026-11-21 01:33:00","2026-11-21 01:33:01",1,1,"ANSWERED","DOCUMENTATION",'
        '"1795235579.84",""'
    )
    assert [each.created for each in read([row])] == [1795235580000]
