"""What Listener and Monitor read of fake Asterisks: filters, a full queue, ten of them at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from daemon.ari.events import Event
from daemon.ari.inbox import Inbox, Mark, Opened, Overflow
from daemon.ari.listener import Listener
from daemon.ari.monitor import Monitor
from daemon.ari.session import WANTED
from daemon.calls.model import Fact
from daemon.outbox.message import Message
from tests.integration.listener_parts import (
    CREATED,
    NAMED,
    VARSET,
    listener_and_taker,
    options_for,
    quick,
    running,
)
from tests.integration.listener_parts import fake as fake
from tests.servers.fake_ari import CLOSE, FakeAri, encoded, frame
from tests.servers.waiting import DEADLINE, wait_until


def test_it_filters_subscribes_and_then_reads(fake: FakeAri) -> None:
    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        before = time.time()
        fake.broadcast(CREATED)
        fake.broadcast({"type": "ChannelDialplan"})
        fake.broadcast(VARSET)
        taker.until(lambda: len(taker.frames) == 2, "two events")
    assert taker.frames == [
        encoded({**CREATED, "application": "mon-A"}), encoded({**VARSET, "application": "mon-A"}),
    ]  # fmt: skip
    assert isinstance(taker.marks[0], Opened)
    assert taker.marks[0].generation == 1
    assert abs(taker.marks[0].at - before) < DEADLINE
    assert [r.method for r in fake.requests][:3] == ["GET", "PUT", "POST"]
    assert fake.requests[2].query == {"eventSource": "channel:,bridge:,endpoint:"}
    assert {rule["type"] for rule in fake.requests[1].body["allowed"]} == {*WANTED, "ChannelVarset"}
    assert fake.session(1).closed.wait(DEADLINE)
    assert fake.session(1).received[-1][0] == CLOSE
    assert listener.status()["connected"] is False


def test_subscribe_all_asks_for_no_sources(fake: FakeAri) -> None:
    listener, taker = listener_and_taker(fake, subscribe="all")
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.broadcast(CREATED)
        taker.until(lambda: taker.frames, "the event")
    assert fake.session(1).request.query["subscribeAll"] == "true"
    assert fake.asked("POST", "/subscription") == []
    assert len(fake.asked("PUT", "/eventFilter")) == 1


def test_an_asterisk_without_event_filters_is_read_whole(fake: FakeAri) -> None:
    fake.faults.rest["/applications/mon-A/eventFilter"] = "404"
    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.broadcast({"type": "ChannelDialplan"})
        taker.until(lambda: taker.frames, "an event that nobody filtered")


def test_channelvarset_is_dropped_when_it_is_needless(fake: FakeAri) -> None:
    def allowed() -> list[bool]:
        puts = fake.asked("PUT", "/eventFilter")
        return ["ChannelVarset" in {rule["type"] for rule in put.body["allowed"]} for put in puts]

    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.broadcast(VARSET)
        taker.until(lambda: taker.frames, "the varset")
        assert allowed() == [True]
        fake.broadcast(NAMED)
        wait_until(lambda: allowed() == [True, False], "a filter without ChannelVarset")
        wait_until(lambda: not listener.status()["varset"], "the status")
        fake.broadcast(NAMED)
        taker.until(lambda: len(taker.frames) == 3, "what is sent before the change")
        fake.broadcast(CREATED)  # ari.conf was changed and reloaded
        wait_until(lambda: allowed() == [True, False, True], "a filter with ChannelVarset again")


@pytest.mark.parametrize(("choice", "kept"), [("keep", True), ("drop", False)])
def test_channelvarset_by_configuration(fake: FakeAri, choice: str, kept: bool) -> None:
    listener, taker = listener_and_taker(fake, filter_varset=choice)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.broadcast(NAMED)
        fake.broadcast(CREATED)
        taker.until(lambda: len(taker.frames) == 2, "the events")
    (put,) = fake.asked("PUT", "/eventFilter")
    assert ({"type": "ChannelVarset"} in put.body["allowed"]) is kept


def arrived(listener: Listener, count: int) -> bool:
    """Do so many events wait, or were dropped?"""
    return listener.inbox.events + listener.inbox.overflowed == count


def test_a_full_queue_drops_counts_and_goes_on(fake: FakeAri, caplog: pytest.LogCaptureFixture) -> None:
    listener, taker = listener_and_taker(fake, Inbox(max_events=100))
    with running(listener):
        wait_until(lambda: listener.status()["connected"], "the connection")
        session = fake.session(1)
        for sent in (60, 120):
            session.send(*[encoded({"type": "T", "n": n}) for n in range(sent - 60, sent)])
            wait_until(partial(arrived, listener, sent), "what was sent")
        wait_until(lambda: listener.status()["overflowed"], "the overflow")
        taker.until(lambda: any(isinstance(m, Overflow) for m in taker.marks), "Overflow")
        session.send({"type": "T", "n": sent})
        taker.until(lambda: taker.frames[-1] == encoded({"type": "T", "n": sent}), "the next event")
    (overflow,) = [m for m in taker.marks if isinstance(m, Overflow)]
    assert len(taker.frames) + overflow.count == sent + 1
    assert caplog.text.count("is full") == 1


# -- listener and monitor together ---------------------------------------------------


class Recorder:
    """A tracker that makes no facts and keeps the events."""

    def __init__(self) -> None:
        self.active = 0
        self.seen: list[str] = []

    def apply(self, event: Event, now: float) -> list[Fact]:
        self.seen.append(event.channel.id if event.channel else event.type)
        return []

    def tick(self, now: float) -> list[Fact]:
        return []

    def changes(self) -> dict[str, bytes | None]:
        return {}


def no_message(fact: Fact) -> Message | None:
    raise AssertionError(f"no fact was made, but {fact} is rendered")


def nothing_to_store(messages: Sequence[Message], state: Mapping[str, bytes | None]) -> int:
    return len(messages)


def test_ten_asterisks_of_which_one_misbehaves() -> None:
    """Nine get their events in order while the tenth floods, lies and drops in turn."""
    fakes = [FakeAri().start() for _ in range(10)]
    bad, *good = fakes
    parts = []
    for number, each in enumerate(fakes):
        inbox, recorder = Inbox(), Recorder()
        listener = Listener(f"pbx{number}", options_for(each), inbox, backoff=quick())
        parts.append(
            (listener, Monitor(f"pbx{number}", inbox, recorder, no_message, nothing_to_store), recorder)
        )
    misdeeds = [
        frame(b"not json") * 3000,
        b"\x81\x7f" + (1 << 40).to_bytes(8, "big"),
        bytes(range(256)) * 50,
        frame(encoded({"type": "ChannelCreated", "channel": [1, 2]})) * 100,
    ]

    def misbehave(session: object) -> None:
        number = len(bad.sessions) - 1
        bad.sessions[-1].raw(misdeeds[number % len(misdeeds)])
        bad.sessions[-1].abort()

    bad.on_session = misbehave
    try:
        with running(*(service for listener, monitor, _ in parts for service in (listener, monitor))):
            wait_until(lambda: all(part[0].status()["connected"] for part in parts[1:]), "nine connections")
            for n in range(200):
                for each in good:
                    each.broadcast({"type": "ChannelCreated", "channel": {"id": f"{n}.1"}})
            wait_until(lambda: all(len(part[2].seen) == 200 for part in parts[1:]), "200 events each")
            for _, monitor, recorder in parts[1:]:
                assert recorder.seen == [f"{n}.1" for n in range(200)]
                assert monitor.status()["events_by_type"] == {"ChannelCreated": 200}
            wait_until(lambda: len(bad.sessions) > 4, "all misdeeds")
        assert all(listener.status()["reconnects"] == 0 for listener, _, _ in parts[1:])
    finally:
        for each in fakes:
            each.stop()


def test_a_slow_store_never_holds_the_reader_up(fake: FakeAri) -> None:
    """While storing blocks, the socket is still read: Asterisk would cut a slow reader off."""
    inbox, recorder = Inbox(), Recorder()
    released = threading.Event()
    listener = Listener("pbx", options_for(fake), inbox, backoff=quick())

    def blocked(mark: Mark) -> list[Fact]:
        assert released.wait(DEADLINE)
        return []

    monitor = Monitor("pbx", inbox, recorder, no_message, nothing_to_store, on_mark=blocked)
    with running(listener, monitor):
        session = fake.session(1)
        wait_until(lambda: listener.status()["connected"], "the connection")
        for n in range(5000):
            session.send({"type": "ChannelCreated", "channel": {"id": str(n)}, "filler": "x" * 500})
        wait_until(lambda: inbox.events == 5000, "everything read while the monitor hangs")
        released.set()
        wait_until(lambda: len(recorder.seen) == 5000, "everything used")
    assert recorder.seen == [str(n) for n in range(5000)]
