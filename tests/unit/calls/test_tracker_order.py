"""The messages do not depend on how the events of different channels interleave, nor on what is broken."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.ari.events import Channel
from daemon.calls.model import Fact
from daemon.calls.reconcile import Live
from daemon.calls.tracker import Tracker
from tests.unit.calls import expectations as ex
from tests.unit.calls.test_tracker_stories import name, stories

# What happens to the socket itself is part of these two; the others are only about events.
PATHS = [p for p in stories(ex.REFERENCE + ex.LINKEDID) if ex.story(p) not in ("killed", "stopped")]
NAMED = (
    "channel caller peer transferee transfer_target transferer_first_leg transferer_second_leg "
    "replace_channel forwarded"
).split()


def channels(event: dict[str, Any]) -> set[str]:
    """The channels whose own order an event belongs to."""
    return {event[key]["id"] for key in NAMED if isinstance(event.get(key), dict) and "id" in event[key]}


def merged_otherwise(lines: list[ex.Line], rng: random.Random, *, by_channel: bool) -> list[ex.Line]:
    """Another merge of the same channels: each keeps its order, no event moves by more than 2 s.

    `by_channel`: whole channels run ahead or lag; else each event by itself.
    """
    newest: dict[str, float] = {}
    shift: dict[str, float] = {}
    moved: list[tuple[float, int, ex.Line]] = []
    for index, (at, event) in enumerate(lines):
        assert isinstance(event, dict)
        named = channels(event)
        offset = rng.uniform(-2, 2)
        if by_channel and named:
            offset = shift.setdefault(min(named), offset)
        when = min(at + 2, max([at + offset, *(newest.get(channel, 0.0) for channel in named)]))
        newest.update(dict.fromkeys(named, when))
        moved.append((when, index, (when, event)))
    return [line for _, _, line in sorted(moved, key=lambda item: item[:2])]


def said(facts: list[Fact]) -> list[str]:
    """The facts without what may differ between two copies, in an order of their own."""
    rows = []
    for fact in facts:
        fields = {
            key: getattr(fact, key) for key in fact.__dataclass_fields__ if key not in ("seq", "recovered")
        }
        rows.append(f"{type(fact).__name__} {sorted(fields.items())}")
    return sorted(rows)


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_any_interleaving_says_the_same(path: Path) -> None:
    lines = ex.read(path)
    expected = said(ex.play(lines)[1])
    for seed in range(8):
        other = merged_otherwise(lines, random.Random(seed), by_channel=seed % 2 == 0)
        tracker, facts = ex.play(other)
        assert said(facts) == expected, f"seed {seed}"
        assert tracker.size == 0


@pytest.mark.parametrize("path", [p for p in PATHS if p.parent.name in ex.LINKEDID], ids=name)
def test_two_sockets_say_the_same(path: Path) -> None:
    second = path.with_name(path.name.replace(".jsonl", ".second.jsonl"))
    assert said(ex.play(ex.read(path))[1]) == said(ex.play(ex.read(second))[1])


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_channelvars_change_nothing(path: Path) -> None:
    assert said(ex.play(ex.read(path))[1]) == said(ex.play(ex.read(path, channelvars=False))[1])


RING_GROUP = ex.read(ex.TRACES / "22" / "ring-group.jsonl")
TRANSFER = ex.read(ex.TRACES / "22-linkedid" / "attended-transfer.jsonl.gz")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_lost_and_shuffled_events_leave_nothing_behind(data: st.DataObject) -> None:
    """Whatever is missing or out of place: no exception, and reconciliation empties the tracker."""
    lines = list(data.draw(st.sampled_from([RING_GROUP, TRANSFER])))
    kept = data.draw(st.lists(st.sampled_from(range(len(lines))), min_size=1, max_size=len(lines)))
    tracker = Tracker("voip3")
    _, facts = ex.play([lines[index] for index in kept], tracker)
    now = max(at for at, _ in lines) + 7200
    facts += tracker.resync(Live(0), now)
    facts += ex.until(tracker, now + 3600)
    assert tracker.size == 0
    assert tracker.active == 0
    calls = {fact.call for fact in facts}
    for call in calls:
        kinds = [type(fact) for fact in facts if fact.call == call]
        assert kinds[0] is ex.Received
        assert kinds[-1] is ex.Ended
        assert kinds.count(ex.Ended) == kinds.count(ex.Received) == 1
        assert kinds.count(ex.Answered) <= 1


def test_a_call_cut_in_the_middle_is_ended_by_reconciliation() -> None:
    """The connection is lost while two talk; afterwards one of the two calls is still there."""
    lines = ex.read(ex.TRACES / "22" / "killed.jsonl")
    cut = next(index for index, (_, event) in enumerate(lines) if event == "closed")
    tracker, facts = ex.play(lines[1:cut])
    lost = lines[cut][0]
    assert [type(fact) for fact in facts] == [ex.Received, ex.Received, ex.Answered, ex.Answered]
    tracker.lost(lost)
    gone, alive = (view.call for view in tracker.calls())
    living = next(view.legs for view in tracker.calls() if view.call == alive)
    live = Live(round(lost * 1000) + 4000, tuple(Channel(id=leg, name=f"PJSIP/{leg}") for leg in living))
    told = tracker.resync(live, lost + 4) + ex.until(tracker, lost + 60)
    assert [(type(fact), fact.call, fact.recovered) for fact in told] == [(ex.Ended, gone, True)]
    assert isinstance(told[0], ex.Ended)
    assert told[0].endtime == round(lost * 1000)
    assert [view.call for view in tracker.calls()] == [alive]
