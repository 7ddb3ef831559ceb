"""The lease protocol over a Tree: ask, give back, adopt. Adapter: it decides nothing.

The lease is the ephemeral /lease; what fences is the data version of the persistent /epoch, which is bumped
in the same multi that makes the lease. (The version of /lease itself fences nothing: a new one begins at 0.)
Answers are three-valued: won, lost, or sent and not answered.
"""

from __future__ import annotations

from collections.abc import Callable

from ha.codec import Epoch, Handover, epoch_of, handover_of
from ha.errors import BadVersion, HaError, NodeExists, NoNode, Unreachable
from ha.facts import Answer, Outcome
from ha.lease import generation_of, token, version_of
from ha.operations import ANY, Check, Committed, Create, Delete, Operation, Refused, Set
from ha.paths import EPOCH, LEASE, SWITCHOVER
from ha.zookeeper import Tree

_CHUNK = 500  # operations of one multi


class Keeper:
    """For one node; `clock` is the boot clock. Raises NoAuth or Unusable where somebody must act."""

    def __init__(self, tree: Tree, name: str, installation: str, clock: Callable[[], float]) -> None:
        self._tree = tree
        self._name = name
        self._installation = installation
        self._clock = clock

    def epoch(self, timeout: float) -> Epoch | None:
        """/epoch as it is; None where there is none, or nothing that can be read as one."""
        try:
            data, stat = self._tree.get(EPOCH, timeout)
        except NoNode:
            return None
        return epoch_of(data, stat.version)

    def ours(self, epoch: int) -> Epoch:
        """/epoch as it is after this node has won `epoch`."""
        return Epoch(generation_of(epoch), version_of(epoch), self._name, self._installation)

    def ask(self, lowest: int, timeout: float, *, over: bool) -> tuple[Answer, float]:
        """Ask for the lease, `over`: in place of our own old one. The answer, and when it was sent.

        A lower epoch than `lowest` is not built upon. UNKNOWN: the connection broke; a look tells.
        """
        try:
            self._tree.sync(EPOCH, timeout)
            old = self.epoch(timeout)
            there = over and self._tree.exists(LEASE, timeout) is not None
        except Unreachable:
            return Answer(Outcome.UNKNOWN), self._clock()
        if (old.token if old is not None else 0) < lowest:
            return Answer(Outcome.LOST), self._clock()
        new = self.ours(token(old.generation, old.version + 1) if old is not None else token(1, 0))
        operations: list[Operation] = [Delete(LEASE, ANY)] if there else []
        operations.append(Create(LEASE, self._name.encode(), ephemeral=True))
        operations.append(
            Set(EPOCH, new.encoded(), old.version) if old is not None else Create(EPOCH, new.encoded())
        )
        sent = self._clock()
        try:
            done = self._tree.multi(operations, timeout)
        except Unreachable:
            return Answer(Outcome.UNKNOWN), sent
        if isinstance(done, Committed):
            return Answer(Outcome.WON, new.token), sent
        _raise_unless_race(done)
        return Answer(Outcome.LOST), sent

    def give_back(self, epoch: int, timeout: float) -> bool:
        """Take /lease away if nobody has won since `epoch`; whether that was so. Raises Unreachable."""
        done = self._tree.multi([Check(EPOCH, version_of(epoch)), Delete(LEASE, ANY)], timeout)
        if isinstance(done, Refused):
            _raise_unless_race(done)
        return isinstance(done, Committed)

    def leave_for(self, handover: Handover, timeout: float) -> None:
        """Say to all who gives the lease back, and for whom. Raises Unreachable."""
        try:
            self._tree.create(SWITCHOVER, handover.encoded(), makepath=True, timeout=timeout)
        except NodeExists:
            self._tree.set(SWITCHOVER, handover.encoded(), ANY, timeout)

    def withdraw(self, handover: Handover, timeout: float) -> None:
        """Nobody is asked for it any longer, if it is still this one. Raises Unreachable."""
        try:
            data, stat = self._tree.get(SWITCHOVER, timeout)
            if handover_of(data) == handover:
                self._tree.delete(SWITCHOVER, stat.version, timeout)
        except (NoNode, BadVersion):
            return

    def adopt(self, highest: int, timeout: float) -> int:
        """Accept ZooKeeper's data as they are, as a generation above `highest`; the new epoch.

        The data version is lifted above the old one's, so that no check of a master of before can pass again.
        Raises Unreachable, or BadVersion where somebody was elected meanwhile.
        """
        self._tree.sync("/", timeout)
        old = self.epoch(timeout)
        stat = self._tree.exists(EPOCH, timeout)
        generation = max(generation_of(highest), old.generation if old is not None else 0) + 1
        version = stat.version if stat is not None else -1
        target = max(version_of(highest), version) + 1
        while version < target:
            steps: list[Operation] = []
            for _ in range(min(_CHUNK, target - version)):
                new = Epoch(generation, version + 1)
                steps.append(
                    Create(EPOCH, new.encoded()) if version < 0 else Set(EPOCH, new.encoded(), version)
                )
                version += 1
            done = self._tree.multi(steps, timeout)
            if isinstance(done, Refused):
                raise done.error
        return Epoch(generation, version).token


def _raise_unless_race(refused: Refused) -> None:
    """Somebody else was faster: that is an answer. All else is an error."""
    error: HaError = refused.error
    if not isinstance(error, NodeExists | NoNode | BadVersion):
        raise error
