"""Starts a daemon whose wall clock is wrong by what a file says, as soon as it says so.

    ARIMONITOR_TEST_CLOCK=FILE python wrong_clock.py run -c FILE    in place of `python -m daemon run -c FILE`

The file has seconds, "3600" or "-3600"; it is read again five times a second. The steady clocks and the event
loop go on: so it is where NTP, or somebody's hand, sets the time of a machine. What it does not move is
`datetime.now`, which only the date of a mail's copy in the folder Sent is made of.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

LOOK_EVERY = 0.2  # seconds


class Shift:
    """By how many seconds the wall clock is wrong just now."""

    def __init__(self, file: Path, steady: Callable[[], float]) -> None:
        self._file, self._steady = file, steady
        self._look_at = 0.0
        self._seconds = 0.0

    def look(self) -> float:
        """Seconds; positive where it is ahead."""
        if (now := self._steady()) >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._seconds = float(self._file.read_text())
        return self._seconds


def wrong(file: Path) -> None:
    """The wall clock of this process is wrong from now on by what the file says."""
    wall, wall_ns, shift = time.time, time.time_ns, Shift(file, time.monotonic)
    time.time = lambda: wall() + shift.look()
    time.time_ns = lambda: wall_ns() + int(shift.look() * 1e9)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # where `-m daemon` would look, not where this file is
    wrong(Path(os.environ["ARIMONITOR_TEST_CLOCK"]))
    runpy.run_module("daemon", run_name="__main__", alter_sys=True)
