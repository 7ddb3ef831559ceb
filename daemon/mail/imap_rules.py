"""What is decided about a mailbox without asking it: marks, which mails count, names of mails. Pure.

Which mails of the folder are ours to handle:

* not deleted, not marked as done, and received within the last `max_age` days;
* read or not: a person may have opened it before we did. But what was there
  and read already when we first saw this mailbox was handled by whoever had it
  before us: it is left alone. That moment is kept in the mailbox itself, as
  a small mail in the folder of handled mails (Start).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

import msgspec

from daemon.mail.message import part_types

ACCEPTED: Final = "$arimonitor-accepted"
"""A record of this mail exists."""
DONE: Final = "$arimonitor-done"
"""Handled: what still has it in the inbox only has to be moved."""
START_HEADER: Final = "X-Arimonitor-Start"
HEADER_BYTES: Final = 1024 * 1024
CHUNK: Final = 256 * 1024
MOST_BODY: Final = 64 * 1024 * 1024
"""Bytes of a body that are hashed: more than any mail host lets in."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MESSAGE_ID: Final = re.compile(rb"(?im)^message-id[ \t]*:[ \t]*(?:\r?\n[ \t]+)?(<[!#-;=?-\[\]-~]{1,250}>)")


class Start(msgspec.Struct, frozen=True):
    """When this mailbox was first seen: its UIDVALIDITY, the first UID that came after, UTC seconds."""

    validity: int
    uid: int
    at: int

    def header(self) -> str:
        """As it is kept in the mailbox."""
        return f"{self.validity} {self.uid} {self.at}"

    @classmethod
    def parse(cls, text: str) -> Start | None:
        """None where it is none.

        >>> Start.parse(" 7 120 1761562800\\r\\n")
        Start(validity=7, uid=120, at=1761562800)
        """
        found = re.fullmatch(r"\s*([0-9]{1,12}) ([0-9]{1,12}) ([0-9]{1,12})\s*", text)
        return cls(*map(int, found.groups())) if found else None


def candidates(now: float, max_age: int, *, keywords: bool) -> list[str]:
    """Search criteria for what may be ours to handle."""
    since = day(datetime.fromtimestamp(now, UTC) - timedelta(days=max_age))
    return ["UNDELETED", "SINCE", since, *(["UNKEYWORD", DONE] if keywords else [])]


def unhandled(*, keywords: bool) -> list[str]:
    """Search criteria for what nobody has taken up, of mails that were there before us."""
    return ["OR", "UNSEEN", "KEYWORD", ACCEPTED] if keywords else ["UNSEEN"]


def day(when: datetime) -> str:
    """`27-Oct-2025`, whatever the locale."""
    return f"{when.day:02}-{_MONTHS[when.month - 1]}-{when.year}"


def name_of(validity: int, uid: int) -> str:
    """How a mail is called outside: "UIDVALIDITY.UID"."""
    return f"{validity}.{uid}"


def parse_name(name: str) -> tuple[int, int]:
    """The two numbers of a name. ValueError: it is none.

    >>> parse_name("1700000000.42")
    (1700000000, 42)
    """
    found = re.fullmatch(r"([0-9]{1,12})\.([0-9]{1,12})", name)
    if found is None:
        raise ValueError(f"no name of a mail in an IMAP folder: {name[:40]!r}")
    return int(found[1]), int(found[2])


def message_id_of(header: bytes) -> str:
    """The Message-ID of a raw header; "" where there is none that could be searched for."""
    found = _MESSAGE_ID.search(header)
    return found[1].decode("ascii") if found else ""


def start_id(folder: str) -> str:
    """The Message-ID under which the Start of a folder is kept."""
    return f"<start.{hashlib.sha256(folder.encode()).hexdigest()[:16]}@arimonitor.invalid>"


def start_note(folder: str, start: Start) -> bytes:
    """The mail that keeps the Start, and tells people what it is for."""
    when = datetime.fromtimestamp(start.at, UTC)
    note = _note(start_id(folder), "ARIMONITOR: please keep this mail", when)
    note[START_HEADER] = start.header()
    note.set_content(
        f"ARIMONITOR began to read this mailbox on {when:%Y-%m-%d %H:%M} UTC.\n\n"
        "Mails that were there and read before are left alone. What is handled is moved\n"
        "to this folder. Please leave this mail here: without it, mails that somebody\n"
        "has read but nobody has handled could be overlooked once.\n"
    )
    return note.as_bytes()


def aside_id(name: str) -> str:
    """The Message-ID of the note about a mail that was put aside."""
    return f"<aside.{re.sub(r'[^A-Za-z0-9.]', '_', name)[:100]}@arimonitor.invalid>"


def aside_note(name: str, reason: str, message_id: str, now: float) -> bytes:
    """The mail that says why another lies beside it: a reply to it, so that both are shown together."""
    note = _note(aside_id(name), "ARIMONITOR: why this mail was put aside", datetime.fromtimestamp(now, UTC))
    if message_id:
        note["In-Reply-To"] = message_id
        note["References"] = message_id
    plain = " ".join(re.sub(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\uffff]", " ", reason).split())[:1000]
    note.set_content(
        f"{plain}\n\n"
        "Nobody was answered. To have the mail tried again, move it back to the inbox.\n"
        f"Mail: {message_id or 'without a Message-ID'} ({name[:100]})\n"
    )
    return note.as_bytes()


def _note(message_id: str, subject: str, when: datetime) -> EmailMessage:
    note = EmailMessage(policy=SMTP.clone(max_line_length=998))
    note["From"] = "ARIMONITOR <arimonitor@arimonitor.invalid>"
    note["To"] = "arimonitor@arimonitor.invalid"
    note["Subject"] = subject
    note["Date"] = format_datetime(when)
    note["Message-ID"] = message_id
    note["Auto-Submitted"] = "auto-generated"
    return note


class BodyHash:
    """SHA-256 of a body that comes in pieces, its line ends (CR LF, CR) as LF.

    `parts`: the Content-Types of its parts, as far as they are in the first piece.

    >>> one = BodyHash(); one.feed(b"a\\r"); one.feed(b"\\nb"); two = BodyHash(); two.feed(b"a\\nb")
    >>> one.hexdigest() == two.hexdigest()
    True
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._held = b""
        self._begun = False
        self.parts: tuple[str, ...] = ()

    def feed(self, piece: bytes) -> None:
        """The next piece."""
        if not self._begun:
            self._begun, self.parts = True, part_types(piece[:CHUNK])
        data = self._held + piece
        self._held = b"\r" if data.endswith(b"\r") else b""
        self._hash.update(_lines(data[: len(data) - len(self._held)]))

    def hexdigest(self) -> str:
        """Of everything that was fed; nothing more may come."""
        self._hash.update(b"\n" if self._held else b"")
        self._held = b""
        return self._hash.hexdigest()


def _lines(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def body_sha256(pieces: Sequence[bytes]) -> str:
    """Of a body that is at hand."""
    body = BodyHash()
    for piece in pieces:
        body.feed(piece)
    return body.hexdigest()
