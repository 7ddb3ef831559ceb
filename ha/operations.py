"""What is said to ZooKeeper and what it answers, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ha.errors import HaError

ANY = -1
"""The version that fits every version: no check. Said aloud, so that version 0 is never taken for it."""


@dataclass(frozen=True, slots=True)
class Stat:
    """Of a node: data version, session that an ephemeral one dies with (0: persistent), the transaction
    that made it, and when it was last changed and made (UTC seconds since 1970, by the server's clock)."""

    version: int
    ephemeral_owner: int
    czxid: int
    mtime: float
    ctime: float = 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """The path is there with this data version, else nothing of the multi is done."""

    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Create:
    """A new node; an ephemeral one goes with the session."""

    path: str
    data: bytes = b""
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Set:
    """New data, where the version is still this one."""

    path: str
    data: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Away with it, where the version is still this one."""

    path: str
    version: int


Operation = Check | Create | Set | Delete


@dataclass(frozen=True, slots=True)
class Committed:
    """All of a multi was done. `stats` has what Set made of its node, None for the other operations."""

    stats: tuple[Stat | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of a multi was done: its operation number `index` (from 0) failed with `error`."""

    index: int
    error: HaError
