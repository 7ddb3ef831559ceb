"""What is on its way to and from other machines, and how fast it may go. Pure but for the clock.

One for the process: `view()` is what the console shows. A machine's bandwidth
is divided among the transfers that run at the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

BYTES_OF_KBIT: Final = 125


@dataclass(slots=True)
class Moving:
    """A transfer: `moved` bytes of `of` are there, what an earlier try had moved included."""

    machine: str
    path: str
    out: bool
    of: int
    bandwidth: int
    begun: float
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A transfer as the console shows it. `out`: to that machine; `seconds` since it began."""

    machine: str
    path: str
    out: bool
    bytes: int
    of: int
    seconds: float


class Traffic:
    """The transfers of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running: list[Moving] = []

    @contextmanager
    def moving(self, machine: str, path: str, *, out: bool, of: int, bandwidth: int = 0) -> Iterator[Moving]:
        """One transfer, for the block. `bandwidth` in kbit/s of that machine in all; 0: unbounded."""
        one = Moving(machine, path, out, of, bandwidth, self._clock())
        self._running.append(one)
        try:
            yield one
        finally:
            self._running = [each for each in self._running if each is not one]

    def rate(self, one: Moving) -> int:
        """Bytes a second that it may have now; 0: unbounded."""
        if not one.bandwidth:
            return 0
        sharing = sum(each.machine == one.machine for each in self._running)
        return max(1, one.bandwidth * BYTES_OF_KBIT // max(1, sharing))

    def view(self) -> tuple[Progress, ...]:
        """All of them, the oldest first."""
        now = self._clock()
        return tuple(
            Progress(each.machine, each.path, each.out, each.moved, each.of, now - each.begun)
            for each in self._running
        )
