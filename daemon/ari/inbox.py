"""The bounded queue between an Asterisk's listener and its monitor, and what is on it.

One thread puts, one takes. Putting never blocks: Asterisk cuts off a client
that is slow to read. What does not fit is counted, and an Overflow in line
says where and how much.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field

from daemon.directory.endpoints import Look

MAX_EVENTS = 50_000
MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages as they came, in order. `received_at`: seconds since the epoch."""

    received_at: float
    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class Opened:
    """Connected and subscribed: events come from here on. `generation` counts connections from 1.

    `complete`: nothing was missed since the last connection, since Asterisk
    kept it for us (outbound websocket only) and neither side broke off.
    """

    at: float
    generation: int
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone. Events may be missing from `since`, when something came last."""

    at: float
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class Overflow:
    """`count` events did not fit between `since` and `at`."""

    at: float
    count: int
    since: float


@dataclass(slots=True, eq=False)
class Wanted:
    """Somebody asks for a reconciliation now, of calls that began at or after `since` (s since the epoch).

    `result` is a sentence once `done` is set.
    """

    since: float | None
    done: threading.Event = field(default_factory=threading.Event)
    result: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Time to see whether something is left to be reconciled."""


@dataclass(frozen=True, slots=True)
class Looked:
    """All endpoints were looked at."""

    look: Look


Mark = Opened | Lost | Overflow | Wanted | Check | Looked


class Inbox:
    """Bounded by events and by bytes; marks always fit."""

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._queue: queue.SimpleQueue[tuple[Batch | Mark, int, int]] = queue.SimpleQueue()
        self._max_events = max_events
        self._max_bytes = max_bytes
        # Each pair of counters has one writer, so no lock is needed.
        self._events_in = self._events_out = 0
        self._bytes_in = self._bytes_out = 0
        self._missed = 0
        self._missed_since = 0.0
        self.overflowed = 0

    @property
    def events(self) -> int:
        """Events that wait."""
        return self._events_in - self._events_out

    @property
    def bytes(self) -> int:
        """Bytes that wait."""
        return self._bytes_in - self._bytes_out

    @property
    def overflowing(self) -> bool:
        """Are events being dropped?"""
        return self._missed > 0

    def put(self, batch: Batch, size: int) -> bool:
        """Queue a batch of `size` bytes; False when it was dropped (and counted)."""
        if not self.settle(batch.received_at) or not self._fits(len(batch.frames), size):
            if not self._missed:
                self._missed_since = batch.received_at
            self._missed += len(batch.frames)
            self.overflowed += len(batch.frames)
            return False
        self._events_in += len(batch.frames)
        self._bytes_in += size
        self._queue.put((batch, len(batch.frames), size))
        return True

    def settle(self, now: float) -> bool:
        """End an overflow once half of the room is free again. False while it lasts.

        Called by `put`, and by the listener when nothing comes, so that the
        Overflow mark is not kept back until the next event.
        """
        if self._missed:
            if 2 * self.events > self._max_events or 2 * self.bytes > self._max_bytes:
                return False
            self._queue.put((Overflow(now, self._missed, self._missed_since), 0, 0))
            self._missed = 0
        return True

    def mark(self, mark: Opened | Lost) -> None:
        """Queue a mark, behind the Overflow of what was dropped before it."""
        if self._missed:
            self._queue.put((Overflow(mark.at, self._missed, self._missed_since), 0, 0))
            self._missed = 0
        self._queue.put((mark, 0, 0))

    def hand(self, mark: Wanted | Check | Looked) -> None:
        """Queue a request or a look; any thread may."""
        self._queue.put((mark, 0, 0))

    def get(self, timeout: float) -> Batch | Mark | None:
        """The next in order, None when nothing came within `timeout` seconds (0: at once)."""
        try:
            item, events, size = self._queue.get(timeout > 0, timeout or None)
        except queue.Empty:
            return None
        self._events_out += events
        self._bytes_out += size
        return item

    def _fits(self, events: int, size: int) -> bool:
        return self.events + events <= self._max_events and self.bytes + size <= self._max_bytes
