"""Hands over when this node has lost an Asterisk that a standby still sees. Service of the master."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from threading import Event

from daemon.errors import TransientError
from daemon.standby.blindness import better_there, connections

log = logging.getLogger("arimonitor.standby")


class BlindMaster:
    """Service. A run begins when this node becomes master: the hold-off counts from there.

    `mine` says of each Asterisk with watch = "both" whether it is connected; `others` what the other
    nodes that are here say of themselves, by name. `step_down(to, reason)` asks for a planned
    switchover and raises TransientError where that is refused.
    """

    name = "blind-master"

    def __init__(
        self,
        mine: Callable[[], Mapping[str, bool]],
        others: Callable[[], Mapping[str, Mapping[str, object]]],
        step_down: Callable[[str, str], object],
        *,
        every: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mine = mine
        self._others = others
        self._step_down = step_down
        self._every = every
        self._clock = clock
        self._lost: dict[str, float] = {}
        self._refused = ""

    def run(self, stop: Event) -> None:
        """Look every so often until `stop`."""
        since = self._clock()
        self._lost.clear()
        while not stop.wait(self._every):
            if self.look(since):
                since = self._clock()  # should nothing come of it, it is asked for again after the hold-off

    def look(self, since: float) -> bool:
        """Hand over if that is better; whether it was asked for. `since`: master from then on."""
        now = self._clock()
        mine = self._mine()
        self._lost = {name: self._lost.get(name, now) for name, there in mine.items() if not there}
        if not self._lost:
            self._refused = ""
            return False
        gone = {name: None if there else now - self._lost[name] for name, there in mine.items()}
        for node, facts in sorted(self._others().items()):
            reason = better_there(gone, connections(facts), now - since)
            if reason is None:
                continue
            try:
                self._step_down(node, reason)
            except TransientError as error:
                if str(error) != self._refused:
                    self._refused = str(error)
                    log.warning("%s should be master (%s), but: %s", node, reason, error)
                continue
            log.warning("this node hands over to %s: %s", node, reason)
            return True
        return False

    def status(self) -> Mapping[str, object]:
        """Asterisks whose connection is gone, and why no other node took over."""
        return {"gone": sorted(self._lost), "refused": self._refused}
