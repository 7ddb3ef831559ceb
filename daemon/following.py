"""Events for those who watch them: the console's `events follow`, and the log in debug mode. Root."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Event

from daemon.ari.monitor import Monitor
from daemon.console.live import Feed

log = logging.getLogger("arimonitor.ari.events")

_LOOK = 0.2


class Follower:
    """Service: carries one Asterisk's events to the feed, and into the log at level DEBUG.

    It costs nothing while nobody watches: the monitor is tapped only then.
    """

    def __init__(self, monitor: Monitor, feed: Feed) -> None:
        self.name = f"follow-{monitor.asterisk}"
        self._monitor = monitor
        self._feed = feed
        self._dropped = 0

    def run(self, stop: Event) -> None:
        """Until `stop`."""
        while not stop.wait(_LOOK):
            if self._wanted():
                self._follow(stop)

    def status(self) -> Mapping[str, object]:
        """`dropped`: events that a slow watcher missed."""
        return {"dropped": self._dropped}

    def _wanted(self) -> bool:
        return self._feed.watched or log.isEnabledFor(logging.DEBUG)

    def _follow(self, stop: Event) -> None:
        tap = self._monitor.follow()
        try:
            while self._wanted() and not stop.is_set():
                events, dropped = tap.read(_LOOK)
                self._dropped += dropped
                for received_at, event, frame in events:
                    self._feed.publish(self._monitor.asterisk, event, received_at)
                    if log.isEnabledFor(logging.DEBUG):
                        log.debug(
                            "%s from %s",
                            event.type,
                            self._monitor.asterisk,
                            extra={"data": frame.decode(errors="replace")},
                        )
        finally:
            self._monitor.unfollow(tap)
