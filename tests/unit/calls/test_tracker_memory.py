"""What a tracker knows survives its process: stored, taken up by another one, reconciled."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.ari.events import Channel, millis, parse
from daemon.calls import memory
from daemon.calls.cdr import read
from daemon.calls.reconcile import Live, LiveBridge
from daemon.calls.tracker import Tracker
from tests.unit.calls import expectations as ex
from tests.unit.calls.test_tracker_order import NAMED, PATHS, said
from tests.unit.calls.test_tracker_stories import name


class Mirror:
    """What Asterisk's REST interface would say: made from the events so far."""

    def __init__(self) -> None:
        self.channels: dict[str, dict[str, Any]] = {}
        self.bridges: dict[str, dict[str, Any]] = {}

    def see(self, event: dict[str, Any]) -> None:
        for key in NAMED:
            value = event.get(key)
            if isinstance(value, dict) and value.get("id") in self.channels:
                self.channels[value["id"]] = value
        if event["type"] == "ChannelCreated":
            self.channels[event["channel"]["id"]] = event["channel"]
        elif event["type"] == "ChannelDestroyed":
            self.channels.pop(event["channel"]["id"], None)
        elif event["type"] == "BridgeDestroyed":
            self.bridges.pop(event["bridge"]["id"], None)
        elif "bridge" in event:
            self.bridges[event["bridge"]["id"]] = event["bridge"]

    def live(self, at: float) -> Live:
        bridges = [
            LiveBridge(
                b["id"], b["bridge_type"], b["creator"], millis(b["creationtime"]), tuple(b["channels"])
            )
            for b in self.bridges.values()
        ]
        channels = [msgspec.convert(channel, Channel) for channel in self.channels.values()]
        return Live(round(at * 1000), tuple(channels), tuple(bridges))


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_a_restart_at_any_event_changes_nothing(path: Path) -> None:
    """Killed and started again at once, nothing missed: both processes together say what one would."""
    lines = ex.read(path)
    expected = set(said(ex.play(lines)[1]))
    rng = random.Random(path.name)
    for cut in {0, len(lines) - 1, *(rng.randrange(len(lines)) for _ in range(8))}:
        mirror, stored = Mirror(), dict[str, bytes]()
        first, second = Tracker("voip3"), Tracker("voip3")
        facts = []
        now = 0.0
        for at, event in lines[:cut]:
            now = max(now, at)
            facts += ex.until(first, now)
            assert isinstance(event, dict)
            mirror.see(event)
            facts += first.apply(ex.parse(msgspec.json.encode(event)), now)
        for key, record in first.changes().items():
            if record is None:
                stored.pop(key, None)
            else:
                stored[key] = record
        assert second.restore(stored.values(), now) == 0
        facts += second.resync(mirror.live(now), now)
        facts += ex.play(lines[cut:], second)[1]
        assert set(said(facts)) == expected, f"cut before event {cut}"
        assert second.size == 0


def test_what_is_over_is_forgotten() -> None:
    lines = ex.read(ex.TRACES / "22" / "ring-group.jsonl")
    tracker, stored = Tracker("voip3"), dict[str, bytes]()
    now = 0.0
    for at, event in lines:
        now = max(now, at)
        assert isinstance(event, dict)
        tracker.apply(ex.parse(msgspec.json.encode(event)), now)
        for key, record in tracker.changes().items():
            if record is None:
                stored.pop(key, None)
            else:
                stored[key] = record
    assert len(stored) == 1
    ex.until(tracker, now + 60)
    assert list(tracker.changes().values()) == [None]


def test_records_of_no_use_cost_only_themselves() -> None:
    lines = ex.read(ex.TRACES / "22" / "answered.jsonl")
    tracker = Tracker("voip3")
    for at, event in lines[:40]:
        tracker.apply(ex.parse(msgspec.json.encode(event)), at)
    (good,) = (record for record in tracker.changes().values() if record is not None)
    other = good.replace(b'"version":1', b'"version":999')
    again = Tracker("voip3")
    assert again.restore([b"", b"[]", b"{}", other, good, good], 0.0) == 5
    assert [view.call for view in again.calls()] == ["1795190745.0"]


def test_a_record_says_which_version_wrote_it() -> None:
    with pytest.raises(memory.Unreadable):
        memory.load(b'{"version":1}', 0.0)


def test_an_answer_that_was_lost_under_way_is_in_the_cdr() -> None:
    """Killed as the call was answered; Asterisk queued the rest of it, and it is over when it is asked."""
    path = ex.TRACES / "22-linkedid" / "answered.jsonl.gz"
    rows = list(read(path.with_name("answered.cdr.csv").read_text(encoding="utf-8").splitlines()))
    tracker = Tracker("voip3")
    facts = []
    for at, event in ex.read(path):
        if isinstance(event, str) or event["timestamp"][17:23] in ("06.560", "06.561"):
            continue
        facts += tracker.apply(parse(json.dumps(event).encode()), at)
        end = at
    assert [type(fact) for fact in facts] == [ex.Received]
    live = Live(round(end * 1000), ended={row.uniqueid: row for row in rows})
    facts += tracker.resync(live, end)
    facts += ex.until(tracker, end + 60)
    received, answered, ended = facts
    assert isinstance(answered, ex.Answered)
    assert (answered.answered_by, answered.recovered) == ("1013015", True)
    assert answered.answertime - received.created == 1446  # 06.000, as the CDR has it; created 04.554
    assert isinstance(ended, ex.Ended)
    assert (ended.disposition, ended.duration, ended.billsec) == ("ANSWERED", 7, 5)
    assert (ended.hangup_by, ended.answered_by, ended.cause) == ("1013010", "1013015", 16)
