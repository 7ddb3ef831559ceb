"""A mail of the mailbox as the facts that trust and grammar decide about. Pure.

`read` never raises: what is missing or malformed shows as an empty fact, and
a header that is too big is not looked into at all.

The request's id is the mail's Date in UTC and 8 hex digits of a SHA-256, so
that the same mail makes the same id wherever and whenever it is read. The hash
is over Message-ID, Date, From, Subject and body; without a Message-ID over the
whole header and body. Without a usable Date the id begins 00000000_000000: the
time of arrival is another one for each copy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from daemon.mail import headers, robots
from daemon.mail.addresses import sender_of
from daemon.mail.headers import Field
from daemon.mail.model import Letter

MESSAGE_ID = re.compile(r"<[!-;=?A-Z\[-~]{1,120}@[!-;=?A-Z\[-~]{1,120}>")
_MAX_REFERENCES = 20
NO_DATE = "00000000_000000"


class Incoming(msgspec.Struct, frozen=True):
    """One mail, read. `received` is aware UTC.

    `sender`: the From address in lower case, "" if it is nobody's. `subject`
    as typed, decoded, with its token still in it: for the grammar only.
    `subjects`: how many Subject fields there are. `message_id` and
    `references` are usable in an answer's header as they are (`references`
    ends with `message_id`). `robot`: why a program seems to have sent it,
    "" if a person did. `results`: the values of Authentication-Results and
    `received_by` of Received in one list from the top, as (name, value).
    """

    uid: str
    request_id: str
    received: datetime
    sender: str = ""
    subject: str = ""
    subjects: int = 0
    message_id: str = ""
    references: str = ""
    robot: str = ""
    trace: tuple[tuple[str, str], ...] = ()
    too_big: bool = False

    def __repr__(self) -> str:
        """Without the subject: it may have a token."""
        return f"Incoming(request_id={self.request_id!r}, sender={self.sender!r})"


def read(letter: Letter) -> Incoming:
    """The facts of a mail. Never raises."""
    received = _utc(letter.received)
    if headers.too_big(letter.header):
        return Incoming(letter.uid, _request_id(letter, (), None), received, too_big=True)
    block = headers.fields(letter.header)
    sender = sender_of([headers.text_of(value) for value in headers.values(block, "from")])
    subjects = headers.values(block, "subject")
    subject = headers.decoded(subjects[0]) if subjects else ""
    message_id = _first_id(headers.values(block, "message-id"))
    return Incoming(
        uid=letter.uid,
        request_id=_request_id(letter, block, _date(block)),
        received=received,
        sender=sender,
        subject=subject,
        subjects=len(subjects),
        message_id=message_id,
        references=_references(block, message_id),
        robot=robots.sign(block, sender, subject, letter.parts),
        trace=tuple(
            (field.name, headers.text_of(field.value))
            for field in block
            if field.name in ("received", "authentication-results")
        ),
    )


def letter_of(uid: str, raw: bytes, received: float) -> Letter:
    """The letter of a whole mail: for mailboxes that hand out bytes.

    Hashes the body: of a big mail it belongs into the offload thread.
    """
    raw = raw.replace(b"\r\n", b"\n")
    header, _, body = (b"", b"", raw[1:]) if raw.startswith(b"\n") else raw.partition(b"\n\n")
    return Letter(
        uid=uid,
        header=header[: 1 << 20],
        body_sha256=hashlib.sha256(body).hexdigest(),
        size=len(raw),
        received=received,
        parts=part_types(body[: 1 << 20]),
    )


def part_types(body: bytes) -> tuple[str, ...]:
    """The Content-Types that parts of a body are labelled with, in lower case; at most 50."""
    found: list[str] = []
    for match in _PART.finditer(body):
        found.append(match[1].decode("ascii").lower())
        if len(found) == 50:
            break
    return tuple(found)


_PART = re.compile(
    rb"^Content-Type:[ \t]*(?:\r?\n[ \t]+)?([A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60})",
    re.M | re.I,
)


def _utc(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime(1970, 1, 1, tzinfo=UTC)


def _first_id(found: Sequence[bytes]) -> str:
    match = MESSAGE_ID.search(headers.text_of(found[0])) if found else None
    return match[0] if match else ""


def _references(block: Sequence[Field], message_id: str) -> str:
    """What threads an answer (RFC 5322 3.6.4): first and last ids where there are very many."""
    ids: list[str] = []
    for name in ("references", "in-reply-to"):
        found = headers.values(block, name)
        if found and not ids:
            ids = MESSAGE_ID.findall(headers.text_of(found[0]))
    ids = [each for each in dict.fromkeys(ids) if each != message_id]
    if len(ids) > _MAX_REFERENCES:
        ids = [ids[0], *ids[1 - _MAX_REFERENCES :]]
    return " ".join((*ids, message_id) if message_id else ids)


def _date(block: Sequence[Field]) -> datetime | None:
    """The mail's Date in UTC; one without a zone counts as UTC. None: there is no usable one."""
    found = headers.values(block, "date")
    if not found or len(found[0]) > 200:
        return None
    try:
        date = parsedate_to_datetime(headers.text_of(found[0]))
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (
        ValueError,
        TypeError,
        OverflowError,
        IndexError,
    ):  # what the standard library raises for bad dates
        return None


def _request_id(letter: Letter, block: Sequence[Field], date: datetime | None) -> str:
    message_ids = headers.values(block, "message-id")
    if message_ids and message_ids[0]:
        told = [b"".join(headers.values(block, name)) for name in ("message-id", "date", "from", "subject")]
    else:
        told = [letter.header.replace(b"\r\n", b"\n").rstrip(b"\n")]
    digest = hashlib.sha256()
    for piece in (*told, letter.body_sha256.encode("utf-8", "replace")):
        digest.update(b"%d:%s," % (len(piece), piece))
    # %Y is not padded on every platform.
    stamp = f"{date.year:04}{date:%m%d_%H%M%S}" if date else NO_DATE
    return f"{stamp}_{digest.hexdigest()[:8]}"
