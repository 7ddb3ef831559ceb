"""Each minute a line of figures in the performance log: rates since the last one, and levels. Root."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from threading import Event

log = logging.getLogger("arimonitor.performance")


class Performance:
    """Service. `counters` are numbers by dotted name; `every` is in seconds."""

    name = "performance"

    def __init__(self, counters: Callable[[], Mapping[str, int | float]], every: float = 60.0) -> None:
        self._counters = counters
        self._every = every
        self._before: Mapping[str, int | float] = {}

    def run(self, stop: Event) -> None:
        """One line a period, until `stop`."""
        self._before = self._counters()
        while not stop.wait(self._every):
            now = self._counters()
            log.info(
                "events_per_s=%.1f stored=%d active_calls=%d waiting=%d hub_p99_ms=%s",
                self._since("events", now) / self._every,
                self._since("outbox.stored_total", now),
                now.get("active_calls", 0),
                now.get("outbox.waiting", 0),
                now.get("hub.p99_ms", 0),
            )
            self._before = now

    def status(self) -> Mapping[str, object]:
        """How often it writes."""
        return {"every_s": self._every}

    def _since(self, name: str, now: Mapping[str, int | float]) -> float:
        return now.get(name, 0) - self._before.get(name, 0)
