"""Follows one Asterisk's calls: events from the inbox become stored messages.

    inbox -> count -> parse -> tracker -> facts -> render -> messages -> store
                 \\-> taps (`events follow`)

Facts, once made, are kept until they are stored: the tracker makes each only
once. While storing blocks, the inbox fills and its bound rules.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Event as StopEvent
from typing import Final, Protocol

from daemon.ari.events import Event, MalformedEvent, parse
from daemon.ari.inbox import Batch, Inbox, Lost, Mark, Opened, Overflow
from daemon.calls.model import Fact, Gap
from daemon.directory.endpoints import EndpointChange
from daemon.errors import TransientError
from daemon.outbox.message import Message
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.ari")

_IDLE: Final = 0.25  # seconds between ticks of the tracker when nothing comes
_STALL: Final = 1.0  # a longer pause than this between ticks is no quiet, but a stopped process
_YIELD_EVERY: Final = 200  # events without giving way to others
_RENDER_AT_ONCE: Final = 50  # messages: 1,000 calls that end in one moment would stop the hub for 200 ms
_STORE_EVERY: Final = 2000  # events at most between two stores
_LAST_SECONDS: Final = 2.0  # for what is still in the inbox when the process stops
HEARD: Final = ""
"""Key of the state that says until when events were seen (seconds since the epoch)."""
_HEARD_EVERY: Final = 10.0  # seconds between writing that down while nothing happens
_REMEMBER_EVERY: Final = 1.0  # seconds at most until the tracker's state is stored, without a message
_MAX_TYPES: Final = 200  # different event types counted by name; garbage beyond them is "other"


Told = Fact | Gap | EndpointChange
"""What becomes a message."""


class CallTracker(Protocol):
    """What a monitor needs of calls.tracker.Tracker."""

    @property
    def active(self) -> int:
        """Calls that have not ended."""

    def apply(self, event: Event, now: float) -> Sequence[Told]:
        """The facts that an event makes, at the receive time `now`."""

    def tick(self, now: float) -> Sequence[Told]:
        """The facts that the passing of time makes."""

    def changes(self) -> Mapping[str, bytes | None]:
        """What must be remembered over a restart since the last call, by key; None: no more."""


class Tap:
    """Somebody following the events: bounded, and dropping rather than slowing anything down."""

    def __init__(self, limit: int = 1000) -> None:
        self._events: deque[tuple[float, Event, bytes]] = deque(maxlen=limit)
        self._arrived = threading.Event()
        self._offered = 0
        self._taken = 0

    def offer(self, received_at: float, event: Event, frame: bytes) -> None:
        """Called by the monitor for each event."""
        self._events.append((received_at, event, frame))
        self._offered += 1
        if not self._arrived.is_set():
            self._arrived.set()

    def read(self, timeout: float) -> tuple[list[tuple[float, Event, bytes]], int]:
        """Events (receive time, event, its JSON) since the last read, and how many were dropped."""
        self._arrived.wait(timeout)
        self._arrived.clear()
        events: list[tuple[float, Event, bytes]] = []
        while self._events:
            events.append(self._events.popleft())
        dropped = self._offered - self._taken - len(events)
        self._taken = self._offered
        return events, max(0, dropped)


class Monitor:
    """The service that turns one Asterisk's inbox into stored messages.

    `render` makes a message of a fact, or None where the fact is not sent.
    `store` gets messages and the tracker's state that belongs to them, and returns
    when all is durable; storing an id twice keeps it once.
    `on_mark` is told of Opened, Lost and Overflow, in line with the events;
    the facts that it returns (a reconciliation's) go the same way as others.
    `gap_since` says from when events may have been missed (s since the epoch).
    """

    def __init__(
        self,
        name: str,
        inbox: Inbox,
        tracker: CallTracker,
        render: Callable[[Told], Message | None],
        store: Callable[[Sequence[Message], Mapping[str, bytes | None]], object],
        *,
        on_mark: Callable[[Mark], Sequence[Told]] | None = None,
        gap_since: Callable[[], float | None] = lambda: None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"monitor-{name}"
        self.asterisk = name
        self.tracker = tracker
        self._inbox = inbox
        self._render = render
        self._store = store
        self._on_mark = on_mark
        self._gap_since = gap_since
        self._backoff = backoff or Backoff(first=0.1, factor=2.0, cap=5.0, jitter=0.3)
        self._clock = clock
        self._taps: tuple[Tap, ...] = ()
        self._facts: deque[Told] = deque()
        self._unstored: list[Message] = []
        self._state: dict[str, bytes | None] = {}
        self._state_at = 0.0
        self._heard_stored = 0.0
        self._counts: dict[str, int] = {}
        self._events = 0
        self._malformed = 0
        self._failures = 0
        self._generation = 0
        self._connected = False
        self._last_event = 0.0
        self._lost_since = 0.0
        self._last_tick = 0.0
        self._blocked_since: float | None = None

    def follow(self, limit: int = 1000) -> Tap:
        """Begin to follow the events; end it with `unfollow`."""
        tap = Tap(limit)
        self._taps = (*self._taps, tap)
        return tap

    def unfollow(self, tap: Tap) -> None:
        """End a `follow`; an unknown tap is no error."""
        self._taps = tuple(other for other in self._taps if other is not tap)

    def status(self) -> Mapping[str, object]:
        """Counters since the start; times in seconds since the epoch."""
        return {
            "name": self.asterisk,
            "connected": self._connected,
            "events": self._events,
            "events_by_type": dict(self._counts),
            "malformed": self._malformed,
            "active_calls": self.tracker.active,
            "reconnects": max(0, self._generation - 1),
            "queue_events": self._inbox.events,
            "queue_bytes": self._inbox.bytes,
            "overflowed": self._inbox.overflowed,
            "tracker_errors": self._failures,
            "unstored": len(self._unstored) + len(self._facts),
            "store_blocked_since": self._blocked_since,
            "last_event": self._last_event,
        }

    def run(self, stop: StopEvent) -> None:
        """Work until `stop`; then what has arrived is used and stored, if the store still takes it.

        So the listener is to be stopped first.
        """
        self._flush(stop)  # a run that died may have left facts
        while not stop.is_set():
            drained = self._take(self._inbox.get(_IDLE))
            self._tick(drained=drained)
            self._flush(stop)
            time.sleep(0)
        until = time.monotonic() + _LAST_SECONDS
        while not self._take(self._inbox.get(0)) and time.monotonic() < until:
            self._flush(stop)
        now = self._clock()
        if self._heard(now) and now - self._heard_stored >= _REMEMBER_EVERY:
            self._state_at = self._heard_stored = 0.0  # the last word, however short this life was
        self._flush(stop)

    def _take(self, item: Batch | Mark | None) -> bool:
        """Use what has arrived, `item` first, up to _STORE_EVERY events. Is the inbox drained?"""
        handled = 0
        while item is not None:
            if isinstance(item, Batch):
                handled += self._batch(item)
            else:
                self._mark(item)
            if handled >= _STORE_EVERY:
                return False
            item = self._inbox.get(0)
        return True

    def _batch(self, batch: Batch) -> int:
        counts, taps, facts, apply = self._counts, self._taps, self._facts, self.tracker.apply
        now = batch.received_at
        for number, frame in enumerate(batch.frames, 1):
            self._events += 1
            try:
                event = parse(frame)
            except MalformedEvent as error:
                self._note_malformed(error, len(frame))
                continue
            kind = event.type
            if kind in counts:
                counts[kind] += 1
            else:
                self._count_new(kind)
            try:
                made = apply(event, now)
            except Exception:  # a bug in the tracker must not cost the other events
                self._failures += 1
                if _rarely(self._failures):
                    log.exception(
                        "the call tracker failed on %s of channel %s of %s (%d failures so far)",
                        kind, _channel_of(event), self.asterisk, self._failures,
                    )  # fmt: skip
            else:
                if made:
                    facts.extend(made)
            for tap in taps:
                tap.offer(now, event, frame)
            if not number % _YIELD_EVERY:
                time.sleep(0)
        self._last_event = now
        return len(batch.frames)

    def _mark(self, mark: Mark) -> None:
        if isinstance(mark, Opened):
            self._connected, self._generation = True, mark.generation
        elif isinstance(mark, Lost):
            self._connected, self._lost_since = False, mark.since
        elif isinstance(mark, Overflow):
            log.error(
                "%d events of %s were lost in %.1f s, since they came faster than they could be used",
                mark.count, self.asterisk, mark.at - mark.since,
            )  # fmt: skip
        if self._on_mark is not None:
            try:
                self._facts.extend(self._on_mark(mark))
            except Exception:
                self._failures += 1
                log.exception("the reconciliation of %s after %s failed", self.asterisk, type(mark).__name__)

    def _tick(self, *, drained: bool) -> None:
        """Let time pass for the tracker. With a backlog time stands where the newest event was."""
        now = self._clock() if drained else self._last_event
        since = now - self._last_tick
        if drained and 0 <= since < _IDLE:
            return
        if drained and since > _STALL and self._last_tick:
            # We stood still, so events may wait unread in the socket: they come first.
            self._last_tick, now = now, self._last_tick + _IDLE
        else:
            self._last_tick = now
        try:
            self._facts.extend(self.tracker.tick(now))
        except Exception:
            self._failures += 1
            log.exception("the call tracker of %s failed on a tick", self.asterisk)

    def _flush(self, stop: StopEvent) -> None:
        """Render the facts, each once, and store the messages, trying again until it works."""
        while self._facts:
            fact = self._facts[0]
            try:
                message = self._render(fact)
            except Exception:
                self._failures += 1
                log.exception("this could not be rendered: %r", fact)
                message = None
            self._facts.popleft()
            if message is not None:
                self._unstored.append(message)
            if not len(self._facts) % _RENDER_AT_ONCE:
                time.sleep(0)
        if self._unstored or self._clock() - self._state_at >= _REMEMBER_EVERY:
            self._remember()
        while self._unstored or self._state:
            try:
                self._store(tuple(self._unstored), self._state)
            except TransientError as error:
                if self._blocked_since is None:
                    self._blocked_since = self._clock()
                    log.error("messages of %s cannot be stored, trying again: %s", self.asterisk, error)
                if stop.is_set():
                    log.error(
                        "%d messages of %s are lost with this process, since they could not be stored",
                        len(self._unstored), self.asterisk,
                    )  # fmt: skip
                    return
                stop.wait(self._backoff.next())
            else:
                self._unstored.clear()
                self._state.clear()
        if self._blocked_since is not None:
            log.info(
                "messages of %s are stored again after %.1f s",
                self.asterisk, self._clock() - self._blocked_since,
            )  # fmt: skip
            self._blocked_since = None
            self._backoff.reset()

    def _remember(self) -> None:
        """Note the tracker's changes, and until when events were seen, for the next store."""
        now = self._state_at = self._clock()
        self._state.update(self.tracker.changes())
        due = self._state or self._unstored or now - self._heard_stored >= _HEARD_EVERY
        if due and (heard := self._heard(now)):
            self._heard_stored = now
            self._state[HEARD] = repr(heard).encode()

    def _heard(self, now: float) -> float:
        """Until when all events were seen; 0: this process saw none, and what an earlier one wrote holds."""
        if (gap := self._gap_since()) is not None:
            return gap  # the next process must not take it for over
        if not self._connected:
            return self._lost_since
        return self._last_event if self._inbox.events else now

    def _count_new(self, kind: str) -> None:
        if len(self._counts) >= _MAX_TYPES:
            kind = "other"
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def _note_malformed(self, error: MalformedEvent, size: int) -> None:
        self._malformed += 1
        self._count_new("malformed")
        if _rarely(self._malformed):
            log.warning(
                "%s sent something that is no event (%d bytes, %d so far): %s",
                self.asterisk, size, self._malformed, error,
            )  # fmt: skip


def _rarely(count: int) -> bool:
    """The 1st, 2nd, 4th, 8th, ... time: a log that garbage cannot flood."""
    return count & (count - 1) == 0


def _channel_of(event: Event) -> str:
    channel = event.channel or event.peer
    return channel.id if channel else "-"
