"""Starts a daemon whose clocks skip every pause of the process, as those of a paused virtual machine do.

    python blind_clock.py run -c FILE        in place of `python -m daemon run -c FILE`

A pause is a time in which nobody asked for the time, which a daemon's loop does all the time. What is left
as it is: the event loop's own timers, and the wall clock, which on a real machine NTP sets right again.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Callable

PAUSE = 1.5  # seconds: no hub is blocked for so long but by a pause


class Skipping:
    """A clock without the pauses. `real` is the one that has them."""

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self._last = real()
        self.skipped = 0.0

    def look(self) -> float:
        """How many seconds the pauses took so far."""
        now = self._real()
        if now - self._last > PAUSE:
            self.skipped += now - self._last
        self._last = now
        return self.skipped


def blind() -> None:
    """The steady clocks of this process skip its pauses from now on."""
    monotonic, clock_gettime = time.monotonic, time.clock_gettime
    monotonic_ns, clock_gettime_ns = time.monotonic_ns, time.clock_gettime_ns
    skipping = Skipping(lambda: clock_gettime(time.CLOCK_BOOTTIME))
    wall = {time.CLOCK_REALTIME, time.CLOCK_PROCESS_CPUTIME_ID, time.CLOCK_THREAD_CPUTIME_ID}
    time.monotonic = lambda: monotonic() - skipping.look()
    time.monotonic_ns = lambda: monotonic_ns() - int(skipping.look() * 1e9)
    time.clock_gettime = lambda clock: clock_gettime(clock) - (0.0 if clock in wall else skipping.look())
    time.clock_gettime_ns = lambda clock: (
        clock_gettime_ns(clock) - (0 if clock in wall else int(skipping.look() * 1e9))
    )


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # where `-m daemon` would look, not where this file is
    blind()
    runpy.run_module("daemon", run_name="__main__", alter_sys=True)
