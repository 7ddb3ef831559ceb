"""What console, web and picture ask of the requests: rows, and an operator's wishes. Part of the services."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from daemon.console.registry import CommandError
from daemon.console.views import RequestRow
from daemon.errors import TransientError
from daemon.jobs import policy
from daemon.jobs.book import Book
from daemon.jobs.model import Record, State
from daemon.jobs.policy import NotAllowed
from daemon.jobs.records import Fenced

log = logging.getLogger("arimonitor.requests")

_STATES: Mapping[str, tuple[State, ...]] = {
    "pending": ("accepted", "assigned"),
    "processing": ("running", "produced", "replying"),
    "completed": ("replied", "done"),
    "failed": ("replied", "failed"),
}


class Office:
    """Over the book. Errors of the records are CommandErrors here."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def rows(self, folder: str | None, most: int) -> Sequence[RequestRow]:
        """Requests of one folder, or of all: the line first, then the latest finished."""
        try:
            found: list[Record] = []
            if folder in (None, "pending", "processing"):
                found += self._book.store.listing(*_STATES[folder] if folder else ())
            if folder not in ("pending", "processing"):
                states = _STATES[folder] if folder else ("done", "failed")
                found += self._book.store.latest(most, *states)
        except TransientError as error:
            raise CommandError("failed", str(error)) from error
        rows = [row_of(record) for record in found if record.kind == "request"]
        return [row for row in rows if folder in (None, row.folder)][:most]

    def show(self, request_id: str) -> RequestRow | None:
        """One request, refusals and helps too."""
        try:
            record = self._book.store.read(request_id)
        except TransientError as error:
            raise CommandError("failed", str(error)) from error
        return row_of(record) if record is not None else None

    def retry(self, request_id: str) -> str:
        """From the beginning, or at once."""
        now = self._book.now
        record = self._step(request_id, lambda r: policy.retried(r, now()))
        return f"{request_id} is {record.state} again"

    def cancel(self, request_id: str) -> str:
        """It is not carried out, and who asked is told."""
        now = self._book.now
        self._step(request_id, lambda r: policy.cancelled(r, now()))
        return f"{request_id} is cancelled; who asked is told"

    def pause(self, on: bool) -> str:
        """Stand still, or go on."""
        try:
            self._book.pause(on)
        except TransientError as error:
            raise CommandError("failed", str(error)) from error
        log.info("requests are %s by the operator", "paused" if on else "resumed")
        if on:
            return "Paused: no mail is read and no request begins until `resume`; what runs is finished."
        return "Resumed: mail is read and requests go on."

    def _step(self, request_id: str, step: Callable[[Record], Record]) -> Record:
        try:
            record = self._book.store.read(request_id)
            if record is None:
                raise CommandError("not-found", f"there is no request {request_id!r}")
            changed = self._book.advance(record, step)
        except NotAllowed as error:
            raise CommandError("refused", f"{request_id}: {error}") from error
        except Fenced as error:
            raise CommandError("refused", f"{request_id} has just moved on: {error}") from error
        except TransientError as error:
            raise CommandError("failed", str(error)) from error
        self._book.write(changed)
        self._book.nudge()
        return changed


def row_of(record: Record) -> RequestRow:
    """A record as the console shows it."""
    request = record.request
    return RequestRow(
        request_id=request.request_id,
        command=request.command or record.kind,
        sender=request.from_email,
        parameters=request.parameters,
        server=request.server,
        audios_from=request.audios_from,
        folder=policy.folder_of(record) or "-",
        state=record.state,
        tries=record.attempt,
        owner=record.owner,
        received=_ms(record.accepted_at),
        queued=_ms(record.queued_at),
        started=_ms(record.started_at),
        finished=_ms(record.finished_at),
        not_before=_ms(record.not_before),
        note=record.note or (record.failure.code if record.failure is not None else ""),
    )


def _ms(seconds: float) -> int | None:
    return round(seconds * 1000) if seconds else None
