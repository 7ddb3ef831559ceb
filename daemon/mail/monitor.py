"""Reads the mailbox: a mail becomes a record, or is left alone; what is answered goes away. Service.

    new mail --> read, decide ==> record accepted ==> mark on the mail ==> in the line, its file in pending/
    replied  --> the mail moved to done ==> record done

==> durable before going on. A mail whose record exists goes on from the
record's state: after a crash, nothing is asked twice. Only the master reads
the mailbox: without a lease that counts, the next effect does not happen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Event

import msgspec

from daemon.errors import PermanentError, TransientError
from daemon.jobs import policy
from daemon.jobs.book import Book
from daemon.jobs.model import FINAL, Record
from daemon.jobs.records import Deposed, Fenced
from daemon.mail import intake, message
from daemon.mail.intake import Accept, Help, Ignore, Refuse
from daemon.mail.message import Incoming
from daemon.mail.model import Letter, Mailbox, MailRefused
from daemon.mail.policy import Policy
from daemon.mail.tokens import Tokens
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.mail")

TRIES = 3
"""Times that a mail is tried which can't be handled, before it is put aside."""
_LOOK = 30.0  # seconds between two looks, if nothing is announced before
_BUSY = 1.0  # the same while requests are on their way: their mails are to be moved
_PAUSED = 1.0
_NO_LEASE = 0.2  # seconds between two looks whether the lease counts again
_DEPOSED = 60.0  # seconds before it is tried again under an epoch that the records refused
_HELD = 30.0  # seconds before a mail is tried again that the mailbox refused; twice that the next time
_LEFT = 3600.0  # the same where it can't even be put aside


