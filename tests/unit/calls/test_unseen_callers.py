"""A leg is alive whose caller, never seen, is over: one call all the same, under the caller's id."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from daemon.ari.events import Channel, parse
from daemon.calls.cdr import read
from daemon.calls.model import Answered, Ended, Fact, Received
from daemon.calls.reconcile import Live
from daemon.calls.tracker import Tracker

CALLER, CALLEE = "1763900000.263", "1763900000.264"
AT = 1763900009.0  # when Asterisk is asked

ROW = (
    '"","1013010","1013015","phones","x","PJSIP/1013010-00000001","PJSIP/1013015-00000002","Dial",'
    '"PJSIP/1013015","2025-11-23 12:13:20","2025-11-23 12:13:22","2025-11-23 12:13:27",7,5,"ANSWERED",'
    f'"DOCUMENTATION","{CALLER}",""'
)


def channel(id_: str, name: str, state: str = "Up", linkedid: str = CALLER) -> dict[str, Any]:
    return {
        "id": id_,
        "name": name,
        "state": state,
        "caller": {"name": "", "number": name.partition("/")[2].partition("-")[0]},
        "connected": {"name": "", "number": "1013010"},
        "dialplan": {"context": "phones", "exten": "", "priority": 1, "app_name": "AppDial", "app_data": ""},
        "creationtime": "2025-11-23T12:13:20.300+0000",
        "channelvars": {"CHANNEL(linkedid)": linkedid, "MIXMONITOR_FILENAME": ""},
    }


CHANNEL = channel(CALLEE, "PJSIP/1013015-00000002")


def destroyed(of: dict[str, Any], at: str) -> bytes:
    return json.dumps(
        {"type": "ChannelDestroyed", "timestamp": at, "cause": 16, "cause_txt": "Normal", "channel": of}
    ).encode()


def told(live: Live, *events: bytes) -> list[Fact]:
    tracker = Tracker("pbx", is_endpoint=str.isdigit)
    facts = list(tracker.resync(live, AT))
    for event in events:
        facts += tracker.apply(parse(event), AT + 1)
    facts += tracker.tick(AT + 60)
    assert tracker.size == 0
    assert tracker.knows(CALLER), "the CDR must not tell it again"
    return facts


def live(*channels: dict[str, Any], row: bool) -> Live:
    found = tuple(msgspec.convert(each, Channel) for each in channels)
    return Live(round(AT * 1000), found, ended={each.uniqueid: each for each in read([ROW] if row else [])})


def test_the_cdr_knows_the_caller() -> None:
    received, answered, ended = told(
        live(CHANNEL, row=True), destroyed(CHANNEL, "2025-11-23T12:13:27.100+0000")
    )
    assert received == Received(CALLER, 1763900000_000, "1013010", "1013015", 1, True)
    assert isinstance(answered, Answered)
    assert (answered.answertime, answered.answered_by) == (1763900002_000, "1013015")
    assert isinstance(ended, Ended)
    assert (ended.disposition, ended.duration, ended.billsec) == ("ANSWERED", 7, 5)
    assert (ended.answered_by, ended.endtime) == ("1013015", 1763900007_100)


def test_nobody_knows_the_caller() -> None:
    """Who called is what the callee's phone shows; the id says when."""
    received, answered, ended = told(
        live(CHANNEL, row=False), destroyed(CHANNEL, "2025-11-23T12:13:30.000+0000")
    )
    assert received == Received(CALLER, 1763900000_000, "1013010", "1013015", 1, True)
    assert isinstance(answered, Answered)
    assert answered.answered_by == "1013015"
    assert isinstance(ended, Ended)
    assert (ended.disposition, ended.recovered) == ("ANSWERED", True)


def test_a_phone_that_still_rings() -> None:
    ringing = channel(CALLEE, "PJSIP/1013015-00000002", "Ringing")
    received, ended = told(live(ringing, row=False), destroyed(ringing, "2025-11-23T12:13:30.000+0000"))
    assert (received.call, received.destiny) == (CALLER, "1013015")
    assert isinstance(ended, Ended)
    assert ended.disposition == "NO ANSWER"


def test_two_legs_of_one_unseen_caller_are_one_call() -> None:
    """Transferred: the two others go on under the first one's linkedid."""
    other = channel("1763900003.265", "PJSIP/1013020-00000003")
    facts = told(
        live(CHANNEL, other, row=True),
        destroyed(CHANNEL, "2025-11-23T12:13:30.000+0000"),
        destroyed(other, "2025-11-23T12:13:31.000+0000"),
    )
    assert [(type(fact), fact.call) for fact in facts] == [
        (Received, CALLER), (Answered, CALLER), (Ended, CALLER),
    ]  # fmt: skip


