"""Keeps the line in order: after a crash, files dropped by hand, what got stuck, what is old. Service."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import msgspec

from daemon.errors import TransientError
from daemon.jobs import policy, requestfile
from daemon.jobs.book import Book, wait
from daemon.jobs.model import FINAL, Failure, Record, Request
from daemon.jobs.records import Fenced
from daemon.jobs.requestfile import NotARequest
from daemon.jobs.runner import clear
from daemon.jobs.spool import Dropped
from daemon.mail import reasons, subject
from daemon.mail.policy import Policy
from daemon.mail.subject import Parsed, Refusal
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.requests")

EVERY = 1.0  # seconds between two looks into pending/
_YOUNG = 5.0  # seconds that a file may need to be copied into pending/ once it was last written
_OTHER_NAME = 60.0  # the same for a name that some copying programs use meanwhile
_KEEP = 14 * 86_400.0  # seconds that a finished request is remembered
_KEEP_REFUSED = 90 * 86_400.0  # seconds that a refused or superseded file is kept
_HOUR = 3600.0


class Clerk:
    """Service: everything about the line that nobody waits for. `rules` are those of the mails' grammar."""

    name = "queue"

    def __init__(self, book: Book, work: Path, rules: Callable[[], Policy]) -> None:
        self._book = book
        self._work = work
        self._rules = rules
        self._wake = book.wake()
        self._refused = 0
        self._last_cleaning = float("-inf")
        self._recovered = False

    def run(self, stop: Event) -> None:
        """Put right what the last process left, then a look each second."""
        trouble, seconds = Backoff(first=1.0, cap=30.0), 0.0
        while not stop.is_set():
            try:
                if not self._recovered:
                    self._recover()
                    self._recovered = True
                self._round()
                trouble.reset()
                seconds = EVERY
            except Fenced as error:
                log.info("queue: somebody else has moved a request on: %s", error)
            except TransientError as error:
                seconds = trouble.next()
                log.warning("queue waits %.1f s: %s", seconds, error)
            wait(stop, self._wake, seconds)
            self._wake.clear()

    # -- after a crash -------------------------------------------------------
    def _recover(self) -> None:
        book = self._book
        book.call(book.spool.prepare)
        book.call(clear, self._work)
        for record in book.store.listing():
            self._again(record)
            self._assign(record)
        for record in book.store.listing():
            book.write(record)
        # What became final in the moment of the crash: its file may be a step behind.
        for record in book.store.latest(20, *sorted(FINAL)):
            book.write(record)
        book.refresh()
        book.nudge()

    def _again(self, record: Record) -> None:
        book = self._book
        if record.state != "running" or record.request.request_id in book.active:
            return
        if record.owner not in ("", book.owner):
            return
        log.warning(
            "request %s was left unfinished at try %d and is done again",
            record.request.request_id,
            record.attempt,
        )
        book.write(book.advance(record, lambda r: policy.after_crash(r, book.now(), book.limits())))

    def _assign(self, record: Record) -> None:
        if policy.step_of(record) != "assign":
            return
        if record.source and record.source.partition(" ")[2] != f"{record.request.request_id}.json":
            self._book.call(self._book.spool.taken, record.source)
        self._book.assign(record)

    # -- a look ----------------------------------------------------------------
    def _round(self) -> None:
        book = self._book
        book.write_late()
        if not book.paused:
            self._take_in()
        now = book.now()
        for record in book.store.listing("accepted", "running"):
            if policy.is_stale(record, now, book.limits()):
                self._again(record)
            elif not record.uid or now - record.accepted_at > 10:  # else the mailbox's service does
                self._assign(record)
        if time.monotonic() - self._last_cleaning > _HOUR:
            self._last_cleaning = time.monotonic()
            self._clean()

    def _clean(self) -> None:
        book = self._book
        old = book.store.forget(book.now() - _KEEP, sorted(book.in_mailbox))
        files = book.call(book.spool.forget, list(old), book.now() - _KEEP_REFUSED)
        if old or files:
            log.info("%d old requests are forgotten, %d files deleted", len(old), files)
            book.refresh()

    # -- files dropped by hand ---------------------------------------------------
    def _take_in(self) -> None:
        book = self._book
        waiting = [r.request.request_id for r in book.store.listing("accepted", "assigned")]
        for dropped in book.call(book.spool.dropped, waiting, time.time()):
            try:
                if dropped.data is None:
                    raise NotARequest(dropped.problem)
                record = self._record_of(dropped)
            except NotARequest as error:
                plain = dropped.name.endswith(".json")
                if dropped.age >= (_YOUNG if plain else _OTHER_NAME) or (plain and self._is_whole(dropped)):
                    self._refuse(dropped, str(error))
                continue
            self._adopt(dropped, record)

    @staticmethod
    def _is_whole(dropped: Dropped) -> bool:
        """It is JSON: it does not become a request by more bytes."""
        try:
            json.loads(dropped.data or b"")
        except (ValueError, RecursionError):
            return False
        return True

    def _record_of(self, dropped: Dropped) -> Record:
        """What the file asks for. Raises NotARequest."""
        book, rules = self._book, self._rules()
        value = requestfile.decode(dropped.data or b"", dropped.name.removesuffix(".json"))
        sender, wish = requestfile.subject_of(value)
        understood = subject.parse(wish, rules.limits, datetime.fromtimestamp(book.now(), UTC))
        if isinstance(understood, Refusal):
            failure = Failure(understood.code, dict(understood.names))
            raise NotARequest(reasons.sentence(failure, rules.language))
        if not isinstance(understood, Parsed):
            raise NotARequest("it asks for nothing")
        request = requestfile.request_of(value, sender, understood.command, understood.parameters, book.now())
        request = msgspec.structs.replace(
            request, accepted_by=book.owner, language=rules.language, audios_from=_source(request, rules)
        )
        return Record(request=request, state="accepted", version=0, source=dropped.source)

    def _adopt(self, dropped: Dropped, record: Record) -> None:
        book, request = self._book, record.request
        known = book.store.read(request.request_id)
        if known is not None and known.state not in FINAL:
            # Its own file, seen in the moment of its acceptance; or a crash came between record and file.
            if dropped.name == f"{request.request_id}.json":
                book.write(known)
            elif dropped.source == known.source:
                book.call(book.spool.taken, dropped.source)
            else:
                self._refuse(dropped, f"{request.request_id} is in the queue already")
            return
        if known is not None:
            if not book.call(book.spool.waits, dropped.name):
                return  # its own file, which has moved on meanwhile
            others = [r.request.request_id for r in book.store.latest(100_000)]
            fresh = book.call(book.spool.free_id, request.request_id, others)
            request = msgspec.structs.replace(request, request_id=fresh)
            record = msgspec.structs.replace(record, request=request)
        if not book.create(record):
            return  # the next look says why
        book.reach("dropped")
        log.info(
            "request %s is accepted from the file %s command=%s from=%s",
            request.request_id,
            ascii(dropped.name),
            request.command,
            request.from_email,
        )
        accepted = book.store.read(request.request_id)
        if accepted is not None:
            self._assign(accepted)

    def _refuse(self, dropped: Dropped, reason: str) -> None:
        book = self._book
        self._refused += 1
        name = book.call(book.spool.refuse, dropped.name, reason)
        log.warning(
            "the file %s in pending/ is put aside as failed/%s: %s", ascii(dropped.name), name, reason
        )

    def status(self) -> dict[str, object]:
        """Numbers for the snapshot."""
        return {
            "refused_files": self._refused,
            "unwritten": self._book.unwritten,
            "paused": self._book.paused,
        }


def _source(request: Request, rules: Policy) -> str:
    return request.audios_from or rules.limits.servers.get(request.server, "") or rules.audios_from
