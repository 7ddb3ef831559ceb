"""Looks at all endpoints of one Asterisk: after each connection, whenever somebody asks, and now and then.

A look may take a second, so it is made here and handed to the monitor, which
uses it in line with the events.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from threading import Event

from daemon.directory.endpoints import Look
from daemon.directory.looker import Looker
from daemon.errors import PermanentError, TransientError

log = logging.getLogger("arimonitor.directory")

_AGAIN = 30.0  # seconds after which a look that failed is made again
_EVERY = 60.0  # seconds between two looks: a PJSIP that hangs makes no event
_IDLE = 1.0  # seconds: how soon `stop` is seen


class Looks:
    """Service. `hand(look)` gives a look to the monitor."""

    def __init__(self, looker: Looker, hand: Callable[[Look], None]) -> None:
        self.name = f"endpoints-{looker.name}"
        self.looker = looker
        self._hand = hand
        self._wanted = Event()
        self._made = 0
        self._error = ""
        self._started: int | None = None

    def want(self) -> None:
        """Look soon; any thread may say so."""
        self._wanted.set()

    def look(self) -> Look:
        """Look now, and hand it on. Raises TransientError or PermanentError."""
        look = self.looker.look()
        self._notice_restart(look)
        self._hand(look)
        self._made += 1
        return look

    def _notice_restart(self, look: Look) -> None:
        """Asterisk says when it started: later than it said before means that it was restarted."""
        if look.started is None:
            return
        if self._started is not None and look.started > self._started:
            ago = (look.begun - look.started) / 1000
            log.warning("%s was restarted %.0f s ago: its calls were cut off", self.looker.name, ago)
        self._started = look.started

    def run(self, stop: Event) -> None:
        """Until `stop`: a look each time one is wanted, and each minute; sooner again while it fails."""
        due: float | None = None  # not before somebody wanted one: until then it is not connected
        while not stop.is_set():
            if not self._wanted.wait(_IDLE) and (due is None or time.monotonic() < due):
                continue
            self._wanted.clear()
            try:
                self.look()
                self._error, due = "", time.monotonic() + _EVERY
            except (TransientError, PermanentError) as error:
                if str(error) != self._error:
                    log.warning("the endpoints of %s can't be looked at: %s", self.looker.name, error)
                self._error, due = str(error), time.monotonic() + _AGAIN

    def status(self) -> Mapping[str, object]:
        """How many looks were made, why the last one failed, and why addresses are not known."""
        return {"looks": self._made, "error": self._error, "addresses": self.looker.problem}
