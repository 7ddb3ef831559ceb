"""How late the hub is, and who made it late.

A ticker on the hub measures by how much each of its short sleeps overran. A
real thread looks at the ticker from outside: when it is overdue the hub is
blocked at this moment, and the thread takes the stack of what blocks it. The
ticker logs that stack once the hub is free again; for a hub that does not
become free there is `emergency`, which must be safe in a real thread.

This replaces gevent's own monitor, which traces every switch of greenlets.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from threading import Event

from daemon.runtime import native
from daemon.runtime.lag import Lag, LagWindow

log = logging.getLogger("arimonitor.hub")

WARN_EVERY = 60.0
"""Seconds between two warnings; what comes between is counted."""


class HubWatch:
    """A service: the hub's lag over the last minute, and its blockages.

    `interval` and `threshold` are seconds; a lag over the threshold is a
    blockage. After `stuck` seconds of one blockage `emergency(text)` is called
    from a real thread, once per blockage.
    """

    name = "hub watch"

    def __init__(
        self,
        *,
        interval: float = 0.02,
        threshold: float = 0.2,
        stuck: float = 10.0,
        emergency: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval = interval
        self.threshold = threshold
        self.stuck = stuck
        self.ticks = 0
        """Changes as long as the hub runs; may be read in a real thread."""
        self.blocked = 0
        self.blocked_seconds = 0.0
        self._emergency = emergency
        self._clock = clock
        self._window = LagWindow()
        self._due = 0.0
        self._life: object = None
        self._watching = False
        self._stack = ""
        self._unsaid = 0
        self._said_at: float | None = None

    def run(self, stop: Event) -> None:
        """Tick until `stop` is set."""
        ident = native.thread_ident()
        self._due = self._clock() + self.interval
        self._watching = True
        life = object()
        self._life = life
        native.start_thread(lambda: self._look_from_outside(ident, life))
        try:
            while not stop.wait(self.interval):
                now = self._clock()
                self.ticks += 1
                self._tick(now, max(0.0, now - self._due))
                self._due = self._clock() + self.interval
        finally:
            self._watching = False

    def lag(self) -> Lag:
        """The last minute's lag in seconds."""
        return self._window.summary(self._clock())

    def status(self) -> Mapping[str, object]:
        """Milliseconds over the last minute; blockages since the start."""
        lag = self.lag()
        return {
            "p50_ms": round(lag.p50 * 1000, 2),
            "p99_ms": round(lag.p99 * 1000, 2),
            "max_ms": round(lag.max * 1000, 2),
            "samples": lag.samples,
            "blocked": self.blocked,
            "blocked_s": round(self.blocked_seconds, 3),
        }

    def _tick(self, now: float, lag: float) -> None:
        self._window.add(now, lag)
        if lag < self.threshold:
            return
        self.blocked += 1
        self.blocked_seconds += lag
        self._unsaid += 1
        stack, self._stack = self._stack, ""
        if self._said_at is not None and now - self._said_at < WARN_EVERY:
            return
        where = f", in\n{stack}" if stack else ""
        log.warning("the hub was blocked for %.3f s blockages=%d%s", lag, self._unsaid, where)
        self._said_at = now
        self._unsaid = 0

    def _look_from_outside(self, ident: int, life: object) -> None:
        """In a real thread: plain attributes only, no lock, no log."""
        told_due = 0.0
        while self._watching and self._life is life:
            native.sleep(self.threshold / 2)
            due, late = self._due, self._clock() - self._due
            if late < self.threshold or not self._watching:
                continue
            frame = native.frame_of(ident)
            if frame is not None:
                self._stack = "".join(traceback.format_stack(frame, limit=30))
            if late >= self.stuck and due != told_due and self._emergency is not None:
                told_due = due
                self._emergency(f"the hub is stuck for {late:.0f} s, in\n{self._stack}")
