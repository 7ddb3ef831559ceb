"""The outbox's housekeeping: writes confirmations, prunes, recovers from a full disk, warns."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from threading import Event

from daemon.errors import TransientError
from daemon.outbox.store import Outbox

log = logging.getLogger("arimonitor.outbox")

WARN_AT = (10_000, 100_000, 1_000_000)
"""Messages that wait, over all brokers: a warning each time one of these is passed."""
LOW_DISK = 200 * 1024 * 1024
"""Free bytes on the outbox's disk below which it warns."""


class Keeper:
    """Service: everything about the outbox that nobody waits for. Periods are in seconds."""

    name = "outbox"

    def __init__(
        self,
        outbox: Outbox,
        *,
        flush_every: float = 0.1,
        recover_every: float = 3.0,
        upkeep_every: float = 5.0,
        prune_every: float = 60.0,
    ) -> None:
        self._outbox = outbox
        self._flush_every = flush_every
        self._recover_every = recover_every
        self._upkeep_every = upkeep_every
        self._prune_every = prune_every
        self._level = 0
        self._low_disk = False
        self._bytes = 0
        self._trouble = ""

    def run(self, stop: Event) -> None:
        """Until `stop`: each part at its own period."""
        due = {self._flush: 0.0, self._recover: 0.0, self._upkeep: 0.0, self._prune: 0.0}
        every = {
            self._flush: self._flush_every,
            self._recover: self._recover_every,
            self._upkeep: self._upkeep_every,
            self._prune: self._prune_every,
        }
        while not stop.wait(self._flush_every):
            for part in due:
                now = time.monotonic()
                if now >= due[part]:
                    due[part] = now + every[part]
                    self._try(part)

    def _try(self, part: Callable[[], None]) -> None:
        try:
            part()
        except TransientError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("the outbox's upkeep failed and is tried again: %s", error)
        else:
            if part == self._upkeep:
                self._trouble = ""

    def _flush(self) -> None:
        if not self._outbox.degraded:
            self._outbox.flush()

    def _recover(self) -> None:
        if self._outbox.degraded:
            self._outbox.recover()

    def _prune(self) -> None:
        # A thousand ids a step, some steps a round: no long transaction, and the rest the next time.
        for _ in range(20):
            if not self._outbox.prune():
                break

    def _upkeep(self) -> None:
        self._outbox.refresh()
        self._bytes = self._outbox.disk_bytes()
        waiting = sum(self._outbox.counts().values())
        level = sum(waiting >= step for step in WARN_AT)
        if level > self._level:
            log.warning("%d messages wait in the outbox (%d MB on the disk)", waiting, self._bytes >> 20)
        elif level < self._level:
            log.info("%d messages wait in the outbox: fewer than %d again", waiting, WARN_AT[level])
        self._level = level
        free = shutil.disk_usage(self._outbox.path.parent).free
        if (free < LOW_DISK) != self._low_disk:
            self._low_disk = free < LOW_DISK
            if self._low_disk:
                log.warning("the outbox's disk has %d MB left (%s)", free >> 20, self._outbox.path.parent)
            else:
                log.info("the outbox's disk has %d MB free again", free >> 20)

    def status(self) -> Mapping[str, object]:
        """Numbers for the snapshot."""
        return {
            "waiting": sum(self._outbox.counts().values()),
            "stored_total": self._outbox.stored_total,
            "commits": self._outbox.commits,
            "disk_bytes": self._bytes,
            "disk_low": self._low_disk,
            "degraded": self._outbox.degraded,
            "held_in_memory": self._outbox.held,
        }
