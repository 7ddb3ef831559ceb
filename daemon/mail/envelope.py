"""An answer as a mail: RFC 5322 with threading, deterministic to the byte. Pure: `now` is an argument.

The same input gives the same bytes, MIME boundary included, so that a mail
which is sent again after a crash is the same mail under the same Message-ID.
Headers that hold something of the request are built from what survives a
strict pattern: nothing of a foreign mail reaches a header raw.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

import msgspec

from daemon.mail.model import Answer, Kind

# Python folds a long References into encoded words, which breaks threads in Outlook.
_POLICY: Final = policy.SMTP.clone(max_line_length=998)
_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")
_REFERENCES: Final = 900
"""Characters: a line may have 998."""
_SUBJECT: Final = 400
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ALREADY: Final = re.compile(r"re\s*:", re.IGNORECASE)
NAME: Final = "ARIMONITOR"


class People(msgspec.Struct, frozen=True):
    """Who writes and who has to know: `sender` is the From of every answer, `admin` may be ""."""

    sender: str
    admin: str = ""

    @property
    def domain(self) -> str:
        """The right side of every Message-ID."""
        return self.sender.rpartition("@")[2] or "localhost"


class Thread(msgspec.Struct, frozen=True):
    """The mail that is answered, raw."""

    subject: str = ""
    message_id: str = ""
    references: str = ""


def message_id(identity: str, kind: Kind, people: People) -> str:
    """`<REQUEST_ID.KIND@domain>`; what does not belong there is replaced by `_`.

    >>> message_id("20251027_110000_1a2b3c4d", "result", People("arimonitor@example.com"))
    '<20251027_110000_1a2b3c4d.result@example.com>'
    """
    return f"<{re.sub(r'[^A-Za-z0-9_.-]', '_', identity)[:200]}.{kind}@{people.domain}>"


def compose(
    kind: Kind,
    identity: str,
    people: People,
    *,
    to: tuple[str, ...],
    copy: tuple[str, ...] = (),
    thread: Thread | None = None,
    subject: str = "",
    plain: str,
    html: str,
    language: str,
    now: datetime,
) -> Answer:
    """One mail. `thread` makes it a reply; without it `subject` is the subject.

    ValueError: an address that is none.
    """
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = _address(people.sender, NAME)
    mail["To"] = tuple(_address(each) for each in to)
    if copy:
        mail["Cc"] = tuple(_address(each) for each in copy)
    mail["Subject"] = reply_subject(thread.subject) if thread is not None else _one_line(subject)
    mail["Date"] = format_datetime(now)
    name = message_id(identity, kind, people)
    mail["Message-ID"] = name
    if thread is not None:
        _threading(mail, thread)
    mail["Auto-Submitted"] = "auto-replied" if thread is not None else "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail["Content-Language"] = "pt-BR" if language == "pt_BR" else "en"
    mail.set_content(plain, cte="quoted-printable")
    mail.add_alternative(html, subtype="html", cte="quoted-printable")
    mail.set_boundary(f"=_{hashlib.sha256(name.encode()).hexdigest()[:32]}")
    return Answer(name, kind, (*to, *copy), mail.as_bytes())


def reply_subject(subject: str) -> str:
    """`Re: ` and the subject in one line; no second `Re:`.

    >>> reply_subject("RAMAIS=1121\\r\\nBcc: x"), reply_subject("re: AJUDA")
    ('Re: RAMAIS=1121 Bcc: x', 're: AJUDA')
    """
    plain = _one_line(subject)
    if _ALREADY.match(plain):
        return plain
    return f"Re: {plain or NAME}"


def _one_line(subject: str) -> str:
    return " ".join(_CONTROL.sub(" ", subject).split())[:_SUBJECT]


def _threading(mail: EmailMessage, thread: Thread) -> None:
    """In-Reply-To and References (RFC 5322 3.6.4): the first of the thread and as many of the last as fit."""
    parent = _ID.fullmatch(thread.message_id.strip())
    known = list(dict.fromkeys(_ID.findall(thread.references)))
    if parent is not None:
        mail["In-Reply-To"] = parent[0]
        known = [each for each in known if each != parent[0]] + [parent[0]]
    kept: list[str] = []
    room = _REFERENCES - (len(known[0]) if known else 0)
    for each in reversed(known[1:]):
        room -= len(each) + 1
        if room < 0:
            break
        kept.append(each)
    if known:
        mail["References"] = " ".join([known[0], *reversed(kept)])


def _address(text: str, name: str = "") -> Address:
    """Raises ValueError where it is no address."""
    if _CONTROL.search(text):
        raise ValueError("no mail address: it has control characters")
    try:
        return Address(name, addr_spec=text)
    except Exception as error:  # the parser's own errors are of many kinds, IndexError among them
        raise ValueError(f"no mail address: {text[:100]!r}") from error
