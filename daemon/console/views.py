"""What the commands show, as frozen rows: the root fills them from its services. Pure.

Times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call that goes on, on `server`. `status`: 1 ringing, 2 answered. `legs`: channels alive."""

    server: str
    call: str
    origin: str | None
    destiny: str | None
    client: str | None
    status: int
    since: int
    legs: int


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What is known of an endpoint right now: `state` as Asterisk says it, its address, since when."""

    state: str
    address: str | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What became of one thing that was to be read again.

    `what`: clients, endpoints, mqservers or config; `where`: a file or an
    Asterisk's name. `detail` is one sentence ("70 endpoints"), `problems` are
    lines of their own (a bad line, a key that needs a restart). Where `ok` is
    False the old stays in force.
    """

    what: str
    where: str
    ok: bool
    detail: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request. `folder` is that of its file; `not_before`: it waits until then; `note`: what went wrong.

    Times are None where there is none yet.
    """

    request_id: str
    command: str
    sender: str
    parameters: Mapping[str, str]
    server: str
    audios_from: str
    folder: str
    state: str
    tries: int
    owner: str
    received: int | None
    queued: int | None
    started: int | None
    finished: int | None
    not_before: int | None
    note: str
