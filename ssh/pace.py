"""No faster than so many bytes a second. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Sleeps before more is moved than `rate` bytes a second allow; `rate` may change at any time."""

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rate = rate
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def take(self, count: int) -> None:
        """So many bytes are about to be moved."""
        now = self._clock()
        self._next = max(self._next, now)
        if not self.rate:
            return
        if self._next > now:
            self._sleep(self._next - now)
        self._next += count / self.rate

    def piece(self, most: int) -> int:
        """Bytes to move at a time: a tenth of a second's at most."""
        return min(most, max(1024, self.rate // 10)) if self.rate else most
