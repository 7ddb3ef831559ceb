"""Blocks of published ids: appended to, read on from a place, as bytes and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.standby.journal import (
    PER_BLOCK,
    SLOTS,
    Block,
    Place,
    Unreadable,
    decode,
    encode,
    end_of,
    extend,
    first_kept,
    slot_of,
    unread,
)


def ids(first: int, count: int) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(16, "big") for number in range(first, first + count))


def block(number: int = 7, count: int = 3, origin: int = 1) -> Block:
    return Block(origin, number, ids(number * PER_BLOCK, count), 5, "AUDIO")


@given(
    st.lists(st.binary(max_size=255), max_size=PER_BLOCK),
    st.integers(0, 2**62),
    st.integers(0, 2**40),
    st.booleans(),
)
def test_bytes_and_back(found: list[bytes], epoch: int, number: int, clean: bool) -> None:
    written = Block(3, number, tuple(found), epoch, "AUDIO", clean)
    assert decode(encode(written)) == written


def test_a_full_block_is_small() -> None:
    assert len(encode(block(count=PER_BLOCK))) < 4600


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no json\n",
        b"[]\n",
        b"{}\n",
        encode(block())[:-1],
        encode(block()) + b"\x10x",
        encode(block())[:-17],
        encode(block()).replace(b'"version":1', b'"version":2'),
        json.dumps({"version": 1, "origin": "x"}).encode(),
    ],
)
def test_what_is_no_block_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(data)


@pytest.mark.parametrize(
    ("has", "more", "sizes"),
    [
        (0, 0, [0]),
        (0, 1, [1]),
        (PER_BLOCK - 1, 1, [PER_BLOCK]),
        (PER_BLOCK, 1, [PER_BLOCK, 1]),
        (PER_BLOCK - 1, 2, [PER_BLOCK, 1]),
        (10, 3 * PER_BLOCK, [PER_BLOCK, PER_BLOCK, PER_BLOCK, 10]),
    ],
)
def test_extend(has: int, more: int, sizes: list[int]) -> None:
    head = Block(1, 4, ids(0, has), 5, "AUDIO", clean=True)
    blocks = extend(head, ids(has, more), 6, "AUDIO2")
    assert [len(each.ids) for each in blocks] == sizes
    assert [each.number for each in blocks] == list(range(4, 4 + len(sizes)))
    assert [each for one in blocks for each in one.ids] == list(ids(0, has + more))
    assert all((each.epoch, each.node, each.clean, each.origin) == (6, "AUDIO2", False, 1) for each in blocks)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (None, 3),
        (Place(1, 6, 256), 3),  # before it
        (Place(1, 7, 0), 3),
        (Place(1, 7, 2), 1),
        (Place(1, 7, 3), 0),
        (Place(1, 8, 0), 0),  # behind it
        (Place(2, 9, 0), 3),  # of another journal
    ],
)
def test_unread(place: Place | None, expected: int) -> None:
    assert unread(block(), place) == block().ids[3 - expected :]


def test_the_ring() -> None:
    assert {len(slot_of(number)) for number in range(SLOTS)} == {2}
    assert len({slot_of(number) for number in range(SLOTS)}) == SLOTS
    assert slot_of(5) == slot_of(5 + SLOTS)
    assert first_kept(block(3)) == 0
    # Every block that is read is in another slot than the one that is written next.
    head = block(1000)
    kept = [slot_of(number) for number in range(first_kept(head), head.number)]
    assert len(set(kept)) == len(kept) == SLOTS - 1
    assert slot_of(head.number) not in kept
    assert end_of(head) == Place(1, 1000, 3)


@given(st.lists(st.integers(0, 700), max_size=8), st.lists(st.integers(0, 700), max_size=8))
def test_a_reader_that_is_never_lapped_gets_every_id_once_in_order(
    first: list[int], second: list[int]
) -> None:
    """Read after each of `first`, then once after all of `second`."""
    head, slots, place = Block(1, 0, (), 5, "AUDIO"), {}, None
    written, got = 0, []

    def write(count: int) -> None:
        nonlocal head, written
        *full, head = extend(head, ids(written, count), 5, "AUDIO")
        slots.update({slot_of(each.number): each for each in full})
        written += count

    def read() -> None:
        nonlocal place
        for number in range(max(first_kept(head), 0 if place is None else place.number), head.number):
            got.extend(unread(slots[slot_of(number)], place))
        got.extend(unread(head, place))
        place = end_of(head)

    for count in first:
        write(count)
        read()
    for count in second:
        write(count)
    read()
    assert got == list(ids(0, written))
