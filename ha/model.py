"""What nodes know of one another: values of the election and of the board that all nodes read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["auto", "master", "slave"]
Role = Literal["master", "slave"]
KEPT = 100
"""Changes of master that are remembered."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a node says of itself, to all. `facts` is plain JSON of the root's: ha does not read it."""

    name: str
    mode: Mode = "auto"
    priority: int = 100
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A member as the others see it: `here` while its session lives; `since` (UTC s) when that changed."""

    member: Member
    here: bool
    since: float


@dataclass(frozen=True, slots=True)
class Change:
    """One change of master: when (UTC seconds since 1970), under which epoch, and why, in one sentence."""

    at: float
    epoch: int
    master: str
    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """How the election stands, for console, web and metrics.

    `connected`: ZooKeeper answers (always true of the file backend). `master`
    is who holds the lease, None where nobody does or nobody can say. `epoch`
    is the highest seen. `reason` is the sentence of the last decision, `since`
    (UTC s) when it was made. `lease_left` in seconds, None without the lease.
    `problems` are sentences: two voters only, a timeout cut short, ... `advice`
    are those about what is not wrong and could be better.
    """

    backend: str
    connected: bool
    role: Role
    mode: Mode
    epoch: int
    master: str | None
    reason: str
    since: float
    lease_left: float | None = None
    members: tuple[Seen, ...] = ()
    history: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
