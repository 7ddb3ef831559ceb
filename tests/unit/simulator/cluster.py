"""Who is there, who is the master: what ha tells the daemon. Port.

The election itself is not simulated here (tests/unit/ha, tests/system/faults):
somebody who is gone for the length of a session is not a member any more, and
a lease that nobody holds is given to the first node that is there, under the
next epoch. What is simulated is what the daemon sees of it: late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daemon.jobs.placing import Node as Member
from ha.claims import EPOCH
from ha.operations import ANY, Committed, Create, Set
from tests.unit.simulator.world import World
from tests.unit.simulator.zookeeper import TIMEOUT, Ensemble

if TYPE_CHECKING:
    from tests.unit.simulator.node import Node

SESSION = TIMEOUT
MARGIN = 1.0
ADOPTED_AFTER = 30.0
GENERATION = 1


@dataclass
class Cell:
    """ha's LeaseCell of one process: whether it is the master, by its own clock."""

    node: Node
    epoch: int = 0
    held: bool = False
    deadline: float = 0.0

    def valid(self) -> bool:
        return self.held and self.node.clock() < self.deadline


@dataclass
class Cluster:
    """`serves` by name. What outlives the nodes: the epoch, the lease, when each was last heard of."""

    world: World
    serves: dict[str, frozenset[str]]
    ensemble: Ensemble
    epoch: int = 0
    generation: int = GENERATION
    holder: Node | None = None
    retired: Node | None = None
    is_empty: bool = False
    heard: dict[str, float] = field(default_factory=dict)
    here: dict[str, bool] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    reigns: list[tuple[int, str]] = field(default_factory=list)
    """(epoch, node), in order."""

    def tick(self) -> None:
        """As often as anything happens: who is heard of, whose session ends, who gets the lease."""
        now = self.world.now
        for name, node in self.world.nodes.items():
            if node.is_heard:
                self.heard[name] = now
                if self.holder is node and node.cell.held and node.cell.epoch == self.epoch:
                    node.cell.deadline = node.clock() + SESSION - MARGIN
            self._is(name, now - self.heard.get(name, 0.0) < SESSION)
        if self.holder is not None and self._is_over(self.holder):
            self.holder = None
        if self.holder is None and not self.is_empty:
            able = [node for node in self.world.nodes.values() if node.is_heard]
            heir = next((node for node in able if node is not self.retired), next(iter(able), None))
            self.retired = None
            if heir is not None:
                self.holder = heir
                self.epoch = self.generation << 32 | self._bumped()
                self.ensemble.epoch = self.epoch
                self.reigns.append((self.epoch, heir.name))
                self.world.changed(f"{heir.name} has the lease, epoch {self.epoch & 0xFFFFFFFF}")

    def wipe(self) -> None:
        """ZooKeeper has lost everything; nobody leads until an operator has said so (`adopt`)."""
        for node in self.world.nodes.values():
            node.end_session()
        self.ensemble.lose_all()
        self.generation, self.holder, self.is_empty, self.world.upset = self.generation + 1, None, True, True
        self.world.note("ZooKeeper has lost its data")
        self.world.later(ADOPTED_AFTER, self._adopt)

    def _adopt(self) -> None:
        self.is_empty, self.world.upset = False, True

    def switch(self) -> None:
        """A planned switchover: the master's services end, then the other one has the lease."""
        if self.holder is not None:
            self.holder.cell.held = False
            self.retired, self.holder, self.world.upset = self.holder, None, True
            self.world.note("a switchover was asked for")

    def _bumped(self) -> int:
        """The data version of /epoch, which is what fences."""
        if self.ensemble.at(EPOCH) is None:
            self.ensemble.commit([Create(EPOCH)], 0)
        found = self.ensemble.commit([Set(EPOCH, b"", ANY)], 0)
        assert isinstance(found, Committed)
        assert found.stats[0] is not None
        return found.stats[0].version

    def _is_over(self, holder: Node) -> bool:
        """Whether the session that holds the lease has ended; that of a killed process ends later."""
        return holder.session_over or (holder.dead and self.world.now - holder.died_at >= SESSION)

    def _is(self, name: str, here: bool) -> None:
        if self.here.get(name) != here:
            self.here[name], self.since[name] = here, self.world.now
            if not here:
                self.world.nodes[name].end_session()
            self.world.note(f"{name} is {'here' if here else 'away'}")

    def members(self) -> Sequence[Member]:
        """As they are now; a node has seen it some time ago."""
        return tuple(
            Member(name, self.here.get(name, False), serves, self.since.get(name, 0.0))
            for name, serves in sorted(self.serves.items())
        )

    def look(self, node: Node) -> None:
        """What a node learns when its ha service gets its turn."""
        if not node.is_heard or node.session_over:
            return
        node.members = self.members()
        node.cell.epoch = self.epoch
        held = self.holder is node
        if held and not node.cell.held:
            node.cell.deadline = node.clock() + SESSION - MARGIN
        if held != node.cell.held:
            self.world.note(f"{node.name} learns that it is {'the master' if held else 'not the master'}")
        node.cell.held = held
