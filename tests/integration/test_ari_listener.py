"""Listener and Monitor against fake Asterisks that fail in every way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from daemon.ari.address import Address
from daemon.ari.events import Event
from daemon.ari.inbox import Batch, Inbox, Lost, Mark, Opened, Overflow
from daemon.ari.listener import Listener
from daemon.ari.monitor import Monitor
from daemon.ari.session import WANTED, ListenerOptions
from daemon.calls.model import Fact
from daemon.outbox.message import Message
from daemon.runtime.backoff import Backoff
from daemon.runtime.service import Service
from tests.servers.fake_ari import CLOSE, PING, FakeAri, encoded, frame
from tests.servers.waiting import DEADLINE, wait_until

CREATED = {"type": "ChannelCreated", "channel": {"id": "1.1", "name": "PJSIP/1013010-00000001"}}
NAMED = {
    "type": "ChannelCreated",
    "channel": {"id": "1.1", "channelvars": {"CHANNEL(linkedid)": "1.1", "MIXMONITOR_FILENAME": ""}},
}
VARSET = {"type": "ChannelVarset", "variable": "X", "value": "1", "channel": {"id": "1.1"}}


@pytest.fixture
def fake() -> Iterator[FakeAri]:
    with FakeAri() as server:
        yield server


def options_for(fake: FakeAri, **changes: object) -> ListenerOptions:
    options = ListenerOptions(
        Address.parse(fake.url), "monitor", "secret", "mon-A", check_after=0.2, check_every=0.2
    )
    return replace(options, **changes)  # type: ignore[arg-type]


def quick() -> Backoff:
    return Backoff(first=0.01, factor=1.5, cap=0.05)


@contextmanager
def running(*services: Service) -> Iterator[threading.Event]:
    stop = threading.Event()
    threads = [threading.Thread(target=s.run, args=(stop,), name=s.name, daemon=True) for s in services]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        assert not any(thread.is_alive() for thread in threads)


class Taker:
    """Takes from an inbox what comes, in order."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.frames: list[bytes] = []
        self.marks: list[Mark] = []

    def until(self, condition: Callable[[], object], what: str) -> None:
        def look() -> object:
            while (item := self.inbox.get(0)) is not None:
                if isinstance(item, Batch):
                    self.frames += item.frames
                else:
                    self.marks.append(item)
            return condition()

        wait_until(look, what)

    def until_lost(self, number: int = 1) -> Lost:
        self.until(lambda: len(self.lost()) >= number, f"mark Lost {number}")
        return self.lost()[number - 1]

    def lost(self) -> list[Lost]:
        return [mark for mark in self.marks if isinstance(mark, Lost)]


def listener_and_taker(
    fake: FakeAri, inbox: Inbox | None = None, **changes: object
) -> tuple[Listener, Taker]:
    inbox = inbox or Inbox()
    return Listener("pbx", options_for(fake, **changes), inbox, backoff=quick()), Taker(inbox)


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


@pytest.mark.parametrize("how", ["close", "end", "abort"])
def test_it_comes_back_subscribes_and_filters_again(fake: FakeAri, how: str) -> None:
    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.broadcast(CREATED)
        taker.until(lambda: taker.frames, "the event")
        getattr(fake.session(1), how)()
        taker.until(lambda: len(taker.marks) == 3, "Opened again")
        fake.broadcast(VARSET)
        taker.until(lambda: len(taker.frames) == 2, "an event after")
        assert listener.status()["reconnects"] == 1
    opened, lost, again = taker.marks[:3]
    assert isinstance(opened, Opened)
    assert isinstance(lost, Lost)
    assert again == Opened(again.at, 2)
    assert opened.at <= lost.since <= lost.at <= again.at
    assert len(fake.asked("PUT", "/eventFilter")) == len(fake.asked("POST", "/subscription")) == 2


