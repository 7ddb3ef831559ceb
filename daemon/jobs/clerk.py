"""Keeps the line in order: after a crash, new files in pending/, what got stuck, what is old. Service."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from daemon.errors import TransientError
from daemon.jobs import policy
from daemon.jobs.book import Book, say_waits, wait
from daemon.jobs.intray import InTray
from daemon.jobs.model import FINAL, Record
from daemon.jobs.rebuild import Rebuild
from daemon.jobs.records import Fenced
from daemon.jobs.runner import clear
from daemon.mail.policy import Policy
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.requests")

EVERY = 1.0  # seconds between two looks into pending/
_ENDING = 10.0  # seconds that who has sent the last answer needs at most to say that nothing is left to do
_KEEP = 14 * 86_400.0  # seconds that a finished request is remembered
_KEEP_REFUSED = 90 * 86_400.0  # seconds that a refused or superseded file is kept
_HOUR = 3600.0


class Clerk:
    """Service: everything about this node's line that nobody waits for. `rules`: the grammar of mails."""

    name = "queue"

    def __init__(
        self, book: Book, work: Path, rules: Callable[[], Policy], rebuild: Rebuild | None = None
    ) -> None:
        self._book = book
        self._work = work
        self._rebuild = rebuild
        self._in_tray = InTray(book, rules, self._assign)
        self._wake = book.wake()
        self._last_cleaning = float("-inf")
        self._recovered = False

    def run(self, stop: Event) -> None:
        """Put right what the last process left, then a look each second."""
        trouble, seconds = Backoff(first=1.0, cap=30.0), 0.0
        while not stop.is_set():
            try:
                self._settle()
                if self._book.is_settled:
                    self._round()
                trouble.reset()
                seconds = EVERY
            except Fenced as error:
                log.info("queue: somebody else has moved a request on: %s", error)
            except TransientError as error:
                seconds = trouble.next()
                say_waits(self.name, seconds, trouble, error)
            wait(stop, self._wake, seconds)
            self._wake.clear()

    # -- after a crash -------------------------------------------------------
    def _settle(self) -> None:
        """Once, and again where the records were lost meanwhile."""
        if self._recovered and self._book.is_settled:
            return
        self._book.call(self._book.spool.prepare)
        if self._rebuild is not None:
            self._rebuild.settle()
        if self._book.is_settled:
            self._recover()
            self._recovered = True

    def _recover(self) -> None:
        book = self._book
        book.call(clear, self._work, frozenset(book.active))
        book.tell()
        for record in book.own():
            self._again(record)
            self._assign(record)
            self._end(record)
        book.mirror()
        # What became final in the moment of the crash: its file may be a step behind.
        for record in book.store.latest(20, *sorted(FINAL)):
            book.write(record)
        book.refresh()
        book.nudge()

    def _again(self, record: Record) -> None:
        """What says that it is worked on, and is not; what lost its outcome with a disk."""
        book = self._book
        if policy.lacks_outcome(record):
            log.warning("the outcome of %s is lost: it is done again", record.request.request_id)
            book.write(book.advance(record, lambda r: policy.redone(r, book.now())))
            return
        if record.state != "running" or book.is_worked_on(record.request.request_id):
            return
        log.warning(
            "request %s was left unfinished at try %d and is done again",
            record.request.request_id,
            record.attempt,
        )
        book.write(book.advance(record, lambda r: policy.after_crash(r, book.now(), book.limits())))

    def _assign(self, record: Record) -> None:
        """Into this node's line. What another node has to do is the dispatcher's business."""
        book = self._book
        if policy.step_of(record) != "assign":
            return
        if record.source and record.source.partition(" ")[2] != f"{record.request.request_id}.json":
            book.write(record)  # under its own name, before the one it had goes
            book.call(book.spool.taken, record.source)
        if book.place(record).name == book.owner:
            book.assign(record)

    def _end(self, record: Record) -> None:
        """Answered, and without a mail that the mailbox's service would move: a crash or a lost call came
        between."""
        if record.state == "replied" and not record.uid:
            book = self._book
            book.write(book.advance(record, lambda r: policy.finished(r, book.now())))

    # -- a look ----------------------------------------------------------------
    def _round(self) -> None:
        book = self._book
        book.write_late()
        book.tell()
        if not book.alone:
            self._others()
        if not book.paused:
            self._in_tray.empty()
        now = book.now()
        for record in book.own("accepted", "running", "produced", "replying", "replied"):
            if record.state == "replied":
                if now - record.changed_at > _ENDING:
                    self._end(record)
            elif record.state != "accepted":
                self._look_again(record)
            elif not record.uid or now - record.accepted_at > 10:  # else the mailbox's service does
                self._assign(record)
        if time.monotonic() - self._last_cleaning > _HOUR:
            self._last_cleaning = time.monotonic()
            self._clean()

    def _look_again(self, listed: Record) -> None:
        """A lost answer, or a lane that died, leaves what nobody works on; a listing may be a moment old."""
        request_id = listed.request.request_id
        idle = listed.state == "running" and not self._book.is_worked_on(request_id)
        if idle or policy.lacks_outcome(listed):
            record = self._book.store.read(request_id)
            if record is not None and self._book.is_mine(record) and record.version == listed.version:
                self._again(record)

    def _others(self) -> None:
        """Files of what this node has been given, and of what another has taken over meanwhile."""
        book = self._book
        book.mirror()
        mine = set()
        for record in book.own():
            mine.add(record.request.request_id)
            if record.waits_for == book.owner:  # the master has waited for this node
                book.advance(record, lambda r: policy.waiting(r, "", ""))
        for request_id in book.call(book.spool.working):
            if request_id in mine:
                continue
            theirs = book.store.read(request_id)
            if theirs is not None and theirs.owner and not book.is_mine(theirs):
                book.supersede(theirs)
        book.refresh()

    def _clean(self) -> None:
        """Old records, which is the master's business; this node's files of what nobody knows any more."""
        book = self._book
        forgotten = 0
        if book.mastership.valid():
            keep = None if book.in_mailbox is None else sorted(book.in_mailbox)
            forgotten = len(book.store.forget(book.now() - _KEEP, keep, book.mastership.epoch))
        book.forgotten()
        aged = book.call(book.spool.aged, book.now() - _KEEP)
        unknown = [request_id for request_id in aged if not book.store.known(request_id)]
        files = book.call(book.spool.forget, unknown, book.now() - _KEEP_REFUSED)
        if forgotten or files:
            log.info("%d old requests are forgotten, %d files deleted", forgotten, files)
            book.refresh()

    def status(self) -> dict[str, object]:
        """Numbers for the snapshot."""
        return {
            "refused_files": self._in_tray.refused,
            "unwritten": self._book.unwritten,
            "paused": self._book.paused,
        }
