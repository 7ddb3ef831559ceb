"""ZooKeeper's transaction log, byte by byte."""

from __future__ import annotations

import struct

import pytest

from tests.system.faults.zktxn import BadLog, Op, Txn, merged, parse, writes


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(data)) + data


def create(path: str, data: bytes = b"", *, ephemeral: bool = False) -> bytes:
    acl = struct.pack(">ii", 1, 31) + text("world") + text("anyone")
    return text(path) + text(data) + acl + bytes([ephemeral]) + struct.pack(">i", 1)


def change(path: str, data: bytes, version: int) -> bytes:
    return text(path) + text(data) + struct.pack(">i", version)


def check(path: str, version: int) -> bytes:
    return text(path) + struct.pack(">i", version + 1)


def multi(*parts: tuple[int, bytes]) -> bytes:
    return struct.pack(">i", len(parts)) + b"".join(
        struct.pack(">i", kind) + text(body) for kind, body in parts
    )


def record(zxid: int, kind: int, body: bytes, *, session: int = 7, at: int = 5000) -> bytes:
    header = struct.pack(">qiqqi", session, 1, zxid, at, kind)
    digest = b"\x00" * 12
    return b"\x00" * 8 + text(header + body + digest) + b"B"


HEADER = b"ZKLG" + struct.pack(">iq", 2, 0)
CREATE, SET, DELETE, CHECK, MULTI, OPEN, CLOSE, ERROR = 1, 5, 2, 13, 14, -10, -11, -1


def log(*records: bytes, rest: bytes = b"\x00" * 100) -> bytes:
    return HEADER + b"".join(records) + rest


def test_kinds() -> None:
    data = log(
        record(1, OPEN, struct.pack(">i", 4000)),
        record(2, CREATE, create("/a", b"x", ephemeral=True)),
        record(3, SET, change("/a", b"y", 4)),
        record(4, ERROR, struct.pack(">i", -110)),
        record(5, MULTI, multi((CHECK, check("/epoch", 3)), (SET, change("/b", b"z", 1)))),
        record(6, DELETE, text("/a")),
    )
    assert list(parse(data)) == [
        Txn(1, 5.0, 7, (Op("open"),)),
        Txn(2, 5.0, 7, (Op("create", "/a", b"x", ephemeral=True),)),
        Txn(3, 5.0, 7, (Op("set", "/a", b"y", 4),)),
        Txn(5, 5.0, 7, (Op("check", "/epoch", version=3), Op("set", "/b", b"z", 1))),
        Txn(6, 5.0, 7, (Op("delete", "/a"),)),
    ]


def test_a_multi_that_failed_is_nothing() -> None:
    assert list(parse(log(record(1, MULTI, multi((ERROR, struct.pack(">i", -103))))))) == []


@pytest.mark.parametrize("cut", [1, 5, 12, 30])
def test_a_record_that_is_being_written(cut: int) -> None:
    whole = record(2, SET, change("/a", b"y", 4))
    data = log(record(1, SET, change("/a", b"x", 3)), whole[:-cut], rest=b"")
    assert [txn.zxid for txn in parse(data)] == [1]


def test_what_is_no_log() -> None:
    with pytest.raises(BadLog):
        list(parse(b"nothing"))


def test_servers_have_the_same_and_not_all() -> None:
    one = log(record(1, SET, change("/a", b"x", 1)), record(2, SET, change("/a", b"y", 2)))
    two = log(record(2, SET, change("/a", b"y", 2)), record(3, SET, change("/a", b"z", 3)))
    assert [txn.zxid for txn in merged([two, b"", one])] == [1, 2, 3]


def test_writes_and_who_made_them() -> None:
    won = multi((CREATE, create("/ns/lease", b"AUDIO", ephemeral=True)), (SET, change("/ns/epoch", b"{}", 1)))
    fenced = multi((CHECK, check("/ns/epoch", 1)), (CREATE, create("/ns/req/aa/r1", b"{}")))
    data = log(
        record(1, CREATE, create("/ns/nodes/AUDIO2", ephemeral=True), session=8),
        record(2, MULTI, won, session=9),
        record(3, MULTI, fenced, session=9),
        record(4, SET, change("/other/x", b"", 1), session=9),
        record(5, CLOSE, b"", session=9, at=6000),
    )
    found = writes(merged([data]), "/ns")
    assert [(w.zxid, w.node, w.kind, w.path) for w in found] == [
        (1, "AUDIO2", "create", "/nodes/AUDIO2"),
        (2, "AUDIO", "create", "/lease"),
        (2, "AUDIO", "set", "/epoch"),
        (3, "AUDIO", "create", "/req/aa/r1"),
        (5, "AUDIO", "delete", "/lease"),
    ]
    assert found[3].checks == {"/epoch": 1}
    assert (found[2].version, found[2].data, found[4].at) == (1, b"{}", 6.0)
