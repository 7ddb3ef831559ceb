"""Records made again from the queue's files, when ZooKeeper has lost its data. Part of the services.

    pending/, processing/  --> assigned        completed/ --> done        failed/ --> failed

A new generation of epochs says that the data were lost, or that this node is new
to ZooKeeper; each node then makes the records of its own files, once, before
anything of its line goes on. Where a record is there already it stays. The
mails that still are in the inbox lead to the same ids by themselves; what may
have been answered before is looked for among the sent mails (policy.REBUILT).
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from daemon.jobs import policy, requestfile
from daemon.jobs.book import Book
from daemon.jobs.journal import Journal
from daemon.jobs.model import FINAL, Record
from daemon.jobs.records import Fenced

log = logging.getLogger("arimonitor.requests")

_KEEP = 14 * 86_400.0  # seconds that a finished request is remembered


class Rebuild:
    """`folder` has the note for which generation this was done."""

    def __init__(self, book: Book, folder: Path) -> None:
        self._book = book
        self._note = Journal(folder, "generation.json")

    def settle(self) -> None:
        """Do it where it is needed; the book is settled then. Raises TransientError, Fenced."""
        book, generation = self._book, policy.generation_of(self._book.mastership.epoch)
        if book.is_settled or not generation:
            return
        note = book.call(self._note.read)
        if note.get("generation") != generation:
            if note:
                log.warning("ZooKeeper's data were lost: the records of this node's files are made again")
            made = self._make()
            note = {"generation": generation, "at": book.now()}
            book.call(self._note.write, note)
            log.info(
                "the queue's files and the records agree (generation %d): %d records were made",
                generation,
                made,
            )
        book.settled(generation, float(note.get("at") or 0.0))

    def _make(self) -> int:
        book, made = self._book, 0
        for folder, data in book.call(book.spool.contents):
            record = requestfile.record_of(data, folder)
            if record is None or policy.node_of(record) != book.owner:
                continue
            if record.state in FINAL and record.changed_at < book.now() - _KEEP:
                continue
            record = msgspec.structs.replace(record, epoch=book.mastership.epoch, version=1)
            if book.store.create(record):
                made += 1
            elif record.state in FINAL:
                self._was_answered(record)
        book.refresh()
        return made

    def _was_answered(self, record: Record) -> None:
        """The mail came first: its record was made anew, though the request was answered before."""
        book = self._book
        known = book.store.read(record.request.request_id)
        if known is None or known.source != policy.REBUILT or known.state not in ("accepted", "assigned"):
            return
        try:
            book.advance(known, lambda r: policy.answered_before(r, record, book.owner, book.now()))
        except Fenced as error:
            log.info("%s is moved on by somebody else: %s", known.request.request_id, error)
