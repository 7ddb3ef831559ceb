"""When not to ask any more: a circuit breaker. Pure; `now` is one monotonic clock, in seconds.

              `threshold` calls in a row without an answer
      +--------+ ------------------------------------> +------+
      | closed |                                       | open | <--------------+
      +--------+ <-------------+                       +------+                |
           ^                   |                           | `pause` later     | no answer:
           |  any answer       |                           v                   | pause doubled,
           +-------------------+---------------------+-----------+             | up to `cap`
                                                     | half-open | ------------+
                                                     +-----------+
                                                  one call is let through

ARI can deadlock: TCP connects, nothing answers, and each request that is sent
holds one of Asterisk's threads for good. What counts is silence only. A
refused connection or an error is an answer: the process is another one, or
alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Circuit(Enum):
    """The states."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The breaker of one Asterisk's REST calls. Ask `allows`, then tell `answered` or `unanswered`."""

    def __init__(self, *, threshold: int = 3, pause: float = 5.0, cap: float = 60.0) -> None:
        if threshold < 1 or not 0 < pause <= cap:
            raise ValueError(f"no breaker: threshold={threshold} pause={pause} cap={cap}")
        self.threshold = threshold
        self.pause = pause
        self.cap = cap
        self.state = Circuit.CLOSED
        self.silences = 0  # in a row
        self.refusals = 0  # calls not made, since the start
        self._next_pause = pause
        self._until = 0.0

    def allows(self, now: float) -> bool:
        """May a call be made now? A True while half-open is the one call that is let through."""
        if self.state is Circuit.CLOSED:
            return True
        if now < self._until:
            self.refusals += 1
            return False
        # The caller that never tells (it was killed) is forgotten after another pause.
        self.state = Circuit.HALF_OPEN
        self._until = now + self._next_pause
        return True

    def answered(self) -> bool:
        """An answer came, whatever it said. True when that closed the circuit."""
        closes = self.state is not Circuit.CLOSED
        self.state = Circuit.CLOSED
        self.silences = 0
        self._next_pause = self.pause
        return closes

    def unanswered(self, now: float) -> bool:
        """No answer came in time. True when that opened the circuit (not when it stays open)."""
        self.silences += 1
        if self.state is Circuit.CLOSED:
            if self.silences < self.threshold:
                return False
            self._open(now)
            return True
        if self.state is Circuit.HALF_OPEN:
            self._next_pause = min(self.cap, 2.0 * self._next_pause)
            self._open(now)
        return False  # open: a call that was under way as it opened

    def wait(self, now: float) -> float:
        """Seconds until a call is let through; 0 when one is."""
        return 0.0 if self.state is Circuit.CLOSED else max(0.0, self._until - now)

    def status(self) -> Mapping[str, object]:
        """Plain data for the snapshot."""
        return {"state": self.state.value, "unanswered": self.silences, "not_asked": self.refusals}

    def _open(self, now: float) -> None:
        self.state = Circuit.OPEN
        self._until = now + self._next_pause
