"""The same commands on the process's own terminal: `run --console`."""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable, Mapping
from threading import Event
from typing import Protocol

from daemon.console.dialogue import Dialogue
from daemon.console.outlet import Outlet
from daemon.console.registry import Registry
from daemon.console.server import Spawn, spawn_thread
from daemon.console.session import Session
from daemon.runtime import native

log = logging.getLogger("arimonitor.console")

_LOOK_AGAIN = 0.5
_SEND_DEADLINE = 5.0
_NO_ROOM = 0.05


class File(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


class Terminal:
    """The service that reads lines from `stdin` and answers on `stdout`.

    The end of the input and `quit` end the console, never the daemon: it then
    waits for the daemon's own end.
    """

    def __init__(
        self,
        registry: Registry,
        stdin: File,
        stdout: File,
        *,
        banner: Callable[[], str],
        spawn: Spawn = spawn_thread,
        name: str = "terminal",
    ) -> None:
        self.name = name
        self._registry = registry
        self._banner = banner
        self._stdin = stdin.fileno()
        self._stdout = stdout.fileno()
        self._spawn = spawn
        self._open = False

    def run(self, stop: Event) -> None:
        """Converse until `stop` is set or the input ends; then wait for `stop`."""
        outlet = Outlet(self._write, lambda: None)
        session = Session(self._banner(), telnet=False)
        dialogue = Dialogue(self._registry, session, outlet, "terminal")
        self._spawn(f"{self.name}-writer", outlet.pump)
        self._open = True
        try:
            dialogue.greet()
            self._converse(dialogue, stop)
            dialogue.end(
                "The daemon stops." if stop.is_set() else "The console is closed; the daemon goes on."
            )
            outlet.drain(_SEND_DEADLINE)
        finally:
            self._open = False
            dialogue.close()
            outlet.end()
        stop.wait()

    def status(self) -> Mapping[str, object]:
        """Whether anybody can type there."""
        return {"open": self._open}

    def _converse(self, dialogue: Dialogue, stop: Event) -> None:
        while not stop.is_set() and not dialogue.over:
            readable, _, _ = select.select([self._stdin], [], [], _LOOK_AGAIN)
            if not readable:
                continue
            try:
                data = os.read(self._stdin, 64 * 1024)
            except OSError as error:
                # EIO: the terminal was hung up.
                log.info("the terminal can't be read any more: %s", error)
                return
            if not data:
                return
            dialogue.feed(data)

    def _write(self, data: bytes) -> int:
        """Send some of `data`; a terminal that is held up (Ctrl-S) blocks nobody else."""
        until = time.monotonic() + _SEND_DEADLINE
        while (left := until - time.monotonic()) > 0:
            _, writable, _ = select.select([], [self._stdout], [], left)
            if writable:
                try:
                    return os.write(self._stdout, data[: native.room(self._stdout)])
                except BlockingIOError:  # there is room, but not for so much
                    time.sleep(_NO_ROOM)
        return 0
