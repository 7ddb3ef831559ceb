"""Reads the journal of the node that publishes, and lets go of what it names. Adapter."""

from __future__ import annotations

import logging

from daemon.outbox.spillover import OutboxFull
from daemon.outbox.store import Outbox
from daemon.standby.journal import Block, Place, Unreadable, decode, end_of, first_kept, slot_of, unread
from daemon.standby.marks import HEAD, JOURNAL, Marks

_AT_ONCE = 2000  # ids let go of in one transaction

log = logging.getLogger("arimonitor.standby")


class JournalReader:
    """`place`: until where the journal is known; None: nothing of it. `missed`: blocks that were gone."""

    def __init__(self, outbox: Outbox, marks: Marks) -> None:
        self.place: Place | None = None
        self.missed = 0
        self.dropped = 0
        self._outbox = outbox
        self._marks = marks
        self._complained = ""

    def read(self) -> Block | None:
        """Read on to the end; the open block, None where there is no journal. Raises TransientError."""
        head = self.block(HEAD)
        if head is None:
            return None
        place = self.place
        if place is not None and place.origin == head.origin and _behind(head, place):
            log.warning("the journal of published messages has become shorter: it is read from its beginning")
            place = self.place = None
        first = first_kept(head)
        if place is not None and place.origin == head.origin:
            self.missed += max(0, first - place.number)
            first = max(first, place.number)
        ids: list[bytes] = []
        whole = True
        for number in range(first, head.number):
            ids += self._full(head, number)
            if len(ids) >= _AT_ONCE:
                whole = self._drop(ids, Place(head.origin, number + 1, 0), whole)
                ids = []
        ids += unread(head, self.place)
        self._drop(ids, end_of(head), whole)
        return head

    def _full(self, head: Block, number: int) -> tuple[bytes, ...]:
        """What is new in a full block."""
        block = self.block(slot_of(number))
        if block is None or block.origin != head.origin or block.number != number:
            self.missed += 1
            return ()
        return unread(block, self.place)

    def _drop(self, ids: list[bytes], after: Place, whole: bool) -> bool:
        """Let go of these; whether everything up to the place `after` is remembered."""
        try:
            self.dropped += self._outbox.drop(ids)
        except OutboxFull:
            # They are let go of; to be remembered they are read again when the disk has room.
            return False
        if whole:
            self.place = after
        return whole

    def block(self, name: str) -> Block | None:
        """One block as it is there; None also for one that can't be read, which is said once."""
        data = self._marks.read_mark(JOURNAL, name)
        if data is None:
            return None
        try:
            return decode(data)
        except Unreadable as error:
            if str(error) != self._complained:
                self._complained = str(error)
                log.error("the journal of published messages (%s) can't be read: %s", name, error)
            return None


def _behind(head: Block, place: Place) -> bool:
    return (head.number, len(head.ids)) < (place.number, place.count)
