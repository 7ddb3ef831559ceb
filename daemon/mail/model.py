"""A mail as the mailbox gives it, and an answer as the way out takes it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Literal, Protocol

import msgspec

from daemon.errors import TransientError

Kind = Literal["queued", "away", "result", "refused", "help", "failed", "alert"]


class Letter(msgspec.Struct, frozen=True):
    """One mail of the mailbox, without its body.

    `uid` finds it again in this mailbox ("UIDVALIDITY.UID", or the maildir's
    unique name). `header` is the raw header block, cut at 1 MiB; `body_sha256`
    is over the body with its line ends as LF; `size` in bytes; `received` is
    when the mailbox got it, UTC seconds since 1970; `parts` the Content-Types
    of the body's parts in lower case, where the mailbox looked (an invitation
    is known by them).
    """

    uid: str
    header: bytes
    body_sha256: str
    size: int
    received: float
    parts: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """One mail to send, complete: `data` is RFC 5322 with CRLF, for the envelope recipients `to`."""

    message_id: str
    kind: Kind
    to: tuple[str, ...]
    data: bytes


class PutOff(TransientError):
    """This mail, or a recipient of it, is not taken now (greylisting, a full mailbox); others may be."""


class MailRefused(TransientError):
    """The mailbox refuses something about this mail; others may pass."""


class Mailbox(Protocol):
    """Where requests come from. A TransientError of it closes the connection; `new` opens another.

    MailRefused by `accepted`, `done`, `aside`: this mail's own trouble, as far as can be told.
    """

    def new(self) -> Sequence[Letter]:
        """The mails that nobody has finished with, oldest first; connects where it must."""

    def wait(self, seconds: float, stop: Event) -> None:
        """Until something may have come, `seconds` have passed, or `stop` is set."""

    def accepted(self, uid: str) -> None:
        """Mark that a record of it exists; repeated harmlessly."""

    def done(self, uid: str) -> None:
        """Away from the inbox, as answered or ignored; repeated harmlessly."""

    def aside(self, uid: str, reason: str) -> None:
        """Away from the inbox, as not to be handled, with the reason where a person finds it."""

    def close(self) -> None:
        """End the connection; `new` opens another."""


class WayOut(Protocol):
    """Where answers go."""

    def send(self, answer: Answer) -> None:
        """Hand it over. PutOff: try this one again; other TransientErrors: the way is closed;
        PermanentError: refused for good."""

    def sent(self, message_id: str) -> bool | None:
        """Whether it was handed over already; None: can't be known."""
