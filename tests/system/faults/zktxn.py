"""ZooKeeper's transaction log: every write that its servers agreed on, in their order, with the time. Pure.

    header (16 bytes) | record ... | zeros
    record: checksum (8) | length (4) | TxnHeader, transaction, digest | "B"

The format is jute's: big end first, texts and buffers behind their length. It is the
one history that no cut hides: who created the lease when, and under which epoch
each record was written. What is not of interest (ACLs, sessions' timeouts) is skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["create", "set", "delete", "check", "open", "close"]

_MAGIC: Final = b"ZKLG"
_HEADER: Final = struct.Struct(">qiqqi")  # session, cxid, zxid, time in ms, type
_KINDS: Final[Mapping[int, Kind]] = {
    1: "create", 15: "create", 19: "create", 21: "create",
    2: "delete", 20: "delete",
    5: "set", 13: "check", -10: "open", -11: "close",
}  # fmt: skip
_MULTI: Final = 14
_TTL: Final = 21


class BadLog(ValueError):
    """The bytes are no transaction log."""


@dataclass(frozen=True, slots=True)
class Op:
    """One change. `version`: what the node has afterwards (set), or had to have (check)."""

    kind: Kind
    path: str = ""
    data: bytes = b""
    version: int = 0
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Txn:
    """What was agreed on as one: all of `ops`. `at` in seconds since 1970 by the leader's clock."""

    zxid: int
    at: float
    session: int
    ops: tuple[Op, ...]


def parse(data: bytes) -> Iterator[Txn]:
    """The transactions of one log file, as far as it was written. What failed is not among them."""
    if not data.startswith(_MAGIC):
        raise BadLog("it does not begin as a transaction log")
    at = 16
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">i", data, at + 8)
        if length <= 0 or at + 12 + length >= len(data):
            return  # the preallocated rest, or a record that is being written
        txn = _txn(data[at + 12 : at + 12 + length])
        if txn is not None:
            yield txn
        at += 12 + length + 1


def merged(logs: Iterable[bytes]) -> list[Txn]:
    """The transactions of several servers' files, each once, in ZooKeeper's order."""
    found = {txn.zxid: txn for data in logs if data for txn in parse(data)}
    return [found[zxid] for zxid in sorted(found)]


def _txn(record: bytes) -> Txn | None:
    session, _, zxid, time, kind = _HEADER.unpack_from(record)
    reader = _Reader(record, _HEADER.size)
    if kind == _MULTI:
        parts = [(reader.int(), reader.buffer()) for _ in range(reader.int())]
        ops = [_op(part, _Reader(body, 0)) for part, body in parts]
    else:
        ops = [_op(kind, reader)]
    known = tuple(op for op in ops if op is not None)
    return Txn(zxid, time / 1000, session, known) if known else None


def _op(number: int, reader: _Reader) -> Op | None:
    kind = _KINDS.get(number)
    match kind:
        case "create":
            path, data = reader.text(), reader.buffer()
            for _ in range(reader.int()):  # ACLs
                reader.int(), reader.text(), reader.text()
            return Op("create", path, data, ephemeral=number != _TTL and reader.byte() != 0)
        case "set":
            return Op("set", reader.text(), reader.buffer(), reader.int())
        case "delete":
            return Op("delete", reader.text())
        case "check":
            # What is written is the version after the check, as if it had been a change.
            return Op("check", reader.text(), version=reader.int() - 1)
        case "open" | "close":
            return Op(kind)
    return None  # an error, an ACL, a reconfiguration


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def int(self) -> int:
        (value,) = struct.unpack_from(">i", self._data, self._at)
        self._at += 4
        return int(value)

    def buffer(self) -> bytes:
        length = max(self.int(), 0)
        self._at += length
        return self._data[self._at - length : self._at]

    def text(self) -> str:
        return self.buffer().decode("utf-8", "replace")


# -- what it tells ---------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Write:
    """One change below the namespace, and who made it: `node`, "" where nobody can tell.

    `checks`: the versions that other nodes of the tree had to have for it (path to version).
    """

    zxid: int
    at: float
    node: str
    kind: Kind
    path: str
    data: bytes
    version: int
    checks: Mapping[str, int]


def writes(txns: Iterable[Txn], namespace: str) -> list[Write]:
    """All changes below `namespace`, with paths from there; the ends of ephemeral nodes too.

    A session is a node's that has made /lease, or written what each node writes for itself (/nodes/NAME,
    /members/NAME, /pub/taking-over/NAME); what it wrote earlier counts too.
    """
    txns = list(txns)
    names = _names(txns, namespace)
    ephemerals: dict[str, int] = {}
    found = []
    for txn in txns:
        checks = {op.path.removeprefix(namespace): op.version for op in txn.ops if op.kind == "check"}
        for op in (*txn.ops, *_ended(txn, ephemerals)):
            if op.kind == "create" and op.ephemeral:
                ephemerals[op.path] = txn.session
            elif op.kind == "delete":
                ephemerals.pop(op.path, None)
            if op.kind in ("create", "set", "delete") and op.path.startswith(namespace + "/"):
                path = op.path.removeprefix(namespace)
                node = names.get(txn.session, "")
                found.append(Write(txn.zxid, txn.at, node, op.kind, path, op.data, op.version, checks))
    return found


def _names(txns: Iterable[Txn], namespace: str) -> dict[int, str]:
    names: dict[int, str] = {}
    own = tuple(f"{namespace}/{each}/" for each in ("nodes", "members", "pub/taking-over"))
    for txn in txns:
        for op in txn.ops:
            if op.kind == "create" and op.path == f"{namespace}/lease":
                names[txn.session] = op.data.decode("utf-8", "replace")
            elif op.kind in ("create", "set") and op.path.startswith(own):
                names[txn.session] = op.path.rpartition("/")[2]
    return names


def _ended(txn: Txn, ephemerals: Mapping[str, int]) -> list[Op]:
    """What the end of a session deletes."""
    if not any(op.kind == "close" for op in txn.ops):
        return []
    return [Op("delete", path) for path, session in ephemerals.items() if session == txn.session]
