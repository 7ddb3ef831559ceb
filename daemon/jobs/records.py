"""Where requests stand, for everybody who changes it: the interface of every store of records. Pure.

A change is a compare-and-set: who read an older version, or serves under an
older epoch than the store has seen, is Fenced and has changed nothing. The
one-host store is in `recordfile`; ZooKeeper's can stand behind the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from daemon.errors import ArimonitorError
from daemon.jobs.model import Record, State


class Fenced(ArimonitorError):
    """Somebody else has changed the record, or a newer master serves: begin nothing, read again."""


class Deposed(Fenced):
    """A newer epoch was seen: this process is not the master any more."""


class RecordStore(Protocol):
    """Every method may raise TransientError: nothing was changed, or it can't be known; try again."""

    def create(self, record: Record) -> bool:
        """Take a request in: from here on it is never lost. False: there is a record of that id.

        Raises Deposed for an epoch older than the highest seen.
        """

    def read(self, request_id: str) -> Record | None:
        """The record as it is now."""

    def change(self, new: Record, expected: int) -> Record:
        """Replace the record whose version is `expected`; the new one with its version. Raises Fenced."""

    def listing(self, *states: State) -> Sequence[Record]:
        """The records in these states (none named: all that are not final), first come first."""

    def latest(self, most: int, *states: State) -> Sequence[Record]:
        """At most so many records in these states, the last changed first."""

    def counts(self) -> dict[State, int]:
        """How many requests (not refusals, not help) are in each state."""

    def known(self, request_id: str) -> bool:
        """Whether there is such a record."""

    def recent(self, sender: str, since: datetime) -> int:
        """How many records of this sender (in lower case) were accepted since then."""

    def recent_all(self, since: datetime) -> int:
        """The same of all senders."""

    def warned(self, sender: str, since: datetime) -> bool:
        """Whether the sender was told since then that it is over the limit."""

    def forget(self, before: float, keep: Sequence[str]) -> Sequence[str]:
        """Delete final records last changed before then whose mail (uid) is none of `keep`; their ids."""

    def attempt(self, uid: str) -> int:
        """Count, durably, a try to handle a mail that has no record yet; which try it is."""

    def attempted(self, uid: str) -> None:
        """The mail was handled, or its failure was not its own: the count is forgotten."""

    def paused(self) -> bool:
        """Whether intake and queues are to stand still; survives restarts."""

    def pause(self, on: bool) -> None:
        """Let them stand still, or go on."""
