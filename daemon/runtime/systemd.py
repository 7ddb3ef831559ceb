"""What systemd is told, and its watchdog. Without systemd all of it does nothing.

The protocol is one datagram per message to `$NOTIFY_SOCKET` (sd_notify(3)); a
leading `@` is Linux's abstract namespace.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from threading import Event

log = logging.getLogger("arimonitor.systemd")

SEND_TIMEOUT = 1.0


class Notifier:
    """Sends sd_notify messages to `address`; "" sends nothing."""

    def __init__(self, address: str = "") -> None:
        self.address = address
        self._failed = False

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Notifier:
        """The socket systemd named. It is taken out of `environ`: children must not use it."""
        return cls(environ.pop("NOTIFY_SOCKET", ""))

    def ready(self, status: str = "") -> bool:
        """Start-up, or a reload, is finished."""
        return self.send(READY="1", **({"STATUS": status} if status else {}))

    def reloading(self) -> bool:
        """A reload begins; `ready` must follow."""
        return self.send(
            RELOADING="1", MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        )

    def stopping(self, status: str = "") -> bool:
        """The end has begun."""
        return self.send(STOPPING="1", **({"STATUS": status} if status else {}))

    def status(self, sentence: str) -> bool:
        """One sentence that `systemctl status` shows."""
        return self.send(STATUS=sentence)

    def watchdog(self) -> bool:
        """A sign of life."""
        return self.send(WATCHDOG="1")

    def send(self, **fields: str) -> bool:
        """Send fields in one datagram; whether it was sent. A failure is logged once."""
        if not self.address:
            return False
        lines = [f"{name}={' '.join(value.splitlines())}" for name, value in fields.items()]
        target = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SEND_TIMEOUT)
                sender.sendto("\n".join(lines).encode(), target)
        except OSError as error:
            if not self._failed:
                log.warning("systemd can't be told at %s: %s", self.address, error)
            self._failed = True
            return False
        self._failed = False
        return True


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds between signs of life, half of what systemd asks; None when it asks for none.

    `WATCHDOG_PID` names the process that is meant (sd_watchdog_enabled(3)).
    """
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 2e6 if usec.isdigit() and int(usec) > 0 else None


class Watchdog:
    """A service that gives signs of life only while `healthy()` says that there is progress.

    It runs on the hub like everything else, so a stuck hub gives none either
    and systemd starts the process again. `interval` is in seconds; None: no
    watchdog is wanted, the service waits for its end.
    """

    name = "watchdog"

    def __init__(
        self, notifier: Notifier, healthy: Callable[[], bool], interval: float | None = None
    ) -> None:
        self._notifier = notifier
        self._healthy = healthy
        self.interval = interval
        self.pings = 0
        self.withheld = 0

    @classmethod
    def from_environ(
        cls, notifier: Notifier, healthy: Callable[[], bool], environ: Mapping[str, str]
    ) -> Watchdog:
        """With the interval systemd asks this process for."""
        return cls(notifier, healthy, watchdog_interval(environ, os.getpid()))

    def run(self, stop: Event) -> None:
        """One sign of life at once, then one per interval."""
        if self.interval is None:
            stop.wait()
            return
        while True:
            self._beat()
            if stop.wait(self.interval):
                return

    def status(self) -> Mapping[str, object]:
        """`withheld` counts the signs not given because nothing progressed."""
        return {"interval_s": self.interval, "pings": self.pings, "withheld": self.withheld}

    def _beat(self) -> None:
        if self._healthy():
            if self.withheld:
                log.info("there is progress again, systemd gets its signs of life withheld=%d", self.withheld)
                self.withheld = 0
            self.pings += self._notifier.watchdog()
            return
        if not self.withheld:
            log.error("no progress: systemd gets no more signs of life and will start this process again")
        self.withheld += 1