def test_the_answering_leg_is_over_too_and_was_never_seen() -> None:
    """The caller was known from before; only the CDR's row names who answered."""
    caller = channel(CALLER, "PJSIP/1013010-00000001", "Ring")
    caller["dialplan"] |= {"exten": "1013015", "app_name": "Dial"}
    created = json.dumps(
        {"type": "ChannelCreated", "timestamp": "2025-11-23T12:13:20.300+0000", "channel": caller}
    ).encode()
    tracker = Tracker("pbx", is_endpoint=str.isdigit)
    facts = list(tracker.apply(parse(created), AT - 9))
    tracker.lost(AT - 8)
    facts += tracker.resync(live(row=True), AT)
    facts += tracker.tick(AT + 60)
    _, answered, ended = facts
    assert isinstance(answered, Answered)
    assert (answered.answertime, answered.answered_by) == (1763900002_000, "1013015")
    assert isinstance(ended, Ended)
    assert (ended.answered_by, ended.duration, ended.billsec) == ("1013015", 6, 5)


def test_an_end_that_was_still_under_way_is_no_recovered_one() -> None:
    """Asterisk says that the channel is gone, and the event that tells so comes a moment later."""
    echo = channel(CALLER, "PJSIP/1013010-00000001", linkedid=CALLER)
    echo["dialplan"] |= {"exten": "900", "app_name": "Echo"}
    created = json.dumps(
        {
            "type": "ChannelCreated",
            "timestamp": "2025-11-23T12:13:20.300+0000",
            "channel": {**echo, "state": "Ring"},
        }
    ).encode()
    tracker = Tracker("pbx", is_endpoint=str.isdigit)
    tracker.apply(parse(created), AT - 9)
    tracker.lost(AT - 1)
    tracker.resync(live(row=False), AT)
    tracker.apply(parse(destroyed(echo, "2025-11-23T12:13:28.900+0000")), AT + 0.1)
    (ended,) = tracker.tick(AT + 60)
    assert isinstance(ended, Ended)
    assert (ended.recovered, ended.endtime, ended.cause) == (False, 1763900008_900, 16)


def test_both_legs_ended_with_the_callers_row() -> None:
    """The called leg has no row of its own: it did not go on until the connection was lost."""
    caller = channel(CALLER, "PJSIP/1013010-00000001", "Ring")
    caller["dialplan"] |= {"exten": "1013015", "app_name": "Dial"}
    callee = channel(CALLEE, "PJSIP/1013015-00000002", "Down")
    tracker = Tracker("pbx", is_endpoint=str.isdigit)
    for of in (caller, callee):
        created = {"type": "ChannelCreated", "timestamp": "2025-11-23T12:13:20.300+0000", "channel": of}
        tracker.apply(parse(json.dumps(created).encode()), AT - 9)
    tracker.lost(AT)
    facts = list(tracker.resync(live(row=True), AT + 1)) + list(tracker.tick(AT + 60))
    ended = facts[-1]
    assert isinstance(ended, Ended)
    assert (ended.call, ended.endtime, ended.billsec) == (CALLER, 1763900007_000, 5)
    assert ended.answered_by == "1013015"


def test_two_rows_that_name_one_unseen_peer() -> None:
    """An attended transfer of which only the two callers were known: nothing is left behind."""
    other, rows = "1763900001.266", [ROW]
    rows.append(
        ROW.replace(CALLER, other)
        .replace("PJSIP/1013010-00000001", "PJSIP/1013020-00000004")
        .replace(":20", ":21")
    )
    tracker = Tracker("pbx", is_endpoint=str.isdigit)
    for id_, name in ((CALLER, "PJSIP/1013010-00000001"), (other, "PJSIP/1013020-00000004")):
        caller = channel(id_, name, "Ring", linkedid=id_)
        caller["dialplan"] |= {"exten": "1013015", "app_name": "Dial"}
        created = {"type": "ChannelCreated", "timestamp": "2025-11-23T12:13:21.300+0000", "channel": caller}
        tracker.apply(parse(json.dumps(created).encode()), AT - 9)
    tracker.lost(AT - 1)
    facts = list(tracker.resync(Live(round(AT * 1000), ended={row.uniqueid: row for row in read(rows)}), AT))
    facts += tracker.tick(AT + 60)
    assert tracker.size == 0
    assert {fact.call for fact in facts if isinstance(fact, Ended)} == {CALLER, other}