class MailMonitor:
    """Service: the one that uses the mailbox."""

    name = "mail"

    def __init__(
        self,
        mailbox: Mailbox,
        book: Book,
        rules: Callable[[], Policy],
        tokens: Callable[[], Tokens],
        *,
        held: float = _HELD,
    ) -> None:
        self._mailbox = mailbox
        self._book = book
        self._rules = rules
        self._tokens = tokens
        self._of_mail: dict[str, str] = {}
        self._hold = held
        self._held: dict[str, float] = {}
        self.reading = True
        self.last_check: float | None = None
        """UTC seconds since 1970 of the last look that worked."""
        self.away_since: float | None = None
        self.problem = ""

    def run(self, stop: Event) -> None:
        """Until `stop`: a look whenever something may have come."""
        trouble = Backoff(first=1.0, cap=60.0)
        try:
            while not stop.is_set():
                try:
                    if not self._book.mastership.valid():
                        self._stand_still("")
                        stop.wait(_NO_LEASE)
                    elif not self._book.is_settled:
                        self._stand_still("first the queue's files and the records are compared")
                        stop.wait(_NO_LEASE)
                    elif self._book.paused:
                        self._stand_still("paused by the operator")
                        stop.wait(_PAUSED)
                    else:
                        self._look(stop)
                        self._mailbox.wait(_BUSY if self._of_mail else _LOOK, stop)
                        trouble.reset()
                except (TransientError, PermanentError) as error:
                    seconds = trouble.next()
                    self._away(error, seconds)
                    stop.wait(seconds)
                except Deposed as error:
                    self._deposed(error, stop)
        finally:
            self._mailbox.close()
            self._book.in_mailbox = None

    def _deposed(self, error: Deposed, stop: Event) -> None:
        """The lease went, or the records know a newer master: until there is something to read under."""
        mastership = self._book.mastership
        if not mastership.valid():
            return  # quietly: the next turn stands still
        epoch, until = mastership.epoch, time.monotonic() + _DEPOSED
        log.error("mail is not read any more under this epoch: %s", error)
        self._stand_still(str(error))
        while mastership.valid() and mastership.epoch == epoch and time.monotonic() < until:
            if stop.wait(_NO_LEASE):
                return

    # -- one look ----------------------------------------------------------------
    def _look(self, stop: Event) -> None:
        letters = self._mailbox.new()
        if self.away_since is not None:
            log.info("the mailbox is read again after %.0f s", self._book.now() - self.away_since)
        self.reading, self.problem, self.away_since = True, "", None
        self.last_check = self._book.now()
        here = frozenset(letter.uid for letter in letters)
        self._book.in_mailbox = here
        self._of_mail = {uid: name for uid, name in self._of_mail.items() if uid in here}
        self._held = {uid: until for uid, until in self._held.items() if until > time.monotonic()}
        for letter in letters:
            if stop.is_set() or self._book.paused:
                return
            if letter.uid not in self._of_mail and letter.uid not in self._held:
                self._handle(letter, here)
        self._move()

    def _handle(self, letter: Letter, here: frozenset[str]) -> None:
        """Take one mail in. What is wrong with it is its own misfortune, three times."""
        self._book.lead()
        store, tries = self._book.store, self._book.store.attempt(letter.uid)
        if tries > TRIES:
            self._aside(letter, f"it was tried {TRIES} times, and each time the program ended")
            return
        try:
            incoming = message.read(letter)
            known = store.read(incoming.request_id)
            if known is None:
                self._decide(letter, incoming)
            else:
                self._known(letter, known, here)
            store.attempted(letter.uid)
        except MailRefused as error:
            self._refused(letter, tries, error)
        except (TransientError, PermanentError, Deposed):
            store.attempted(letter.uid)
            raise
        except Fenced as error:  # its lane was faster: the next look goes on from there
            log.info("mail %s: %s", ascii(letter.uid), error)
            store.attempted(letter.uid)
        # A mail may have anything in it, and a mistake of ours must stop no other mail: it is counted
        # (attempt) and put aside after three tries.
        except Exception as error:
            log.exception("mail %s can't be handled, try %d", ascii(letter.uid), tries)
            if tries >= TRIES:
                self._aside(letter, f"{type(error).__name__} while it was read; the log says more")

    def _refused(self, letter: Letter, tries: int, error: MailRefused) -> None:
        """The mailbox's trouble with one mail: later again, then aside; the others go on."""
        log.warning("mail %s, try %d: %s", ascii(letter.uid), tries, error)
        seconds = self._hold * tries
        if tries >= TRIES:
            try:
                self._aside(letter, f"it was tried {TRIES} times: {error}")
            except MailRefused as again:
                log.error("mail %s can't be put aside and stays: %s", ascii(letter.uid), again)
            # Aside, this ends with the next look, in which it is not.
            seconds = _LEFT
        self._held[letter.uid] = time.monotonic() + seconds

    def _decide(self, letter: Letter, incoming: Incoming) -> None:
        book = self._book
        book.reach("fetched")
        book.statistics.mails += 1
        now = datetime.fromtimestamp(book.now(), UTC)
        decision = intake.decide(incoming, self._rules(), self._tokens(), book.store, now)
        match decision:
            case Ignore(why=why, text=text):
                log.info("mail of %s is left alone (%s): %s", incoming.sender or "nobody", why, text)
                book.statistics.ignored(why)
                self._done(letter.uid)
                return
            case Accept(request=request):
                record = Record(request=request, state="accepted", version=0, uid=letter.uid)
            case Refuse(request=request, failure=failure):
                record = Record(
                    request=request,
                    state="accepted",
                    version=0,
                    kind="refusal",
                    uid=letter.uid,
                    failure=failure,
                )
            case Help(request=request):
                record = Record(request=request, state="accepted", version=0, kind="help", uid=letter.uid)
        request = msgspec.structs.replace(record.request, accepted_by=book.owner)
        record = msgspec.structs.replace(record, request=request)
        if letter.received < book.rebuilt_at:
            record = msgspec.structs.replace(record, source=policy.REBUILT, told=policy.TOLD_BEFORE)
        book.lead()
        if book.create(record):
            log.info(
                "mail of %s is accepted as %s: %s",
                request.from_email,
                request.request_id,
                record.failure.code if record.failure is not None else request.command or record.kind,
            )
        book.reach("accepted")
        accepted = book.store.read(request.request_id)
        if accepted is not None:
            self._mark(letter, accepted)

    def _mark(self, letter: Letter, record: Record) -> None:
        """The mark is an index only, for a store that was lost: the record is what counts."""
        self._book.lead()
        try:
            self._mailbox.accepted(letter.uid)
        except MailRefused as error:
            log.warning("mail %s has no mark that it was accepted: %s", ascii(letter.uid), error)
        self._of_mail[letter.uid] = record.request.request_id
        self._book.reach("flagged")
        if policy.step_of(record) == "assign" and self._book.place(record).name == self._book.owner:
            self._book.assign(record)
        self._book.nudge()

    def _known(self, letter: Letter, known: Record, here: frozenset[str]) -> None:
        """A mail that has its record: the same after a restart or under a new UID, or a second copy."""
        if known.state in FINAL:
            log.info("mail %s was answered before as %s", ascii(letter.uid), known.request.request_id)
            if known.uid != letter.uid:
                self._book.statistics.ignored("duplicate")
            self._done(letter.uid)
        elif known.uid == letter.uid:
            self._mark(letter, known)
        elif known.uid in here:
            log.info("mail %s is %s once more: left alone", ascii(letter.uid), known.request.request_id)
            self._book.statistics.ignored("duplicate")
            self._done(letter.uid)
        else:  # moved, or the mailbox was numbered anew
            self._book.advance(known, lambda r: msgspec.structs.replace(r, uid=letter.uid), as_master=True)
            self._of_mail[letter.uid] = known.request.request_id

    def _move(self) -> None:
        """The mails of what is answered go away; with that a request is done."""
        book = self._book
        for record in self._answered():
            if record.uid in self._held:
                continue
            try:
                self._done(record.uid)
            except MailRefused as error:
                log.warning("the mail of %s is not moved yet: %s", record.request.request_id, error)
                self._held[record.uid] = time.monotonic() + self._hold
                continue
            book.reach("moved")
            try:
                record = book.advance(record, lambda r: policy.finished(r, book.now()), as_master=True)
            except Deposed:
                raise
            except Fenced as error:
                log.info("%s has been moved on by somebody else: %s", record.request.request_id, error)
                continue
            book.reach("done")
            book.write(record)
            self._of_mail.pop(record.uid, None)

    def _answered(self) -> Sequence[Record]:
        return [record for record in self._book.store.listing("replied") if record.uid]

    def _done(self, uid: str) -> None:
        self._book.lead()
        self._mailbox.done(uid)

    def _aside(self, letter: Letter, reason: str) -> None:
        self._book.lead()
        log.error("mail %s is put aside: %s", ascii(letter.uid), reason)
        self._mailbox.aside(letter.uid, reason)
        self._book.store.attempted(letter.uid)
        self._book.statistics.aside += 1

    # -- when it can't be read -------------------------------------------------------
    def _away(self, error: Exception, seconds: float) -> None:
        if self.away_since is None:
            self.away_since = self._book.now()
        if self.problem != str(error):
            log.warning("the mailbox is not read, next try in %.0f s: %s", seconds, error)
        self.reading, self.problem = False, str(error)
        self._mailbox.close()

    def _stand_still(self, why: str) -> None:
        """`why` is "" where another node reads it, or will."""
        if self.reading:
            log.info("the mailbox is not read: %s", why or "the lease does not count now")
            self._mailbox.close()
        self.reading, self.problem = False, why

    def status(self) -> dict[str, object]:
        """For the snapshot; `last_check_age` in seconds."""
        age = None if self.last_check is None else round(time.time() - self.last_check, 1)
        return {
            "reading": self.reading,
            "last_check_age": age,
            "problem": self.problem,
            "mails": self._book.statistics.mails,
            "put_aside": self._book.statistics.aside,
        }
