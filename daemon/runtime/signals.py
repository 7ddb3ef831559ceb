"""Signals become events; nothing else happens in a handler.

A Python signal handler may run in the hub itself, where blocking is an error,
so a handler only sets an event and a service acts on it.

========  ====================================================
SIGTERM   stop; a second one leaves at once, with status 143
SIGINT    as SIGTERM (a second one: 130)
SIGHUP    reload
SIGUSR1   every greenlet's stack goes to the log
========  ====================================================
"""

from __future__ import annotations

import logging
import os
import signal
from threading import Event
from types import FrameType
from typing import Any

from gevent.util import format_run_info

log = logging.getLogger("arimonitor.signals")


class Signals:
    """The process's signals as events: `stop`, `reload`, `dump`."""

    def __init__(
        self, stop: Event | None = None, reload: Event | None = None, dump: Event | None = None
    ) -> None:
        self.stop = stop or Event()
        self.reload = reload or Event()
        self.dump = dump or Event()
        self.received: dict[str, int] = {}
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the signals over; main thread only."""
        handlers = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: self._on_reload,
            signal.SIGUSR1: self._on_dump,
        }
        for number, handler in handlers.items():
            self._before[number] = signal.signal(number, handler)

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._count(number)
        if self.stop.is_set():
            # Asked twice: whatever hangs is not waited for. Nothing is lost by it, since every
            # promise is on disk before it is given.
            os.write(2, b"asked to stop twice, leaving at once\n")
            os._exit(128 + number)
        self.stop.set()

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._count(number)
        self.reload.set()

    def _on_dump(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._count(number)
        self.dump.set()

    def _count(self, number: int) -> None:
        name = signal.Signals(number).name
        self.received[name] = self.received.get(name, 0) + 1


def dump_greenlets(asked: Event) -> None:
    """Log the stacks of all greenlets each time `asked` is set; for the supervisor's `spawn`, never ends."""
    while True:
        asked.wait()
        asked.clear()
        log.warning("stacks of all greenlets, as asked for:\n%s", "\n".join(format_run_info()))
