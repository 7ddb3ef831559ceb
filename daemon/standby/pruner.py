"""Keeps a standby's outbox small: what the master has published is let go of. Service of the slave."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from threading import Event

from daemon.errors import TransientError
from daemon.outbox.store import Outbox
from daemon.standby.asking import Asker
from daemon.standby.journal import Block
from daemon.standby.marks import Marks
from daemon.standby.reading import JournalReader

log = logging.getLogger("arimonitor.standby")


class Pruner:
    """Service: reads the journal every so many seconds and asks about what is left (`asking`)."""

    name = "pruner"

    def __init__(
        self,
        node: str,
        outbox: Outbox,
        marks: Marks,
        reader: JournalReader,
        ours: Callable[[str], bool],
        *,
        every: float = 1.0,
        ripe: float = 10.0,
    ) -> None:
        self._reader = reader
        self._asker = Asker(node, outbox, marks, ours, ripe=ripe)
        self._every = every
        self._trouble = ""
        self._master: tuple[int, int] | None = None  # the epoch that writes, and the holes so far
        self._head: Block | None = None

    def run(self, stop: Event) -> None:
        """Until `stop`."""
        self._asker.start_over()
        while not stop.wait(self._every):
            try:
                self.step(time.monotonic())
            except TransientError as error:
                if not self._trouble:
                    log.warning("what the master has published can't be learnt, trying again: %s", error)
                self._trouble = str(error)
            else:
                self._trouble = ""

    def step(self, now: float) -> None:
        """One round at `now` (s, monotonic). Raises TransientError."""
        self._head = self._reader.read()
        if self._head is None:
            return  # nobody publishes
        master = self._head.epoch, self._reader.missed
        if master != self._master:
            self._master = master
            self._asker.start_over()
        self._asker.step(now, self._head.epoch)

    def status(self) -> Mapping[str, object]:
        """Messages let go of by the journal, by asking, and given up; handed to the master; who that is."""
        head = self._head
        return {
            "master": head.node if head is not None else None,
            "epoch": head.epoch if head is not None else None,
            "dropped": self._reader.dropped,
            "settled": self._asker.settled,
            "given_up": self._asker.given_up,
            "handed": self._asker.handed,
            "blocks_missed": self._reader.missed,
            "trouble": self._trouble,
        }
