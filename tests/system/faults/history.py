"""What happened in a run, on one clock: what the checker reads. Pure; as JSON it can be checked again.

All times are seconds since 1970: hosts on one machine have one clock. What a scenario does to a node's
clock is on that node's side only.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Literal

import msgspec


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A node's status: it was so at some time from `asked` to `at`. `lease_left` in seconds, where told."""

    asked: float
    at: float
    node: str
    role: str
    epoch: int
    lease_left: float | None = None
    connected: bool = True
    outbox: int = 0
    calls: int = 0
    queue: int = 0
    sees: bool = True
    """Every Asterisk is connected."""


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """A line of a node's log: a warning or worse, or one about mastership."""

    at: float
    node: str
    level: str
    logger: str
    text: str
    exception: str = ""


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """What was done from `at` to `until`. `nodes`: whom it kept from what it does (killed, frozen, cut).

    `blind`: they could see no calls meanwhile.
    """

    at: float
    until: float
    text: str
    verb: str
    nodes: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    master: str = ""


class Write(msgspec.Struct, frozen=True, array_like=True):
    """One change in ZooKeeper as its servers agreed on it; `zxid` is its place in the order.

    `life` counts the times that ZooKeeper lost its data before it. `epoch_check`: the version that
    /epoch had to have for it, None: any. `token`: of the data of /epoch or of a record.
    """

    life: int
    zxid: int
    at: float
    node: str
    kind: Literal["create", "set", "delete", "check", "open", "close"]
    path: str
    version: int = 0
    epoch_check: int | None = None
    token: int | None = None
    holder: str = ""
    """/epoch: the node that it was bumped for; a record: its owner."""
    state: str = ""


class Mailed(msgspec.Struct, frozen=True, array_like=True):
    """A mail that was delivered into the inbox; `message_id` without its brackets."""

    at: float
    message_id: str
    sender: str
    command: str


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """A mail that the requester has got. `kind`: result, failed, refused, help, queued."""

    at: float
    message_id: str
    answers: str
    kind: str


class Emitted(msgspec.Struct, frozen=True, array_like=True):
    """A fact of a call that Asterisk told to whoever listened."""

    at: float
    call: str
    type: str


class Listening(msgspec.Struct, frozen=True, array_like=True):
    """An Asterisk's application was connected from then to then."""

    at: float
    until: float
    node: str


class Consumed(msgspec.Struct, frozen=True, array_like=True):
    """A message at the consumer's, and which node published it; copies too, in order."""

    at: float
    id: str
    call: str
    type: str
    node: str
    recovered: bool = False


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A request's record in the end."""

    request_id: str
    message_id: str
    state: str
    owner: str
    kind: str = "request"
    outcome: str = ""


class Published(msgspec.Struct, frozen=True, array_like=True):
    """A file that a request has left on a node, in the end."""

    node: str
    request_id: str
    name: str
    sha256: str


class Resources(msgspec.Struct, frozen=True, array_like=True):
    """Of a node's process; `when` is before or after."""

    node: str
    role: str
    when: Literal["before", "after"]
    pid: int
    descriptors: int
    threads: int
    greenlets: int = 0
    memory: int = 0
    outbox: int = 0
    queue: int = 0
    services_down: tuple[str, ...] = ()


class History(msgspec.Struct):
    """A whole run. `inbox`, `done`, `aside`: the Message-IDs that are in the mailbox's folders in the end.

    `znodes`: how many there are below the namespace, before and after, without what may grow.
    """

    name: str
    began: float = 0.0
    load_ended: float = 0.0
    healed: float = 0.0
    settled: float = 0.0
    said: list[Said] = []
    logged: list[Logged] = []
    faults: list[Fault] = []
    writes: list[Write] = []
    mailed: list[Mailed] = []
    answered: list[Answered] = []
    emitted: list[Emitted] = []
    listening: list[Listening] = []
    consumed: list[Consumed] = []
    stored: list[Stored] = []
    published: list[Published] = []
    resources: list[Resources] = []
    inbox: list[str] = []
    done: list[str] = []
    aside: list[str] = []
    znodes: tuple[int, int] = (0, 0)
    notes: list[str] = []


def save(history: History, path: Path) -> None:
    """As JSON, compressed."""
    path.write_bytes(gzip.compress(msgspec.json.encode(history), 5, mtime=0))


def load(path: Path) -> History:
    """What `save` wrote."""
    return msgspec.json.decode(gzip.decompress(path.read_bytes()), type=History)
