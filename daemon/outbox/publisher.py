"""Publisher: takes a broker's messages from the outbox to its sink, for ever.

Order holds per call: at most one message of a call is under way (see `window`),
many calls at once. What the broker refuses stays, blocks only its own call, is
tried again each `retry` seconds and is an alarm in the log. A lost connection
costs nothing but time: everything that has no confirm goes out again, in order.

Of two nodes one publishes: `may` is asked before each chunk, and without it
nothing new goes out, while confirms of what is under way still count. `drain` is
the planned end. Each run begins with what the outbox has then, since another
node may have published of it meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Event

from daemon.errors import TransientError
from daemon.outbox.alarms import Alarms
from daemon.outbox.entry import Entry
from daemon.outbox.sink import Outcome, Sink, SinkRefused, Verdict
from daemon.outbox.store import Outbox
from daemon.outbox.window import Window
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.outbox")

_PAGE = 500
_WAITING_LIMIT = 200_000  # numbers of messages behind refused ones; past it nothing more is read
_IDLE = 0.5  # seconds a poll waits at most: how soon `stop` is seen
_HELD = 0.1  # the same while nothing may be published: how soon it goes on
_REPEAT = 600.0  # seconds between two lines about a trouble that lasts


def _always() -> bool:
    return True


def _to_nobody(_: Sequence[str]) -> None:
    """There is no standby that must know."""


class Publisher:
    """Service: one broker's way out. `broker` is the message's `broker`, "" for the `[mq]` one.

    `may` says whether this node may publish now; it must not block. `told` is
    given the ids that the broker has confirmed; it must neither wait nor raise.
    """

    def __init__(
        self,
        broker: str,
        outbox: Outbox,
        sink: Sink,
        *,
        window: int = 500,
        retry: float = 60.0,
        backoff: Backoff | None = None,
        refused_backoff: Backoff | None = None,
        may: Callable[[], bool] = _always,
        told: Callable[[Sequence[str]], None] = _to_nobody,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"publisher {sink.name}"
        self._broker = broker
        self._outbox = outbox
        self._sink = sink
        self._now = now
        self._may = may
        self._told = told
        self._draining = False
        self._again_before = 0  # `_again` when draining began
        self._quiet = Event()  # while draining: nothing is under way
        self._size, self._retry = window, retry
        self._window = Window(size=window, retry=retry)
        self._alarms = Alarms(sink.name, retry)
        self._backoff = backoff or Backoff(first=0.2, cap=15.0)
        self._refused_backoff = refused_backoff or Backoff(first=20.0, factor=1.5, cap=60.0)
        # New messages as the store commits them, so that they need not be read back.
        self._fresh: deque[Entry] = deque()
        self._behind = True  # the disk has messages that are neither here nor in the window
        self._read_upto = 0
        self._connected = False
        self._closed_after = ""
        self._blocked = ""
        self._last_error = ""
        self._said_at = 0.0
        self._failures = 0  # since the last confirm
        self._useless = 0  # connections in a row that were lost before their first confirm
        self._proven = False
        self._published = self._returned = self._nacked = self._again = 0

    def run(self, stop: Event) -> None:
        """Publish until `stop`."""
        self._window = Window(size=self._size, retry=self._retry)
        self._fresh.clear()
        self._behind, self._read_upto = True, 0
        self._outbox.subscribe(self._broker, self._arrived)
        try:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    self._sink.open()
                    self._up()
                    self._publish(stop)
                except TransientError as error:
                    if self._connected and time.monotonic() - began > 10.0:
                        self._backoff.reset()
                    self._down(error)
                    slow = isinstance(error, SinkRefused)
                    pause = self._refused_backoff.next() if slow else self._backoff.next()
                else:
                    return
                finally:
                    self._connected = False
                    self._blocked = ""
                    self._sink.close()
                    self._again += self._window.reset()
                stop.wait(pause)
        finally:
            self._outbox.unsubscribe(self._broker)
            # One that died while draining goes on draining when it is started again.
            self._draining = self._draining and not stop.is_set()

    def drain(self, seconds: float) -> int:
        """Publish nothing new until the next run and wait for what is under way.

        Called by another greenlet, also several times. How many messages have no outcome after so
        many seconds, or lost theirs with the connection: another node that
        publishes them may repeat them.
        """
        if not self._draining:
            self._draining, self._again_before = True, self._again
        deadline = time.monotonic() + seconds
        while self._window.in_flight and (left := deadline - time.monotonic()) > 0:
            self._quiet.clear()
            self._sink.wake()
            self._quiet.wait(min(left, _HELD))
        return self._window.in_flight + self._again - self._again_before

    def _up(self) -> None:
        self._connected = True
        self._proven = False
        if self._useless:  # it only lasts until we publish: said already
            return
        if self._failures:
            log.info(
                "%s: connected to %s again after %d tries, %d messages wait",
                self._sink.name,
                self._sink.place,
                self._failures,
                self._waiting(),
            )
        else:
            log.info("%s: connected to %s", self._sink.name, self._sink.place)

    def _down(self, error: TransientError) -> None:
        self._failures += 1
        if self._connected:
            self._useless = 0 if self._proven else self._useless + 1
        self._last_error = str(error)
        now = time.monotonic()
        if self._last_error != self._closed_after or now - self._said_at >= _REPEAT:
            log.warning(
                "%s: %s: %s; %d messages wait, it is tried again for ever (%d tries so far)",
                self._sink.name,
                self._sink.place,
                error,
                self._waiting(),
                self._failures,
            )
            self._closed_after = self._last_error
            self._said_at = now

    def _arrived(self, entries: list[Entry]) -> None:
        # In the middle of a commit: neither wait nor raise.
        if self._behind:
            return
        if len(self._fresh) + len(entries) > _PAGE * 4:
            self._behind = True
        else:
            self._fresh.extend(entries)
        self._sink.wake()

    def _publish(self, stop: Event) -> None:
        window = self._window
        while not stop.is_set():
            blocked = self._see_blocked()
            sent = False
            if not blocked and self._allowed:
                self._refill()
                # Asked again, since reading takes its time; between this and the socket nothing waits.
                chunk = window.next_to_send(self._sink.chunk) if self._allowed else []
                if chunk:
                    self._sink.publish(chunk)
                    sent = True
            outcomes = self._sink.poll(0.0 if sent else _IDLE if blocked else self._patience())
            if outcomes:
                self._settle(outcomes)
            if self._draining and not window.in_flight:
                self._quiet.set()
        self._finish()

    @property
    def _allowed(self) -> bool:
        return not self._draining and self._may()

    def _finish(self) -> None:
        """Before the connection is closed: what is under way may still be confirmed."""
        deadline = time.monotonic() + 2.0
        while self._window.in_flight and not self._sink.blocked and time.monotonic() < deadline:
            self._settle(self._sink.poll(0.1))

    def _patience(self) -> float:
        if not self._allowed:
            return _HELD
        due = self._window.next_due()
        if self._fresh or (self._behind and self._may_read):
            return 0.0 if self._window.in_flight == 0 else 0.05
        return _IDLE if due is None else min(_IDLE, max(0.0, due - self._now()))

    @property
    def _may_read(self) -> bool:
        return self._window.room >= _PAGE and self._window.waiting < _WAITING_LIMIT

    def _refill(self) -> None:
        now = self._now()
        window = self._window
        asked = window.next_to_load(_PAGE, now)
        if asked:
            try:
                window.fill(asked, self._outbox.load(asked))
            except BaseException:  # also one that ends this life of the service: the next has this window
                window.give_back(asked)
                raise
        if not self._may_read:
            return
        if self._behind:
            # From here on what arrives is kept; what the page has of it is left out below.
            self._behind = False
            self._fresh.clear()
            try:
                page = self._outbox.pending(self._broker, self._read_upto, _PAGE)
            except TransientError:
                self._behind = True
                raise
            if len(page) == _PAGE:
                self._behind = True
            self._take(page, now)
        while self._fresh and self._may_read and not self._behind:
            self._take([self._fresh.popleft() for _ in range(min(len(self._fresh), _PAGE))], now)

    def _take(self, entries: list[Entry], now: float) -> None:
        entries = [entry for entry in entries if entry.seq > self._read_upto]
        if entries:
            self._window.add(entries, now)
            self._read_upto = entries[-1].seq

    def _see_blocked(self) -> bool:
        blocked = self._sink.blocked
        if blocked != self._blocked:
            if blocked:
                log.warning(
                    "%s: the broker takes nothing now (%s); %d messages wait",
                    self._sink.name,
                    blocked,
                    self._waiting(),
                )
            else:
                log.info("%s: the broker takes messages again", self._sink.name)
            self._blocked = blocked
        return bool(blocked)

    def _settle(self, outcomes: list[Outcome]) -> None:
        confirmed: list[int] = []
        ids: list[str] = []
        for outcome in outcomes:
            if outcome.verdict is Verdict.CONFIRMED:
                if (entry := self._window.ack(outcome.seq)) is not None:
                    confirmed.append(outcome.seq)
                    ids.append(entry.message.id)
            else:
                self._refused(outcome)
        if confirmed:
            if not self._proven:
                self._proven = True
                self._failures = self._useless = 0
                self._closed_after = ""
            self._published += len(confirmed)
            self._outbox.confirm(self._broker, confirmed)
            self._told(ids)
            self._alarms.delivered(confirmed, self._now())

    def _refused(self, outcome: Outcome) -> None:
        now = self._now()
        entry = self._window.nack(outcome.seq, now)
        if entry is None:
            return
        if outcome.verdict is Verdict.RETURNED:
            self._returned += 1
        else:
            self._nacked += 1
        self._last_error = outcome.reason
        self._outbox.postpone(outcome.seq, now + self._window.retry, outcome.reason)
        self._alarms.refused(entry, outcome.reason, now, self._waiting())

    def _waiting(self) -> int:
        return self._outbox.counts().get(self._broker, 0)

    def status(self) -> Mapping[str, object]:
        """Numbers for the snapshot; `oldest_s` is in seconds."""
        return {
            "name": self._sink.name,
            "connected": self._connected,
            "outbox": self._waiting(),
            "oldest_s": round(self._outbox.oldest(self._broker), 3),
            "published": self._published,
            "returned": self._returned,
            "nacked": self._nacked,
            "sent_again": self._again,
            "in_flight": self._window.in_flight,
            "parked": self._window.parked,
            "blocked": self._blocked,
            "last_error": self._last_error,
        }
