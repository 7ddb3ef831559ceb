"""Where requests stand, for everybody who changes it: the interface of every store of records. Pure.

A change is a compare-and-set: who read an older version, or serves under an
older epoch than the store has seen, is Fenced and has changed nothing. The
one-host store is in `recordfile`, that of two hosts in `recordzk`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from daemon.errors import ArimonitorError
from daemon.jobs.model import Record, State


class Fenced(ArimonitorError):
    """Somebody else has changed the record, or a newer master serves: begin nothing, read again."""


class Deposed(Fenced):
    """A newer epoch was seen: this process is not the master any more."""


class Mastership(Protocol):
    """Whether this process is the master, and under which epoch. Never blocks; ha's LeaseCell is one."""

    def valid(self) -> bool:
        """Whether the lease counts now: only then may something be begun that only the master may do."""

    @property
    def epoch(self) -> int:
        """Ours while we are the master, else the highest seen."""


@dataclass(frozen=True, slots=True)
class Held:
    """The mastership of one host: held as long as the process lives."""

    epoch: int

    def valid(self) -> bool:
        """Always."""
        return True


class Courier(Protocol):
    """Brings the file of a request to another node."""

    def send(self, record: Record, peer: str) -> None:
        """Its file is in the queue of the node `peer`, whole and on its disk; repeated harmlessly.

        Raises TransientError (nothing is there, or it can't be known) and PermanentError (refused for good).
        """


class RecordStore(Protocol):
    """Every method may raise TransientError: nothing was changed, or it can't be known; try again."""

    def create(self, record: Record) -> bool:
        """Take a request in: from here on it is never lost. False: there is a record of that id.

        Raises Deposed for an epoch older than the highest seen.
        """

    def read(self, request_id: str) -> Record | None:
        """The record as it is now."""

    def change(self, new: Record, expected: int, *, as_master: bool = False) -> Record:
        """Replace the record whose version is `expected`; the new one with its version. Raises Fenced.

        `as_master`: only while `new.epoch` is the highest (Deposed): for what belongs to another node.
        """

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

    def forget(self, before: float, keep: Sequence[str] | None, epoch: int) -> Sequence[str]:
        """Delete final records last changed before then whose mail (uid) is none of `keep`; their ids.

        `keep` is None where the mailbox was not looked into: those that came by mail stay. The master's
        business: raises Deposed for an epoch older than the highest seen.
        """

    def attempt(self, uid: str) -> int:
        """Count, durably, a try to handle a mail that has no record yet; which try it is."""

    def attempted(self, uid: str) -> None:
        """The mail was handled, or its failure was not its own: the count is forgotten."""

    def paused(self) -> bool:
        """Whether intake and queues are to stand still; survives restarts."""

    def pause(self, on: bool) -> None:
        """Let them stand still, or go on."""

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call it when another node has changed something. It returns at once and raises nothing."""
