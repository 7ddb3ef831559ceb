"""What the commands show, as frozen rows: the root fills them from its services. Pure.

Times are milliseconds since the epoch.
"""

from __future__ import annotations

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
