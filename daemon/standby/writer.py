"""Writes the journal of what this node has published, and answers standbys. Service of the master."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from threading import Event, Lock

from daemon.errors import TransientError
from daemon.jobs.records import Deposed
from daemon.outbox.rows import key_of
from daemon.outbox.store import Outbox
from daemon.standby.answering import Answerer
from daemon.standby.journal import Block, Unreadable, decode, encode, end_of, extend, slot_of
from daemon.standby.marks import HEAD, JOURNAL, Marks
from daemon.standby.reading import JournalReader

log = logging.getLogger("arimonitor.standby")

_KEPT = 200_000  # ids that wait to be written; what is beyond them is asked for by the standby


class MarkWriter:
    """Service: a standby learns within `every` seconds what was published. `others` are the nodes' names.

    `begin` or `begin_unread` comes before the publishers start; `published` is their `told`.
    """

    name = "marks"

    def __init__(
        self,
        node: str,
        outbox: Outbox,
        marks: Marks,
        reader: JournalReader,
        others: Callable[[], Collection[str]],
        *,
        every: float = 0.25,
        look_every: float = 1.0,
    ) -> None:
        self._node = node
        self._marks = marks
        self._reader = reader
        self._answerer = Answerer(outbox, marks, others)
        self._every = every
        self._look_every = look_every
        self._head: Block | None = None
        self._epoch = 0
        self._deposed = False
        self._announced = False  # the head names this epoch, by which standbys ask
        self._follow = True  # the reader knows what is before our first write
        self._waiting: list[str] = []
        self._writing = Lock()
        self._trouble = ""
        self._troubled: Callable[[], object] | None = None
        self._written = self._writes = self._left_out = 0

    def begin(self, head: Block | None, epoch: int) -> None:
        """This node is master under `epoch` and has read the journal up to `head`; None: there is none."""
        self._begin(epoch)
        self._head = head or self._new()
        self._follow = head is None or self._reader.place == end_of(head)

    def begin_unread(self, epoch: int) -> None:
        """The same where the journal could not be read: it is taken up when it can."""
        self._begin(epoch)
        self._head = None
        self._follow = False

    def _begin(self, epoch: int) -> None:
        self._epoch, self._deposed, self._announced = epoch, False, False
        # Whatever an earlier mastership could not write was published again by the one after it.
        self._waiting.clear()

    def _new(self) -> Block:
        return Block(self._epoch, 0, (), self._epoch, self._node)

    def published(self, ids: Sequence[str]) -> None:
        """A broker has confirmed these. Neither waits nor raises."""
        if len(self._waiting) + len(ids) > _KEPT:
            self._left_out += len(ids)
            return
        self._waiting += ids

    def run(self, stop: Event) -> None:
        """Until `stop`."""
        looked = 0.0
        while not stop.wait(self._every):
            answer = time.monotonic() - looked >= self._look_every
            if answer:
                looked = time.monotonic()
            self.step(answer=answer)

    def step(self, *, answer: bool) -> None:
        """One round: tell what was published, and answer what was asked."""
        self._try(self.flush)
        if answer:
            self._try(self._answer)

    def _try(self, part: Callable[[], object]) -> None:
        if self._deposed:
            return
        try:
            part()
        except TransientError as error:
            if not self._trouble:
                log.warning("the standby can't be told what is published, trying again: %s", error)
            self._trouble, self._troubled = str(error), part
        except Deposed as error:
            # The agent learns it too and ends this service; until then nothing of it is written.
            self._deposed = True
            log.warning("another node is master: what this one published is not told any more (%s)", error)
        else:
            if self._troubled == part:  # the other one has perhaps had nothing to do
                self._trouble = ""

    def _answer(self) -> None:
        self._answerer.step(self._epoch)

    def flush(self, *, clean: bool = False) -> None:
        """Write what was published and is not in the journal yet. Raises TransientError, Deposed.

        `clean`: this node publishes nothing any more, and no confirm is missing.
        """
        with self._writing:
            ids, count = [key_of(each) for each in self._waiting], len(self._waiting)
            if self._announced and not ids and not clean:
                return
            head = self._head or self._taken_up()
            *full, last = extend(head, ids, self._epoch, self._node)
            for block in full:
                self._marks.write_mark(JOURNAL, slot_of(block.number), encode(block), self._epoch)
            last = replace(last, clean=clean)
            self._marks.write_mark(JOURNAL, HEAD, encode(last), self._epoch)
            del self._waiting[:count]
            self._head, self._announced = last, True
            if self._follow:
                self._reader.place = end_of(last)
            self._written += count
            self._writes += len(full) + 1

    def _taken_up(self) -> Block:
        data = self._marks.read_mark(JOURNAL, HEAD)
        try:
            return self._new() if data is None else decode(data)
        except Unreadable as error:
            log.error("the journal of published messages can't be read (%s): a new one is begun", error)
            return self._new()

    def status(self) -> Mapping[str, object]:
        """Ids that wait to be written, were written, were left out; writes; what standbys handed over."""
        return {
            "waiting": len(self._waiting),
            "written": self._written,
            "writes": self._writes,
            "left_out": self._left_out,
            "taken_from_standby": self._answerer.taken,
            "trouble": self._trouble,
        }
