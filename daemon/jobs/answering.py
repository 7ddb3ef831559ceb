"""Sends what requesters are told: answers, and the place in the line to who waits. Service.

    produced --> replying --> SMTP --> replied   (--> done, where there is no mail to move)

A mail server that is away holds up answers only; one mail that it puts off,
only that mail. What is found in `replying` after a crash is looked for among
the sent ones first, and else sent again under the same Message-ID. Each is
sent by its owner, and only after its record has taken `replying` just now: who
was frozen for a while, or is cut off from the records, sends nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Event
from typing import Protocol

from daemon.errors import PermanentError, TransientError
from daemon.jobs import policy
from daemon.jobs.book import Book, say_waits, wait
from daemon.jobs.model import Record
from daemon.jobs.records import Fenced
from daemon.mail.model import Answer, Kind, PutOff, WayOut
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.requests")

_IDLE = 5.0  # seconds between two looks when nobody calls
_POSTED = 20  # mails to the admin that wait at most
_GIVE_UP = 5 * 86_400.0  # seconds that a mail is put off before it counts as refused (RFC 5321 4.5.4.1)
_ADMIN = ""  # the mails to the admin, among those that are put off


class Composer(Protocol):
    """Writes mails; the same record makes the same mail."""

    def answer(self, record: Record) -> Answer:
        """Result, failure, refusal or help, as the record says."""

    def queued(self, record: Record, place: int) -> Answer:
        """The place in the line, 1 is the next."""

    def away(self, record: Record) -> Answer:
        """It is accepted, and waits for the machine with the recordings."""


class Answering:
    """Service: one mail after another, by one connection."""

    name = "answers"

    def __init__(self, book: Book, way_out: WayOut, composer: Composer) -> None:
        self._book = book
        self._way_out = way_out
        self._composer = composer
        self._wake = book.wake()
        self._pause = _pause()
        self._held_until = 0.0
        self._put_off: dict[str, Backoff] = {}
        self._post_after = 0.0
        self._posted: list[Answer] = []
        self.sent = 0
        self.given_up = 0
        self.problem = ""

    def post(self, answer: Answer) -> None:
        """A mail of another kind (an alert), sent when it can be; of too many the oldest are dropped."""
        self._posted.append(answer)
        del self._posted[:-_POSTED]
        self._wake.set()

    def run(self, stop: Event) -> None:
        """Until `stop`."""
        trouble = Backoff(first=0.5, cap=30.0)
        while not stop.is_set():
            self._wake.clear()
            try:
                seconds = self._round(stop)
                trouble.reset()
            except TransientError as error:  # of the records
                seconds = trouble.next()
                say_waits(self.name, seconds, trouble, error)
            wait(stop, self._wake, seconds)
            while self._held() and not stop.is_set():  # woken too early
                wait(stop, stop, min(1.0, self._held()))

    def _held(self) -> float:
        return max(0.0, self._held_until - self._book.now())

    def _round(self, stop: Event) -> float:
        """Send what is due; seconds until the next look."""
        now = self._book.now()
        records = self._book.own("accepted", "assigned", "running", "produced", "replying")
        due = [
            r
            for r in records
            if policy.step_of(r) in ("reply", "send") and r.not_before <= now and not policy.lacks_outcome(r)
        ]
        for record in records:
            if policy.needs_confirmation(record, now, self._book.limits()) and not self._held():
                self._guarded(record, lambda r: self._confirm(r, records))
        for record in self._waiting():
            if policy.needs_notice(record, now, self._book.limits()) and not self._held():
                self._guarded(record, self._notify)
        for record in due:
            if stop.is_set() or self._held():
                return self._held()
            self._guarded(record, self._answer)
        waiting = {r.request.request_id for r in records} | {_ADMIN}
        self._put_off = {name: pause for name, pause in self._put_off.items() if name in waiting}
        while self._posted and not self._held() and self._post_after <= now and self._post_one():
            pass
        return self._soon(records)

    def _soon(self, records: Sequence[Record]) -> float:
        now, limits = self._book.now(), self._book.limits()
        waits = [
            r.accepted_at + limits.confirmation - now
            for r in records
            if r.kind == "request"
            and not {"queued", "away"} & set(r.told)
            and (r.waits_for or r.state in ("assigned", "running"))
        ]
        waits += [r.not_before - now for r in records if r.state == "replying" and r.not_before > now]
        return min([_IDLE, *(max(0.05, each) for each in waits)])

    def _post_one(self) -> bool:
        """Send the oldest of those posted; False: later."""
        answer = self._posted[0]
        try:
            self._hand_over(answer)
        except TransientError as error:
            log.warning("a mail to the admin waits: %s", error)
            self._post_after = self._book.now() + self._seconds(_ADMIN, error)
            return False
        except PermanentError as error:
            log.error("nobody takes a mail to the admin: %s", error)
        self._posted = [each for each in self._posted if each is not answer]
        return True

    def _guarded(self, record: Record, send: Callable[[Record], None]) -> None:
        try:
            send(record)
        except Fenced as error:
            log.debug("answers: %s has been moved on: %s", record.request.request_id, error)

    def _answer(self, record: Record) -> None:
        book, now = self._book, self._book.now
        again, found = record.state == "replying", policy.may_be_answered(record)
        record = book.advance(record, lambda r: policy.replying(r, now()))
        if not again:
            book.write(record)
            book.reach("replying")
        answer = self._written(record)
        if answer is None:
            return
        if found and self._way_out.sent(answer.message_id):
            log.info("the answer of %s had gone out before", record.request.request_id)
        elif not self._send(record, answer):
            return
        book.reach("sent")
        record = book.advance(record, lambda r: policy.replied(r, now()))
        self._close(record)

    def _written(self, record: Record) -> Answer | None:
        try:
            return self._composer.answer(record)
        # A mistake in a template must not stop all other answers; the request ends as failed.
        except Exception:
            log.exception("the answer of %s can't be written", record.request.request_id)
            self._give_up(record, "its answer can't be written: the log says why")
            return None

    def _send(self, record: Record, answer: Answer) -> bool:
        try:
            self._hand_over(answer)
        except PermanentError as error:
            log.error("nobody takes the answer of %s: %s", record.request.request_id, error)
            self._give_up(record, str(error))
            return False
        except TransientError as error:
            why, now = str(error), self._book.now()
            if isinstance(error, PutOff) and now - _begun(record) > _GIVE_UP:
                log.error("nobody takes the answer of %s for days: %s", record.request.request_id, error)
                self._give_up(record, why)
                return False
            wait_s = self._seconds(record.request.request_id, error)
            log.warning(
                "the answer of %s is sent later, in %.0f s: %s", record.request.request_id, wait_s, error
            )
            self._book.advance(record, lambda r: policy.unsent(r, why, wait_s, now))
            return False
        log.info("the answer of %s is sent: %s", record.request.request_id, answer.kind)
        return True

    def _hand_over(self, answer: Answer) -> None:
        """To the way out. Where that is closed everything waits, longer each time."""
        try:
            self._way_out.send(answer)
        except PutOff:
            self._open_again()
            raise
        except TransientError as error:
            self.problem = str(error)
            self._held_until = self._book.now() + self._pause.next()
            raise
        self._open_again()
        self.sent += 1

    def _open_again(self) -> None:
        self.problem = ""
        self._pause.reset()

    def _seconds(self, name: str, error: TransientError) -> float:
        """Until it is tried again: by its own count where it alone was put off."""
        if not isinstance(error, PutOff):
            return self._held()
        return self._put_off.setdefault(name, _pause()).next()

    def _waiting(self) -> list[Record]:
        """What waits for a node that is away: this node's own, and for the master that node's."""
        everybody = self._book.mastership.valid()
        return [
            record
            for record in self._book.store.listing()
            if record.waits_for and (everybody or self._book.is_mine(record))
        ]

    def _notify(self, record: Record) -> None:
        """At most once, as the place in the line."""
        book = self._book
        record = book.advance(record, _telling("away"))
        try:
            self._hand_over(self._composer.away(record))
        except (TransientError, PermanentError) as error:
            log.warning("that %s waits was not told: %s", record.request.request_id, error)

    def _confirm(self, record: Record, records: Sequence[Record]) -> None:
        """At most once: a confirmation that is lost does less harm than one told twice."""
        book = self._book
        record = book.advance(record, _telling("queued"))
        book.reach("confirming")
        try:
            self._hand_over(self._composer.queued(record, policy.place(record, records)))
        except (TransientError, PermanentError) as error:
            log.warning("the place of %s was not told: %s", record.request.request_id, error)
            return
        book.reach("confirmed")

    def _give_up(self, record: Record, why: str) -> None:
        book = self._book
        self.given_up += 1
        self._close(book.advance(record, lambda r: policy.undeliverable(r, why, book.now())))

    def _close(self, record: Record) -> None:
        book = self._book
        book.statistics.answered(record, book.now())
        book.reach("replied")
        book.write(record)
        book.reach("completed")
        if not record.uid:
            record = book.advance(record, lambda r: policy.finished(r, book.now()))
            book.reach("done")
            book.write(record)
        book.nudge()

    def status(self) -> dict[str, object]:
        """How many were sent, and what keeps the rest."""
        return {"sent": self.sent, "problem": self.problem}


def _telling(kind: Kind) -> Callable[[Record], Record]:
    """The step of a mail that is told once; Fenced where somebody else, here or on another node, tells it."""

    def step(record: Record) -> Record:
        if kind in record.told:
            raise Fenced(f"{kind} is told already")
        return policy.told(record, kind)

    return step


def _pause() -> Backoff:
    return Backoff(first=policy.SEND_FIRST, factor=2.0, cap=policy.SEND_CAP)


def _begun(record: Record) -> float:
    """When it was asked for, or taken up again by the operator."""
    return max(record.accepted_at, record.queued_at, record.started_at)
