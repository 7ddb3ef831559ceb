"""A request, its record and its outcome: what the queue, the worker and the answer share. Pure.

Request   what somebody wants: the file of the queue, the contract of interfaces
Record    where it stands: the truth, changed by compare-and-set only
Outcome   what the work found or did: enough to write the answer again after a crash
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from daemon.recordings.model import LeftOut, Near

Command = Literal["RAMAIS", "CHECKIP", "MACCHANGE", ""]  # "": none, of a refusal or a help
State = Literal["accepted", "assigned", "running", "produced", "replying", "replied", "done", "failed"]

FINAL: frozenset[State] = frozenset({"done", "failed"})


class Request(msgspec.Struct, frozen=True):
    """One request as accepted. `parameters` are normalised; `audios_from` and `server` are "" where unsaid.

    `subject` is the request as typed, without its token. `language` is the
    answer's. `references` threads the answer (RFC 5322 3.6.4).
    """

    request_id: str
    command: Command
    from_email: str
    parameters: dict[str, str]
    audios_from: str = ""
    server: str = ""
    message_id: str = ""
    references: str = ""
    subject: str = ""
    language: str = "pt_BR"
    accepted_by: str = ""
    received: datetime | None = None


class Row(msgspec.Struct, frozen=True):
    """A recording in an answer. `link` plays it; `seconds` is None where the length is not known."""

    origin: str
    destiny: str
    started: datetime
    seconds: float | None
    link: str


class RecordingsSent(msgspec.Struct, frozen=True, tag=True):
    """RAMAIS found something. `bundle` is the link of the ZIP; `rate` in kbit/s, 0: nothing was converted."""

    rows: tuple[Row, ...]
    bundle: str
    bundle_bytes: int
    expires: datetime
    left_out: tuple[LeftOut, ...] = ()
    rate: int = 0


class NothingFound(msgspec.Struct, frozen=True, tag=True):
    """RAMAIS found nothing; `left_out` matched but can't be given."""

    near: Near = Near()
    left_out: tuple[LeftOut, ...] = ()


class Jail(msgspec.Struct, frozen=True):
    """One fail2ban jail and the address. None: not told; `why` is the jail's log line or filter."""

    name: str
    banned: bool
    since: datetime | None = None
    until: datetime | None = None
    why: str = ""
    lifted: bool = False


class IpChecked(msgspec.Struct, frozen=True, tag=True):
    """CHECKIP: every jail that was looked into."""

    ip: str
    server: str
    jails: tuple[Jail, ...]


class ExtensionMoved(msgspec.Struct, frozen=True, tag=True):
    """MACCHANGE: `notified` says whether the phones could be told to fetch their files."""

    extension: str
    server: str
    mac_old: str
    mac_new: str
    notified: bool


Outcome = RecordingsSent | NothingFound | IpChecked | ExtensionMoved


class Failure(msgspec.Struct, frozen=True):
    """Why a request can't be done, for the one who asked: a code of `reasons` and what it names."""

    code: str
    names: dict[str, str] = {}


class Record(msgspec.Struct, frozen=True):
    """Where a request stands. Times are UTC seconds since 1970.

    `version` is the store's, for compare-and-set. `kind` is "request", or
    "refusal" and "help" for a mail whose only step is its answer. `uid` finds
    the mail again. `told` holds the kinds of mail that were sent (queued,
    ...). A failure that is told has `failure`. `queued_at` is its place in the
    line (a retry is queued anew), `started_at` and `finished_at` those of the
    last try. `note` is for the operator: why the last step did not work.
    `source` tells the dropped file that it came from, "" for a mail.
    `waits_for` is the node that is away and without which it can't go on,
    `taken_from` the node that had begun it when it was taken over. `kept` is the
    SHA-256 of an outcome that is too large for the store and on its owner's disk.
    """

    request: Request
    state: State
    version: int
    kind: Literal["request", "refusal", "help"] = "request"
    owner: str = ""
    attempt: int = 0
    epoch: int = 0
    accepted_at: float = 0.0
    changed_at: float = 0.0
    not_before: float = 0.0
    uid: str = ""
    outcome: Outcome | None = None
    failure: Failure | None = None
    told: tuple[str, ...] = ()
    queued_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    note: str = ""
    source: str = ""
    waits_for: str = ""
    taken_from: str = ""
    kept: str = ""
