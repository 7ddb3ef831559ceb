"""Ends a process that hangs as the master, from outside the hub. Service of a real thread.

A hub that is blocked longer than the lease lasts would go on with what it was doing when it wakes, before
anything could tell it that another node is master. ZooKeeper's fence stops what goes through ZooKeeper; for
all else the process ends, and systemd starts it again.

A process that was paused as a whole (SIGSTOP, a suspended machine) is not killed for that: the thread counts
its own sleeps, not the clock, so that the hub gets its turn first and finds that the lease is over.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ha.lease import LeaseCell

EXIT_STATUS = 70
"""Of a process that was ended here (EX_SOFTWARE)."""

_LOOK_EVERY = 0.25  # seconds


class Deadman:
    """`ticked` gives a number that changes as long as the hub runs; it is called in the real thread.

    `start_thread` and `sleep` are the unpatched ones, `emergency` writes a line without a lock.
    """

    def __init__(
        self,
        ticked: Callable[[], float],
        start_thread: Callable[[Callable[[], None]], None],
        sleep: Callable[[float], None],
        emergency: Callable[[str], None],
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._ticked = ticked
        self._start_thread = start_thread
        self._sleep = sleep
        self._emergency = emergency
        self._end = end
        self._life: object = None

    def start(self, lease: LeaseCell, limit: Callable[[], float]) -> None:
        """Watch from now on; `limit` is seconds without a tick that a master may have."""
        life = object()
        self._life = life
        self._start_thread(lambda: self._watch(life, lease, limit))

    def stop(self) -> None:
        """Watch no longer."""
        self._life = None

    def _watch(self, life: object, lease: LeaseCell, limit: Callable[[], float]) -> None:
        """In a real thread: plain attributes only, no lock, no log."""
        last, silent = self._ticked(), 0.0
        while self._life is life:
            self._sleep(_LOOK_EVERY)
            now = self._ticked()
            if now != last or lease.lease is None:
                last, silent = now, 0.0
                continue
            silent += _LOOK_EVERY
            if silent >= limit():
                self._emergency(
                    f"the hub is stuck for {silent:.1f} s as the master, longer than the lease lasts:"
                    " this process ends at once"
                )
                self._end(EXIT_STATUS)
                return
