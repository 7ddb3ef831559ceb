"""Where nodes leave word for one another: the interface, and the names of what is there. Pure."""

from __future__ import annotations

from typing import Final, Protocol

JOURNAL: Final = "journal"
HEAD: Final = "head"
"""The journal's open block; the full ones are beside it under `journal.slot_of`."""
QUESTION: Final = "question"
ANSWER: Final = "answer"
TAKING_OVER: Final = "taking-over"
"""Under each node's name: a standby's question, the master's answer, a new master's first word."""


class Marks(Protocol):
    """Small pieces of data that all nodes see, in one order: `kind` and `name` say which.

    Names match `[A-Za-z0-9_-]+`; a piece is 300 kB at most. Every method may raise
    TransientError: what was to be written may be there or not.
    """

    def read_mark(self, kind: str, name: str, /) -> bytes | None:
        """The piece, None where there is none.

        Who has written something sees at least everything that was written before.
        """

    def write_mark(self, kind: str, name: str, data: bytes, epoch: int | None, /) -> None:
        """Put it there, in place of what was.

        Raises jobs.records.Deposed where a newer epoch than `epoch` has begun; with None
        anybody may write.
        """
