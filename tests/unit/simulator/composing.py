"""The product's composer, which writes each mail once: making one takes longer than all the rest of a run."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from daemon.jobs.composer import MailComposer
from daemon.jobs.model import Record
from daemon.mail.model import Answer

_written: dict[bytes, Answer] = {}


class Remembering:
    """What it writes depends on what was asked for, when it came and what came of it: so the key."""

    def __init__(self, composer: MailComposer) -> None:
        self._composer = composer

    def answer(self, record: Record) -> Answer:
        key = (record.request, record.kind, record.accepted_at, record.outcome, record.failure)
        return self._once(("answer", *key), lambda: self._composer.answer(record))

    def queued(self, record: Record, place: int) -> Answer:
        key = (record.request, record.accepted_at, record.state == "running", place)
        return self._once(("queued", *key), lambda: self._composer.queued(record, place))

    def away(self, record: Record) -> Answer:
        key = (record.request, record.accepted_at, record.waits_for)
        return self._once(("away", *key), lambda: self._composer.away(record))

    def _once(self, key: object, write: Callable[[], Answer]) -> Answer:
        encoded = msgspec.json.encode(key)
        if encoded not in _written:
            _written[encoded] = write()
        return _written[encoded]
