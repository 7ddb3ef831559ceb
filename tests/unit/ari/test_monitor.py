"""From the inbox to the store, with a small recording tracker."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from daemon.ari.events import Event
from daemon.ari.inbox import Batch, Inbox, Lost, Mark, Opened, Overflow
from daemon.ari.monitor import HEARD, Monitor, Tap
from daemon.calls.model import Fact, Received
from daemon.errors import TransientError
from daemon.outbox.message import Message
from daemon.runtime.backoff import Backoff


def event(kind: str, channel: str = "1.1") -> bytes:
    return json.dumps({"type": kind, "channel": {"id": channel}}).encode()


def received(call: str) -> Received:
    return Received(call, created=0, origin=None, destiny=None, seq=1, recovered=False)


def rendered(fact: Fact) -> Message | None:
    if fact.call == "silent":
        return None
    if fact.call == "unprintable":
        raise ValueError("cannot render")
    return Message(fact.call, "received-call", fact.call, "", "", {}, 0, b"")


@dataclass
class RecordingTracker:
    """One fact per ChannelCreated; fails on Dial."""

    seen: list[tuple[str, str, float]] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    active: int = 0

    def apply(self, event: Event, now: float) -> list[Fact]:
        channel = event.channel.id if event.channel else ""
        self.seen.append((event.type, channel, now))
        if event.type == "Dial":
            raise RuntimeError("a bug")
        return [received(channel)] if event.type == "ChannelCreated" else []

    def tick(self, now: float) -> list[Fact]:
        self.ticks.append(now)
        return []

    def changes(self) -> dict[str, bytes | None]:
        """The last channel that was seen is what this tracker remembers."""
        return {"last": self.seen[-1][1].encode()} if self.seen else {}


class Store:
    """Keeps what it is given; fails as often as it is told; stops the monitor after `wanted`."""

    def __init__(self, stop: threading.Event, wanted: int, failures: int = 0) -> None:
        self.ids: list[str] = []
        self.calls = 0
        self.dies = False
        self.state: dict[str, bytes | None] = {}
        self._stop, self._wanted, self._failures = stop, wanted, failures

    def __call__(self, messages: Sequence[Message], state: Mapping[str, bytes | None]) -> int:
        self.calls += 1
        if self.dies:
            raise OSError("not translated")
        if self.calls <= self._failures:
            raise TransientError("the disk is full")
        self.ids += [message.id for message in messages]
        self.state.update(state)
        if len(self.ids) >= self._wanted:
            self._stop.set()
        return len(messages)


def monitor_of(
    *items: Batch | Mark,
    wanted: int = 1,
    failures: int = 0,
    on_mark: Callable[[Mark], Sequence[Fact]] | None = None,
    gap_since: Callable[[], float | None] = lambda: None,
) -> tuple[Monitor, RecordingTracker, Store, threading.Event]:
    inbox = Inbox()
    for item in items:
        if isinstance(item, Batch):
            assert inbox.put(item, 1)
        elif not isinstance(item, Overflow):
            inbox.mark(item)
    stop, tracker = threading.Event(), RecordingTracker()
    store = Store(stop, wanted, failures)
    monitor = Monitor(
        "pbx", inbox, tracker, rendered, store, on_mark=on_mark, gap_since=gap_since, clock=lambda: 1000.0,
        backoff=Backoff(first=0.001, factor=1, cap=0.001),
    )  # fmt: skip
    return monitor, tracker, store, stop


def test_events_keep_their_order_and_their_time() -> None:
    first = [event("ChannelCreated", f"{n}") for n in range(450)]
    second = [event("ChannelDestroyed", f"{n}") for n in range(450)]
    monitor, tracker, store, stop = monitor_of(Batch(5.0, first), Batch(6.0, second), wanted=450)
    monitor.run(stop)
    assert tracker.seen == [
        *(("ChannelCreated", f"{n}", 5.0) for n in range(450)),
        *(("ChannelDestroyed", f"{n}", 6.0) for n in range(450)),
    ]
    assert store.ids == [f"{n}" for n in range(450)]
    assert store.calls == 1  # one commit for all that waited


def test_every_event_is_counted_by_type() -> None:
    frames = [
        event("ChannelCreated"), event("NeverHeardOf"), b"garbage", b"[1]", b'{"type":7}', event("Dial"),
    ]  # fmt: skip
    monitor, _, _, stop = monitor_of(Batch(1, frames))
    monitor.run(stop)
    status = monitor.status()
    assert status["events"] == 6
    assert status["malformed"] == 3
    assert status["events_by_type"] == {"ChannelCreated": 1, "NeverHeardOf": 1, "malformed": 3, "Dial": 1}


def test_invented_types_cannot_fill_the_memory() -> None:
    frames = [event(f"Type{n}") for n in range(5000)] + [event("ChannelCreated")]
    monitor, _, _, stop = monitor_of(Batch(1, frames))
    monitor.run(stop)
    by_type = monitor.status()["events_by_type"]
    assert isinstance(by_type, dict)
    assert len(by_type) <= 201
    assert sum(by_type.values()) == 5001


def test_a_bug_of_the_tracker_costs_one_event(caplog: pytest.LogCaptureFixture) -> None:
    frames = [event("ChannelCreated", "a"), event("Dial", "b"), event("ChannelCreated", "c")]
    monitor, _, store, stop = monitor_of(Batch(1, frames), wanted=2)
    monitor.run(stop)
    assert store.ids == ["a", "c"]
    assert store.state["last"] == b"c"
    assert monitor.status()["tracker_errors"] == 1
    assert "failed on Dial of channel b" in caplog.text


@pytest.mark.parametrize(
    ("items", "gap", "heard"),
    [
        ((), None, None),  # never connected: what an earlier process wrote holds
        ((Opened(1, 1), Batch(2, [event("ChannelCreated")]), Lost(9, "gone", 7.5)), None, b"7.5"),
        ((Opened(1, 1),), None, b"1000.0"),  # nothing happened in its short life
        (
            (Opened(1, 1), Batch(2, [event("ChannelCreated")])),
            3.5,
            b"3.5",
        ),  # a gap that is not over must not be forgotten
    ],
)
def test_until_when_events_were_seen_is_stored(
    items: tuple[Batch | Opened | Lost, ...], gap: float | None, heard: bytes | None
) -> None:
    monitor, tracker, store, stop = monitor_of(*items, gap_since=lambda: gap)
    tracker.seen.append(("earlier", "0.0", 0.0))  # something to remember, so that the state is stored
    stop.set()
    monitor.run(stop)
    assert store.state["last"]
    assert store.state.get(HEARD) == heard


def test_a_fact_that_cannot_be_rendered_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    frames = [event("ChannelCreated", name) for name in ("a", "unprintable", "silent", "b")]
    monitor, _, store, stop = monitor_of(Batch(1, frames), wanted=2)
    monitor.run(stop)
    assert store.ids == ["a", "b"]
    assert "call='unprintable'" in caplog.text


def test_facts_are_stored_once_although_storing_fails(caplog: pytest.LogCaptureFixture) -> None:
    frames = [event("ChannelCreated", "a"), event("ChannelCreated", "b")]
    caplog.set_level("INFO")
    monitor, tracker, store, stop = monitor_of(Batch(1, frames), wanted=2, failures=5)
    monitor.run(stop)
    assert store.ids == ["a", "b"]
    assert len(tracker.seen) == 2
    assert store.calls == 6
    assert monitor.status()["unstored"] == 0
    assert caplog.text.count("cannot be stored, trying again") == 1
    assert "stored again" in caplog.text


def test_what_a_dying_run_left_is_stored_by_the_next() -> None:
    monitor, _, store, stop = monitor_of(Batch(1, [event("ChannelCreated", "a")]))
    store.dies = True
    with pytest.raises(OSError, match="not translated"):
        monitor.run(stop)
    store.dies = False
    monitor.run(stop)
    assert store.ids == ["a"]


def test_marks_come_in_line_and_their_facts_are_stored() -> None:
    seen: list[tuple[Mark, int]] = []

    def on_mark(mark: Mark) -> list[Fact]:
        seen.append((mark, len(tracker.seen)))
        return [received("reconciled")] if isinstance(mark, Opened) and mark.generation == 2 else []

    opened, lost, again = Opened(1, 1), Lost(3, "gone", 2), Opened(4, 2)
    monitor, tracker, store, stop = monitor_of(
        opened, Batch(2, [event("ChannelCreated", "a")]), lost, again, wanted=2, on_mark=on_mark
    )
    monitor.run(stop)
    assert seen == [(opened, 0), (lost, 1), (again, 1)]
    assert store.ids == ["a", "reconciled"]
    assert (monitor.status()["connected"], monitor.status()["reconnects"]) == (True, 1)


def test_what_has_arrived_is_used_before_it_ends() -> None:
    batches = [Batch(n, [event("ChannelCreated", f"{n}.{i}") for i in range(1000)]) for n in range(6)]
    monitor, _, store, stop = monitor_of(*batches)
    stop.set()
    monitor.run(stop)
    assert store.ids == [f"{n}.{i}" for n in range(6) for i in range(1000)]


def test_the_tracker_is_ticked_when_nothing_comes() -> None:
    monitor, tracker, _, stop = monitor_of(Batch(1, [event("ChannelCreated", "a")]))
    monitor.run(stop)
    assert tracker.ticks == [1000.0]


def test_after_a_standstill_unread_events_come_before_the_tick() -> None:
    now = 1000.0
    monitor, tracker, _, _ = monitor_of()
    monitor._clock = lambda: now
    for now in (1000.0, 1000.1, 1000.3, 1009.0, 1009.3):  # noqa: B007 - read by the clock
        monitor._tick(drained=True)
    assert tracker.ticks == [1000.0, 1000.3, pytest.approx(1000.55), 1009.3]


def test_a_follower_that_is_slow_loses_events_and_is_told() -> None:
    monitor, _, _, stop = monitor_of(Batch(1, [event("ChannelCreated", f"{n}") for n in range(15)]))
    tap = monitor.follow(10)
    gone = monitor.follow()
    monitor.unfollow(gone)
    monitor.run(stop)
    events, dropped = tap.read(0)
    assert [e.channel.id for _, e, _ in events if e.channel] == [f"{n}" for n in range(5, 15)]
    assert dropped == 5
    assert tap.read(0) == ([], 0)
    assert gone.read(0) == ([], 0)


def test_a_tap_counts_exactly() -> None:
    tap = Tap(2)
    for n in range(3):
        tap.offer(n, Event("x"), b"")
    assert [at for at, _, _ in tap.read(0)[0]] == [1, 2]
    tap.offer(3, Event("x"), b"")
    assert tap.read(0) == ([(3, Event("x"), b"")], 0)
