"""Mails to the admin about trouble, at most one of a kind an hour (`mail.alerts`). Service."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from daemon.mail.alarms import Facts, Kind, to_tell, troubles
from daemon.mail.model import Answer

log = logging.getLogger("arimonitor.mail")

_EVERY = 15.0


class Alerts:
    """Looks at `facts` every 15 s; what is new goes to `post`. `wanted` and `language` are settings."""

    name = "alerts"

    def __init__(
        self,
        facts: Callable[[], Facts],
        compose: Callable[[Kind, str, float], Answer],
        post: Callable[[Answer], None],
        wanted: Callable[[], bool],
        language: Callable[[], str],
        *,
        every: float = _EVERY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._facts = facts
        self._compose = compose
        self._post = post
        self._wanted = wanted
        self._language = language
        self._every = every
        self._clock = clock
        self._told: dict[Kind, float] = {}
        self._sent = 0

    def run(self, stop: Event) -> None:
        """Until `stop`."""
        before = self._facts()
        while not stop.wait(self._every):
            now = self._facts()
            found, told = troubles(now, before), troubles(now, before, self._language())
            before = now
            if not self._wanted():
                continue
            at = self._clock()
            for kind, text in to_tell(found, self._told, at).items():
                self._told[kind] = at
                self._sent += 1
                log.warning("the admin is told by mail (%s): %s", kind, text)
                self._post(self._compose(kind, told[kind], at))

    def status(self) -> dict[str, object]:
        """How many were sent."""
        return {"sent": self._sent}
