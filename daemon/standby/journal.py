"""The journal of published ids, as blocks: what a master writes and a standby reads. Pure.

    head      the open block: rewritten as ids come, at most four times a second
    00 .. ff  the blocks before it, each written once when it was full; a ring

    block 7 (full) -> slot 07      block 8 (full) -> slot 08      head: block 9, 41 ids

Ids are only ever appended, so a reader's place is a block's number and how many
of its ids it has read. A master takes up the open block that it finds, whoever
began it. Whoever was away for longer than the ring is wide asks (`questions`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

PER_BLOCK = 256
"""Ids in a block: some 4.5 kB, which is what each write of the head costs at most."""
SLOTS = 256
"""Blocks that are kept behind the open one: 65,536 ids, some 15 minutes at 70 messages a second."""
_LONGEST = 255  # bytes of an id: AMQP has no longer ones


class Unreadable(Exception):
    """These bytes are no block of this version."""


@dataclass(frozen=True, slots=True)
class Block:
    """Ids (`outbox.rows.key_of`) in the order in which their confirms came.

    `origin` is the epoch that began this journal: with another one all places
    are void. `epoch` and `node` wrote it last; `clean`: that node has ended in
    order, and everything that it published is here.
    """

    origin: int
    number: int
    ids: tuple[bytes, ...]
    epoch: int
    node: str
    clean: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Everything before block `number` is known, and the first `count` ids of that block."""

    origin: int
    number: int
    count: int


def slot_of(number: int) -> str:
    """Where a full block is kept."""
    return f"{number % SLOTS:02x}"


def first_kept(head: Block) -> int:
    """The oldest block that can still be read; the one before it may be overwritten at any moment."""
    return max(0, head.number - SLOTS + 1)


def end_of(block: Block) -> Place:
    """The place of who has read all of this block."""
    return Place(block.origin, block.number, len(block.ids))


def unread(block: Block, place: Place | None) -> tuple[bytes, ...]:
    """The ids of a block that a reader at `place` does not know yet."""
    if place is None or place.origin != block.origin or place.number < block.number:
        return block.ids
    return block.ids[place.count :] if place.number == block.number else ()


def extend(head: Block, ids: Sequence[bytes], epoch: int, node: str) -> list[Block]:
    """The open block and what it is followed by when these are appended; the last is the new open one.

    The others are full: they have to be in their slots before the last becomes the head.
    """
    head = replace(head, epoch=epoch, node=node, clean=False)
    blocks = []
    rest = list(ids)
    while True:
        room = PER_BLOCK - len(head.ids)
        head = replace(head, ids=(*head.ids, *rest[:room]))
        rest = rest[room:]
        blocks.append(head)
        if not rest:
            return blocks
        head = replace(head, number=head.number + 1, ids=())


def encode(block: Block) -> bytes:
    """A block as bytes: a line of JSON, then each id behind its length in one byte."""
    about = {
        "version": 1,
        "origin": block.origin,
        "number": block.number,
        "count": len(block.ids),
        "epoch": block.epoch,
        "node": block.node,
        "clean": block.clean,
    }
    parts = [json.dumps(about, separators=(",", ":")).encode(), b"\n"]
    for each in block.ids:
        part = each[:_LONGEST]
        parts += (bytes((len(part),)), part)
    return b"".join(parts)


def decode(data: bytes) -> Block:
    """The block that these bytes are. Raises Unreadable."""
    line, _, packed = data.partition(b"\n")
    try:
        about = json.loads(line)
        if about["version"] != 1:
            raise Unreadable(f"a block of version {about['version']}")
        ids = tuple(_unpacked(packed))
        block = Block(
            int(about["origin"]),
            int(about["number"]),
            ids,
            int(about["epoch"]),
            str(about["node"]),
            bool(about["clean"]),
        )
        count = int(about["count"])
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"no block: {error!r}") from error
    if count != len(ids):
        raise Unreadable(f"{len(ids)} ids where there should be {count}")
    return block


def _unpacked(packed: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packed):
        end = at + 1 + packed[at]
        if end > len(packed):
            raise Unreadable("cut off in the middle of an id")
        yield packed[at + 1 : end]
        at = end
