"""What can go wrong with the lease and with ZooKeeper. The daemon's root translates these into its own. Pure.

Unreachable            nothing is known: a change may have happened or not; it may work the next time
NoNode .. NotEmpty     ZooKeeper's answer: it holds, and nothing was changed
NoAuth                 somebody must mend the login first
Unusable               ZooKeeper can't do that: too old, or not set up for it
Deposed                a fenced change came too late: another master has been elected
LeaseHeldError, EpochError  the lock and the files in data_dir
CommandRefused         what an operator asked for can't be done now; the sentence says why
"""

from __future__ import annotations


class HaError(Exception):
    """Base of this package's errors; the message names what and where, never a secret."""


class Unreachable(HaError):
    """ZooKeeper did not answer in time, or the connection broke.

    `sent` is False where the call certainly never left this process. True: it may have been carried out,
    so whoever changed something reads it again before deciding.
    """

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class NoNode(HaError):
    """The path is not there."""


class NodeExists(HaError):
    """The path is there already."""


class BadVersion(HaError):
    """Somebody has changed it meanwhile."""


class NotEmpty(HaError):
    """The path has children."""


class NoAuth(HaError):
    """This login may not do that: user or password are not those the node was made with."""


class Unusable(HaError):
    """ZooKeeper refuses for a reason that trying again does not change."""


class CommandRefused(HaError):
    """What was asked for (switchover, mode, adopt) can't be done now; the sentence says why."""


class Deposed(HaError):
    """The epoch is a later one by now: nothing was changed."""


class LeaseHeldError(HaError):
    """Another process on this host has the lease."""


class EpochError(HaError):
    """What the node keeps on its disk can't be read or written; the text names it and the mend."""
