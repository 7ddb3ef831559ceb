"""Spillover: what the memory holds while the disk is full."""

from __future__ import annotations

from daemon.outbox.rows import row_of
from daemon.outbox.spillover import Spillover
from tests.unit.outbox.make import message


def held(*seqs: int, broker: str = "") -> list[tuple[object, object]]:
    return [(row_of(seq, m), m) for seq in seqs for m in [message(str(seq), broker=broker)]]


def test_published_from_memory_only_its_id_is_written() -> None:
    spill = Spillover(10)
    spill.hold(held(1, 2, 3))  # type: ignore[arg-type]
    assert spill.room == 7
    assert spill.confirm(2)
    assert len(spill) == 2
    assert spill.room == 7, "its id waits too"
    assert [e.seq for e in spill.entries("")] == [1, 3]
    rows, seen = spill.begin_writing(10)
    assert [row[0] for row in rows] == [1, 3]
    assert [seq for seq, _ in seen] == [2]
    spill.wrote(rows, seen)
    assert spill.empty
    assert spill.room == 10


def test_confirmed_while_it_is_being_written_is_left_to_the_disk() -> None:
    spill = Spillover(10)
    spill.hold(held(1, 2, 3))  # type: ignore[arg-type]
    rows, _ = spill.begin_writing(2)
    assert [row[0] for row in rows] == [1, 2]
    assert not spill.confirm(1)
    assert spill.confirm(3)
    spill.not_written()
    assert spill.confirm(1), "it is the memory's again"


def test_by_broker_and_by_number() -> None:
    spill = Spillover(10)
    spill.hold(held(1, broker="a"))  # type: ignore[arg-type]
    spill.hold(held(2, broker="b"))  # type: ignore[arg-type]
    assert [e.seq for e in spill.entries("b")] == [2]
    assert [e.seq for e in spill.some([2, 9, 1])] == [2, 1]
    assert spill.knows(row_of(1, message("1"))[1])
    assert not spill.knows(b"other")