def test_asterisk_dies_and_comes_back(fake: FakeAri, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.stop()
        taker.until_lost()
        wait_until(lambda: listener.status()["attempts"], "a failed attempt")
        assert "refuses the connection" in str(listener.status()["state"])
        fake.start()
        taker.until(lambda: len(taker.marks) == 3, "Opened again")
    assert caplog.text.count("refuses the connection") == 1
    assert "failed attempts" in caplog.text


@pytest.mark.parametrize("fault", ["401", "404", "400", "503", "hang", "garbage", "reset"])
def test_it_goes_on_trying_and_says_each_reason_once(
    fake: FakeAri, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults.handshake = fault
    listener, taker = listener_and_taker(fake, connect_timeout=0.3 if fault == "hang" else 5.0)
    with running(listener):
        wait_until(lambda: listener.status()["attempts"], "a failed attempt")
        if fault == "401":  # only once in half a minute: fail2ban counts these
            assert "password" in str(listener.status()["state"])
            return
        wait_until(lambda: len(fake.asked("GET", "/events")) > 2, "more attempts")
        fake.faults.handshake = "ok"
        taker.until(lambda: taker.marks, "Opened")
    assert caplog.text.count("not connected to pbx") == 1


@pytest.mark.parametrize("fault", ["500", "404", "hang", "garbage"])
def test_without_a_subscription_it_is_not_connected(fake: FakeAri, fault: str) -> None:
    fake.faults.rest["/applications/mon-A/subscription"] = fault
    listener, taker = listener_and_taker(fake, connect_timeout=0.3 if fault == "hang" else 5.0)
    with running(listener):
        wait_until(lambda: len(fake.sessions) > 1, "a second attempt")
        assert listener.status()["connected"] is False
        fake.faults.rest.clear()
        taker.until(lambda: taker.marks, "Opened")


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


def test_a_silent_but_live_asterisk_is_pinged(fake: FakeAri) -> None:
    listener, taker = listener_and_taker(fake, ping_after=0.05, pong_within=10.0)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        session = fake.session(1)
        wait_until(lambda: [opcode for opcode, _ in session.received].count(PING) >= 2, "two pings")
        assert listener.status()["connected"] is True


def test_a_dead_silent_one_is_given_up(fake: FakeAri) -> None:
    fake.faults.pong = False
    listener, taker = listener_and_taker(fake, ping_after=0.05, pong_within=0.1, check_after=600.0)
    with running(listener):
        assert "ping was not answered" in taker.until_lost().reason
        fake.faults.pong = True
        taker.until(lambda: len(taker.marks) >= 3, "Opened again")


def test_an_application_that_asterisk_forgot(fake: FakeAri) -> None:
    """After an abrupt close the old session's clean-up takes the new one's application away."""
    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.applications.clear()
        assert "no longer knows the application" in taker.until_lost().reason
        taker.until(lambda: len(taker.marks) >= 3, "Opened again")


def test_an_application_that_asterisk_knows_and_does_not_feed(fake: FakeAri) -> None:
    """After an abrupt close the old session's clean-up leaves the new one without events."""
    fake.faults.deaf = True
    listener, taker = listener_and_taker(fake, pong_within=0.5)
    with running(listener):
        assert "sends it no events" in taker.until_lost().reason
        fake.faults.deaf = False
        taker.until(lambda: isinstance(taker.marks[-1], Opened) and len(fake.sessions) > 1, "Opened again")
        wait_until(lambda: len(fake.asked("POST", "/events/user")) > 2, "it is asked for a sign again")
        fake.broadcast(CREATED)
        taker.until(lambda: taker.frames, "an event")
    assert taker.frames == [encoded({**CREATED, "application": "mon-A"})], "the signs are no events"


def test_an_asterisk_that_takes_the_request_and_gives_no_sign_is_believed_in_the_end(fake: FakeAri) -> None:
    fake.faults.deaf = True
    listener, _ = listener_and_taker(fake, pong_within=0.05)
    with running(listener):
        wait_until(lambda: len(fake.sessions) == 4, "a fourth connection")
        asked = len(fake.asked("GET", "/applications/mon-A"))
        wait_until(lambda: len(fake.asked("GET", "/applications/mon-A")) > asked + 5, "five checks")
        assert listener.status()["connected"] is True
    assert len(fake.sessions) == 4
    assert len(fake.asked("POST", "/events/user")) == 3


def test_an_asterisk_that_gives_no_signs_is_believed(fake: FakeAri) -> None:
    fake.faults.rest["/events/user/arimonitor-check"] = "404"
    listener, taker = listener_and_taker(fake, pong_within=0.1)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        wait_until(lambda: len(fake.asked("GET", "/applications/mon-A")) > 3, "three checks")
        assert listener.status()["connected"] is True
    assert len(fake.asked("POST", "/events/user")) == 1


def test_rest_calls_that_hang_are_said_and_cost_no_connection(
    fake: FakeAri, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults.rest["/applications/mon-A"] = "hang"
    listener, taker = listener_and_taker(fake, connect_timeout=0.3)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        wait_until(lambda: "REST calls fail" in caplog.text, "the warning")
        fake.broadcast(CREATED)
        taker.until(lambda: taker.frames, "an event all the same")
    assert caplog.text.count("REST calls fail") == 1


def test_a_taken_name_is_not_fought_for(fake: FakeAri, caplog: pytest.LogCaptureFixture) -> None:
    listener, taker = listener_and_taker(fake, replaced_pause=600.0)
    other, other_taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        with running(other):
            other_taker.until(lambda: other_taker.marks, "the other's Opened")
            assert "another client took the application name" in taker.until_lost().reason
            wait_until(lambda: "a name of its own" in caplog.text, "the alarm")
            fake.broadcast(CREATED)
            other_taker.until(lambda: other_taker.frames, "the other's event")
            assert len(fake.sessions) == 2
        taker.until(lambda: len(taker.marks) == 3, "Opened again, since the name is free")
    assert other_taker.lost()[-1:] == [] or other_taker.lost()[-1].reason == "stopping"


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


def test_new_options_are_used_at_once(fake: FakeAri) -> None:
    listener, taker = listener_and_taker(fake)
    with running(listener), FakeAri() as second:
        taker.until(lambda: taker.marks, "Opened")
        listener.reconfigure(options_for(second, app="mon-B"))
        assert second.session(1).app == "mon-B"
        assert taker.until_lost().reason == "the configuration changed"


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
    for number, fake in enumerate(fakes):
        inbox, recorder = Inbox(), Recorder()
        listener = Listener(f"pbx{number}", options_for(fake), inbox, backoff=quick())
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
                for fake in good:
                    fake.broadcast({"type": "ChannelCreated", "channel": {"id": f"{n}.1"}})
            wait_until(lambda: all(len(part[2].seen) == 200 for part in parts[1:]), "200 events each")
            for _, monitor, recorder in parts[1:]:
                assert recorder.seen == [f"{n}.1" for n in range(200)]
                assert monitor.status()["events_by_type"] == {"ChannelCreated": 200}
            wait_until(lambda: len(bad.sessions) > 4, "all misdeeds")
        assert all(listener.status()["reconnects"] == 0 for listener, _, _ in parts[1:])
    finally:
        for fake in fakes:
            fake.stop()


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
