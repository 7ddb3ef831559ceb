"""The mailbox over IMAP: what is new, what is done, what is put aside.

The folder holds what is to be handled; handled mails are moved to `done`, what
can't be handled to `aside`, with a note beside it. A mail is called
"UIDVALIDITY.UID"; where the server gave the folder a new UIDVALIDITY the old
names name nothing, and the mails come again under new ones: the records know
them by their content.

Waiting is IDLE where the server has it. A cut link gives no error there, so
each round of LIVENESS seconds ends with a question that must be answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Event, RLock
from typing import Any, Final

from daemon.errors import TransientError
from daemon.mail.imap_link import Access, Folder, ImapLink, ImapRefused, LoginRefused
from daemon.mail.imap_rules import (
    ACCEPTED,
    CHUNK,
    DONE,
    HEADER_BYTES,
    MOST_BODY,
    START_HEADER,
    BodyHash,
    Start,
    aside_id,
    aside_note,
    candidates,
    message_id_of,
    name_of,
    parse_name,
    start_id,
    start_note,
    unhandled,
)
from daemon.mail.model import Letter
from daemon.runtime.backoff import Backoff
from daemon.runtime.deadline import deadline
from daemon.runtime.offload import Offload

log = logging.getLogger("arimonitor.mail")

LIVENESS: Final = 120.0
"""Seconds of IDLE after which the server is asked whether it is there; RFC 2177 allows 29 minutes."""
FIRST_ROUND: Final = 3.0
"""The first is short: what came together with the begin of IDLE is told at its end only."""
SLICE: Final = 0.2
"""Seconds until `stop` is noticed."""
PER_LOOK: Final = 50
"""Mails that are fetched in one look; the rest comes in the next, which is at once."""
MOST_KEPT: Final = 16 * 1024 * 1024
"""Bytes of headers of unfinished mails that are kept, so that they are fetched once."""
TRIES: Final = 3
STEP: Final = 300.0
"""Seconds for one operation as a whole: a mail of 64 MB at 2 Mbit/s."""
_SMALL: Final = 32 * 1024


class ImapMailbox:
    """A Mailbox (daemon.mail.model). Greenlets may share it; one at a time has the connection."""

    def __init__(
        self,
        access: Access,
        *,
        folder: str,
        done: str,
        aside: str,
        max_age: int,
        poll: float,
        offload: Offload,
        clock: Callable[[], float] = time.time,
        connect: Callable[[Access], ImapLink] = ImapLink,
    ) -> None:
        self.access = access
        self._connect = connect
        self._folder, self._done, self._aside = folder, done, aside
        self._max_age, self._poll = max_age, poll
        self._offload, self._clock = offload, clock
        self._lock = RLock()
        self._wanted = 0
        self._link: ImapLink | None = None
        self._here: Folder | None = None
        self._start: Start | None = None
        self._kept: dict[int, Letter] = {}
        self._failed: dict[int, int] = {}
        self._last = 0
        self._more = False
        self._refusals = Backoff(first=30.0, cap=900.0)
        self._not_before = 0.0

    def __str__(self) -> str:
        return f"{self.access} {self._folder}"

    # -- the protocol ----------------------------------------------------------------
    def new(self) -> Sequence[Letter]:
        """The mails that nobody has finished with, oldest first; connects where it must."""
        with self._step("looking for new mails") as (link, here):
            link.noop()  # some servers look for news at the end of a command only
            self._sweep(link, here)
            uids = self._candidates(link, here)
            self._last = max(uids, default=self._last)
            self._kept = {uid: letter for uid, letter in self._kept.items() if uid in set(uids)}
            self._read(link, here, uids)
            return [self._kept[uid] for uid in uids if uid in self._kept]

    def wait(self, seconds: float, stop: Event) -> None:
        """Until something may have come, `seconds` have passed, or `stop` is set."""
        if self._more or stop.is_set():
            return
        if self._link is None:
            stop.wait(min(seconds, self._poll))
            return
        until = time.monotonic() + seconds
        with self._step("waiting") as (link, here):
            idle = link.has("IDLE")
            if idle:
                self._idle(link, here, until, stop)
        if not idle:
            stop.wait(min(max(0.0, until - time.monotonic()), self._poll))

    def accepted(self, uid: str) -> None:
        """Mark that a record of it exists; repeated harmlessly."""
        self.claim(uid)

    def claim(self, uid: str) -> bool:
        """Mark it; whether it was us who did. Of two at once one does, where the server has CONDSTORE."""
        with self._step("marking a mail as accepted") as (link, here):
            number = self._number(uid, here)
            if number is None or not here.keywords:
                return False
            for _ in range(TRIES):
                # First the number, then the flags: Dovecot may give a newer number than the flags beside it.
                since = _modseq(link.fetch(number, ["MODSEQ"]) or {}) if here.condstore else None
                link.noop()
                found = link.fetch(number, ["FLAGS"])
                if found is None or _has(found, ACCEPTED):
                    return False
                if link.store(number, [ACCEPTED], since):
                    return True
        raise TransientError(f"mail {uid} of {self} changes all the time and could not be marked")

    def done(self, uid: str) -> None:
        """Away from the inbox, as answered or ignored; repeated harmlessly."""
        with self._step("moving a handled mail") as (link, here):
            number = self._number(uid, here)
            found = link.fetch(number, ["FLAGS"]) if number is not None else None
            if number is None or found is None:
                return
            link.store(number, [r"\Seen", *([DONE] if here.keywords else [])])
            self._put_away(link, number, self._done, again=_has(found, DONE))

    def aside(self, uid: str, reason: str) -> None:
        """Away from the inbox, as not to be handled; a note beside it says why."""
        with self._step("putting a mail aside") as (link, here):
            number = self._number(uid, here)
            if number is not None:
                self._set_aside(link, here, number, reason)

    def close(self) -> None:
        """End the connection; `new` opens another."""
        if self._link is not None:
            self._link.close()
            self._link = None

    # -- the connection ----------------------------------------------------------------
    @contextmanager
    def _step(self, doing: str) -> Iterator[tuple[ImapLink, Folder]]:
        """The connection for one operation; whatever goes wrong closes it."""
        self._wanted += 1
        try:
            self._lock.acquire()
        finally:
            self._wanted -= 1
        try:
            with deadline(STEP, f"{self.access}, {doing},"):
                yield self._connected()
        except BaseException:
            self.close()
            raise
        finally:
            self._lock.release()

    def _connected(self) -> tuple[ImapLink, Folder]:
        if self._link is not None and self._here is not None:
            return self._link, self._here
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise LoginRefused(f"{self.access} refused the login; it is tried again in {wait:.0f} s")
        try:
            self._link = self._connect(self.access)
        except LoginRefused:
            self._not_before = time.monotonic() + self._refusals.next()
            raise
        self._refusals.reset()
        known = self._here
        self._begin(self._link)
        here = self._link.select(self._folder)
        if known is None or known.validity != here.validity:
            self._kept.clear()
            self._failed.clear()
            self._last = 0
        self._here = here
        how = "IDLE" if self._link.has("IDLE") else f"a look every {self._poll:g} s"
        marks = "" if here.keywords else "; the server keeps no marks of ours"
        log.info("reading %s as %s, by %s%s", self, self.access.username, how, marks)
        return self._link, here

    def _begin(self, link: ImapLink) -> None:
        """Make the folders; find out or write down when this mailbox was first seen."""
        link.make(self._done)
        link.make(self._aside)
        if self._start is not None:
            return
        name = start_id(self._folder)
        link.select(self._done, readonly=True)
        for uid in link.search(["HEADER", "Message-ID", name]):
            found = link.fetch(uid, [f"BODY.PEEK[HEADER.FIELDS ({START_HEADER})]"]) or {}
            text = next((value for key, value in found.items() if key.startswith(b"BODY[")), b"")
            self._start = Start.parse(bytes(text).decode("ascii", "replace").partition(":")[2])
            if self._start is not None:
                return
        here = link.select(self._folder)
        self._start = Start(here.validity, here.next_uid, int(self._clock()))
        link.append(self._done, start_note(self._folder, self._start))
        log.warning(
            "%s is read for the first time: mails that are there and read already are left alone", self
        )

    # -- looking -------------------------------------------------------------------------
    def _candidates(self, link: ImapLink, here: Folder) -> list[int]:
        criteria = candidates(self._clock(), self._max_age, keywords=here.keywords)
        uids = link.search(criteria)
        start = self._start
        first = start.uid if start is not None and start.validity == here.validity else 0
        if any(uid < first for uid in uids):
            unread = set(link.search([*criteria, *unhandled(keywords=here.keywords)]))
            uids = [uid for uid in uids if uid >= first or uid in unread]
        return uids

    def _sweep(self, link: ImapLink, here: Folder) -> None:
        """What was marked as done and not moved: a crash came between."""
        if here.keywords:
            for uid in link.search(["UNDELETED", "KEYWORD", DONE])[:PER_LOOK]:
                self._put_away(link, uid, self._done, again=True)

    def _read(self, link: ImapLink, here: Folder, uids: Sequence[int]) -> None:
        missing = [uid for uid in uids if uid not in self._kept]
        room = MOST_KEPT - sum(len(letter.header) for letter in self._kept.values())
        read = 0
        for uid in missing[:PER_LOOK]:
            if room <= 0 and read:
                break
            letter = self._letter(link, here, uid)
            read += 1
            if letter is not None:
                self._kept[uid] = letter
                room -= len(letter.header)
        self._more = 0 < read < len(missing) and room > 0

    def _letter(self, link: ImapLink, here: Folder, uid: int) -> Letter | None:
        """None: it is gone, or could not be read so often that it is put aside."""
        try:
            letter = self._fetched(link, here, uid)
        except ImapRefused as error:
            self._failed[uid] = self._failed.get(uid, 0) + 1
            if self._failed[uid] < TRIES:
                raise
            log.warning("mail %s of %s can't be read and is put aside: %s", uid, self, error)
            self._set_aside(link, here, uid, f"The mail server could not give this mail: {error}")
            return None
        self._failed.pop(uid, None)
        return letter

    def _fetched(self, link: ImapLink, here: Folder, uid: int) -> Letter | None:
        head = link.fetch(uid, [f"BODY.PEEK[HEADER]<0.{HEADER_BYTES}>", "RFC822.SIZE", "INTERNALDATE"])
        if head is None:
            return None
        body, at = BodyHash(), 0
        while at < MOST_BODY:
            found = link.fetch(uid, [f"BODY.PEEK[TEXT]<{at}.{CHUNK}>"])
            if found is None:
                return None
            piece = bytes(found.get(f"BODY[TEXT]<{at}>".encode(), b"") or b"")
            if len(piece) > _SMALL:
                self._offload.call(body.feed, piece)
            else:
                body.feed(piece)
            at += len(piece)
            if len(piece) < CHUNK:
                break
        when = head.get(b"INTERNALDATE")
        return Letter(
            uid=name_of(here.validity, uid),
            header=bytes(head.get(b"BODY[HEADER]<0>", b"") or b""),
            body_sha256=body.hexdigest(),
            size=int(head.get(b"RFC822.SIZE", 0)),
            received=when.timestamp() if isinstance(when, datetime) else self._clock(),
            parts=body.parts,
        )

    # -- putting away ----------------------------------------------------------------------
    def _number(self, uid: str, here: Folder) -> int | None:
        validity, number = parse_name(uid)
        if validity == here.validity:
            return number
        log.info("mail %s is of an earlier UIDVALIDITY of %s: it comes again under another name", uid, self)
        return None

    def _put_away(self, link: ImapLink, uid: int, folder: str, *, again: bool) -> None:
        """Move; where an earlier try may have copied it already, look there first. MOVE is no claim."""
        if (again or not link.has("MOVE")) and self._is_in(link, folder, uid):
            link.delete(uid)
        else:
            link.move(uid, folder)
        self._kept.pop(uid, None)

    def _is_in(self, link: ImapLink, folder: str, uid: int) -> bool:
        """Whether the very same mail is in another folder: Message-ID, size and header."""
        items = ["BODY.PEEK[HEADER]", "RFC822.SIZE"]
        own = link.fetch(uid, items)
        name = message_id_of(bytes(own.get(b"BODY[HEADER]", b""))) if own else ""
        if own is None or not name:
            return False
        link.make(folder)
        link.select(folder, readonly=True)
        try:
            for each in link.search(["HEADER", "Message-ID", name])[:TRIES]:
                other = link.fetch(each, items) or {}
                if all(other.get(key) == own.get(key) for key in (b"BODY[HEADER]", b"RFC822.SIZE")):
                    return True
        finally:
            link.select(self._folder)
        return False

    def _set_aside(self, link: ImapLink, here: Folder, uid: int, reason: str) -> None:
        found = link.fetch(uid, ["FLAGS"])
        if found is None:
            return
        name = name_of(here.validity, uid)
        try:
            header = bytes((link.fetch(uid, ["BODY.PEEK[HEADER]"]) or {}).get(b"BODY[HEADER]", b"") or b"")
        except ImapRefused:  # it may be why it is put aside
            header = b""
        link.make(self._aside)
        link.select(self._aside, readonly=True)
        told = link.search(["HEADER", "Message-ID", aside_id(name)])
        link.select(self._folder)
        if not told:
            note = aside_note(name, reason, message_id_of(header), self._clock())
            link.append(self._aside, note)
        link.move(uid, self._aside)
        self._kept.pop(uid, None)

    # -- waiting -----------------------------------------------------------------------------
    def _idle(self, link: ImapLink, here: Folder, until: float, stop: Event) -> None:
        if self._came_meanwhile(link, here):
            return
        until = min(until, time.monotonic() + STEP / 2)
        span = FIRST_ROUND
        while (left := until - time.monotonic()) > 0:
            link.idle()
            news = self._round(link, min(span, left), stop)
            news = link.idle_done() or news
            if news or stop.is_set() or self._wanted:
                return
            span = LIVENESS

    def _came_meanwhile(self, link: ImapLink, here: Folder) -> bool:
        """Whether something came since the last look: what other commands were told is not told again."""
        link.noop()
        criteria = candidates(self._clock(), self._max_age, keywords=here.keywords)
        return any(uid > self._last for uid in link.search(["UID", f"{self._last + 1}:*", *criteria]))

    def _round(self, link: ImapLink, seconds: float, stop: Event) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if stop.is_set() or self._wanted:
                return False
            if link.idle_check(min(SLICE, left)):
                return True
        return False


def _has(found: dict[bytes, Any], keyword: str) -> bool:
    return keyword.lower().encode() in {bytes(flag).lower() for flag in found.get(b"FLAGS", ())}


def _modseq(found: dict[bytes, Any]) -> int | None:
    """None: the server keeps none, and a change can't be made conditional."""
    value = found.get(b"MODSEQ", 0)
    return int(value[0] if isinstance(value, tuple | list) else value) or None
