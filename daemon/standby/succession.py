"""From one node that publishes to the next: the old one's last word, the new one's first look. Service.

planned     hand_over: publishers drain, the journal gets their last confirms, marked clean;
            then the lease goes. take_over: read all of it, then publish. Nothing is repeated.
unplanned   take_over alone: what the dead master published and had not yet written (a quarter of
            a second of it, if it reached ZooKeeper) goes out again under the same ids.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from daemon.errors import TransientError
from daemon.outbox.store import Outbox
from daemon.standby.marks import TAKING_OVER, Marks
from daemon.standby.pruner import Pruner
from daemon.standby.reading import JournalReader
from daemon.standby.writer import MarkWriter
from ha.lease import spelled

log = logging.getLogger("arimonitor.standby")

_PAUSE = 0.1  # seconds between two tries


class Drains(Protocol):
    """What is needed of outbox.publisher.Publisher."""

    def drain(self, seconds: float) -> int:
        """Publish nothing new and wait for what is under way; how many have no outcome."""


def _none(_: str) -> bool:
    return False


class Succession:
    """One per node, for the life of the process. `writer` runs on the master, `pruner` on the others.

    `others` gives the names of the other nodes. `ours(broker)`: messages of this broker name are
    published by this node whatever its role, and are nobody else's affair. A standby asks the master
    about what still waits `ripe` seconds after it was stored.
    """

    def __init__(
        self,
        node: str,
        outbox: Outbox,
        marks: Marks,
        others: Callable[[], Collection[str]],
        ours: Callable[[str], bool] = _none,
        *,
        ripe: float = 10.0,
    ) -> None:
        self._node = node
        self._outbox = outbox
        self._marks = marks
        self._reader = JournalReader(outbox, marks)
        self.writer = MarkWriter(node, outbox, marks, self._reader, others)
        self.pruner = Pruner(node, outbox, marks, self._reader, ours, ripe=ripe)

    def take_over(self, epoch: int, seconds: float = 2.0) -> str:
        """Before this node's publishers start as master under `epoch`, and after the pruner ended.

        What happened, in a sentence. Where the journal can't be read within `seconds`, the publishers
        are to start all the same: repeats under the same ids are better than silence.
        Raises jobs.records.Deposed.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                # Written first: who has written sees everything that was written before, and
                # the old master can write nothing after it.
                self._marks.write_mark(TAKING_OVER, self._node, b"", epoch)
                dropped = self._reader.dropped
                head = self._reader.read()
            except TransientError as error:
                if time.monotonic() < deadline:
                    time.sleep(_PAUSE)
                    continue
                self.writer.begin_unread(epoch)
                sentence = (
                    f"what was published before could not be read ({error}):"
                    f" {self._waiting()} messages go out, some of them perhaps again"
                )
                log.warning("%s", sentence)
                return sentence
            break
        self.writer.begin(head, epoch)
        dropped = self._reader.dropped - dropped
        if head is None:
            sentence = f"nobody has published before: {self._waiting()} messages go out"
        else:
            how = "in order" if head.clean else "without a last word"
            who = "this node's mastership before" if head.node == self._node else head.node
            sentence = (
                f"{who} has ended {how} (epoch {spelled(head.epoch)}): {dropped} more messages were"
                f" published by it, {self._waiting()} go out now"
            )
        log.info("%s", sentence)
        return sentence

    def hand_over(self, publishers: Sequence[Drains], seconds: float = 1.0) -> str:
        """When this node is to be master no more, before the lease is released.

        `publishers` are those of all messages but this node's own. What happened, in a sentence.
        Raises jobs.records.Deposed.
        """
        deadline = time.monotonic() + seconds
        for publisher in publishers:
            publisher.drain(0.0)
        unknown = sum(publisher.drain(max(0.0, deadline - time.monotonic())) for publisher in publishers)
        told = self._last_word(deadline, clean=not unknown)
        sentence = f"published everything that was begun; {self._waiting()} messages are left to the next"
        if unknown or told:
            sentence = (
                f"{unknown} messages were under way without a confirm{told}: the next master repeats them"
            )
            log.warning("handing over: %s", sentence)
        else:
            log.info("handing over: %s", sentence)
        return sentence

    def trouble(self, *, leads: bool) -> str:
        """Why what is published is not told (as the master), or not learnt; "" while it is."""
        part = self.writer if leads else self.pruner
        return str(part.status()["trouble"])

    def _last_word(self, deadline: float, *, clean: bool) -> str:
        """Have the journal written to its end; why not."""
        while True:
            try:
                self.writer.flush(clean=clean)
            except TransientError as error:
                if time.monotonic() < deadline:
                    time.sleep(_PAUSE)
                    continue
                return f", and the last that were published could not be told ({error})"
            return ""

    def _waiting(self) -> int:
        return sum(self._outbox.counts().values())
