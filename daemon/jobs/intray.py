"""Files that appear in pending/: people's become requests, those of nodes have theirs. Part of the services.

A person's file is taken in, or put aside with the reason. A file that another
node brought, or that this node wrote before it was away for a while, belongs
to a record: who else has that record by now, keeps it, and the file is
superseded. Only a record that nobody knows any more is made from it again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from daemon.jobs import requestfile
from daemon.jobs.book import Book
from daemon.jobs.model import FINAL, Failure, Record, Request
from daemon.jobs.requestfile import NotARequest
from daemon.jobs.spool import Dropped
from daemon.mail import reasons, subject
from daemon.mail.policy import Policy
from daemon.mail.subject import Parsed, Refusal

log = logging.getLogger("arimonitor.requests")

_YOUNG = 5.0  # seconds that a file may need to be copied into pending/ once it was last written
_OTHER_NAME = 60.0  # the same for a name that some copying programs use meanwhile


class InTray:
    """`rules` are those of the mails' grammar; `assign` puts a new record into its line."""

    def __init__(self, book: Book, rules: Callable[[], Policy], assign: Callable[[Record], None]) -> None:
        self._book = book
        self._rules = rules
        self._assign = assign
        self.refused = 0

    def empty(self) -> None:
        """Look at every file that is none of this node's line. Raises TransientError, Fenced."""
        book = self._book
        waiting = [r.request.request_id for r in book.own("accepted", "assigned")]
        for dropped in book.call(book.spool.dropped, waiting, time.time()):
            try:
                if dropped.data is None:
                    raise NotARequest(dropped.problem)
                record = self._record_of(dropped)
            except NotARequest as error:
                plain = dropped.name.endswith(".json")
                if dropped.age >= (_YOUNG if plain else _OTHER_NAME) or (plain and _is_whole(dropped)):
                    self._refuse(dropped, str(error))
                continue
            known = book.store.read(record.request.request_id)
            if known is None:
                self._take_in(dropped, record)
            elif known.state not in FINAL:
                self._under_way(dropped, known)
            else:
                self._finished(dropped, record, known)

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

    def _take_in(self, dropped: Dropped, record: Record) -> None:
        book, request = self._book, record.request
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

    def _under_way(self, dropped: Dropped, known: Record) -> None:
        book, request_id = self._book, known.request.request_id
        if dropped.name == f"{request_id}.json" and book.is_mine(known):
            # Its own file, seen in the moment of its acceptance; or a crash came between record and file.
            book.write(known)
        elif dropped.name == f"{request_id}.json" and self._writer(dropped):
            if known.owner:  # else who brings it has not said so yet
                book.supersede(known)
        elif dropped.source == known.source:
            book.call(book.spool.taken, dropped.source)
        else:
            self._refuse(dropped, f"{request_id} is in the queue already")

    def _finished(self, dropped: Dropped, record: Record, known: Record) -> None:
        book, request = self._book, record.request
        if not book.call(book.spool.waits, dropped.name):
            return  # its own file, which has moved on meanwhile
        written_by = requestfile.written_by(dropped.data or b"", book.owner)
        writer = "" if book.alone else written_by
        if book.is_mine(known) and (writer or written_by == book.owner):
            book.write(known)  # it was brought late, or is its own: the disk was full when it moved on
            return
        if not book.is_mine(known) and (writer or self._is_left(dropped, known)):
            book.supersede(known, taken_in=not writer)  # it was here before another node did it
            book.call(book.spool.taken, dropped.source)
            return
        others = [r.request.request_id for r in book.store.latest(100_000)]
        fresh = book.call(book.spool.free_id, request.request_id, others)
        request = msgspec.structs.replace(request, request_id=fresh)
        self._take_in(dropped, msgspec.structs.replace(record, request=request))

    def _is_left(self, dropped: Dropped, known: Record) -> bool:
        """Whether it is the file that was taken in and given away: a crash came before it was put away."""
        book = self._book
        superseded = book.call(book.spool.is_superseded, known.request.request_id)
        return dropped.source == known.source and not superseded

    def _writer(self, dropped: Dropped) -> str:
        """The node that wrote it; "": a person did, or this node is alone."""
        return "" if self._book.alone else requestfile.written_by(dropped.data or b"", self._book.owner)

    def _refuse(self, dropped: Dropped, reason: str) -> None:
        book = self._book
        self.refused += 1
        name = book.call(book.spool.refuse, dropped.name, reason)
        log.warning(
            "the file %s in pending/ is put aside as failed/%s: %s", ascii(dropped.name), name, reason
        )


def _is_whole(dropped: Dropped) -> bool:
    """It is JSON: it does not become a request by more bytes."""
    try:
        json.loads(dropped.data or b"")
    except (ValueError, RecursionError):
        return False
    return True


def _source(request: Request, rules: Policy) -> str:
    return request.audios_from or rules.limits.servers.get(request.server, "") or rules.audios_from
