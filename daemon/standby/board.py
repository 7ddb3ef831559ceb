"""Marks over ZooKeeper: ha's board, its errors made ours. Adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from daemon.errors import TransientError
from daemon.jobs.records import Deposed
from ha import errors


class Board(Protocol):
    """What is needed of ha.board.Board: pieces of data by two names, fenced. Raises ha.errors."""

    def read_mark(self, asterisk: str, broker: str) -> bytes | None:
        """The piece; not older than the moment of the call."""

    def write_mark(self, asterisk: str, broker: str, data: bytes, epoch: int) -> None:
        """Put it there while `epoch` is the last one."""


class BoardMarks:
    """`marks.Marks` on a Board. `epoch` is the highest one seen, by this node or another."""

    def __init__(self, board: Board, epoch: Callable[[], int]) -> None:
        self._board = board
        self._epoch = epoch

    def read_mark(self, kind: str, name: str, /) -> bytes | None:
        """The piece, None where there is none."""
        try:
            return self._board.read_mark(kind, name)
        except errors.HaError as error:
            raise TransientError(str(error)) from error

    def write_mark(self, kind: str, name: str, data: bytes, epoch: int | None, /) -> None:
        """Put it there. What anybody may write is written under the epoch of the day."""
        try:
            self._board.write_mark(kind, name, data, self._epoch() if epoch is None else epoch)
        except errors.Deposed as error:
            if epoch is None:
                raise TransientError(f"another node becomes master just now: {error}") from error
            raise Deposed(str(error)) from error
        except errors.HaError as error:
            raise TransientError(str(error)) from error
