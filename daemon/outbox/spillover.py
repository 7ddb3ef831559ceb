"""What the outbox holds in memory while its disk is full. Pure.

The messages keep the numbers they would have had on the disk, so they are
published, confirmed and later written in their order. See
docs/decisions/outbox-disk-full.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from daemon.errors import TransientError
from daemon.outbox.entry import Entry
from daemon.outbox.message import Message
from daemon.outbox.rows import Row


class OutboxFull(TransientError):
    """The disk is full and the memory's share too: hold the messages back and try again."""


class Spillover:
    """Up to `limit` messages that wait for room on the disk."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: dict[int, tuple[Row, Message]] = {}  # by seq, in its order
        self._keys: dict[bytes, int] = {}  # of the held and of the published ones
        self._published: dict[int, bytes] = {}
        self._writing_upto = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """How many more it takes; the ids of what was published from here count too."""
        return self.limit - len(self._keys)

    @property
    def empty(self) -> bool:
        """Nothing is left to write."""
        return not self._keys

    def knows(self, key: bytes) -> bool:
        """This id is here already."""
        return key in self._keys

    def place(self, key: bytes) -> tuple[int, str] | None:
        """Number and broker of a message that is held; None where none of this id is."""
        held = self._held.get(self._keys.get(key, 0))
        return None if held is None else (held[0][0], held[1].broker)

    def hold(self, rows: Iterable[tuple[Row, Message]]) -> None:
        """Take these, with ascending numbers; the caller has looked at `room` and `knows`."""
        for row, message in rows:
            self._held[row[0]] = (row, message)
            self._keys[row[1]] = row[0]

    def confirm(self, seq: int) -> bool:
        """Published: only its id remains to be written. False if the disk has it, or is getting it now."""
        if seq <= self._writing_upto or seq not in self._held:
            return False
        row, _ = self._held.pop(seq)
        self._published[seq] = row[1]
        return True

    def entries(self, broker: str) -> list[Entry]:
        """What is held for a broker, oldest first."""
        return [Entry(seq, m) for seq, (_, m) in self._held.items() if m.broker == broker]

    def some(self, seqs: Sequence[int]) -> list[Entry]:
        """Those of these numbers that are held."""
        return [Entry(seq, self._held[seq][1]) for seq in seqs if seq in self._held]

    def begin_writing(self, count: int) -> tuple[list[Row], list[tuple[int, bytes]]]:
        """The oldest rows and ids to write now; `wrote` or `not_written` must follow."""
        rows = [row for row, _ in islice(self._held.values(), count)]
        self._writing_upto = rows[-1][0] if rows else 0
        return rows, list(islice(self._published.items(), count))

    def wrote(self, rows: Sequence[Row], seen: Sequence[tuple[int, bytes]]) -> None:
        """They are on the disk."""
        for row in rows:
            del self._held[row[0]]
            del self._keys[row[1]]
        for seq, key in seen:
            del self._published[seq]
            del self._keys[key]
        self._writing_upto = 0

    def not_written(self) -> None:
        """The disk is still full."""
        self._writing_upto = 0
