"""The clock, who runs next, and what goes wrong at which moment.

Services run one step at a time. A step stands still in the middle where a
decision says so, and others go on meanwhile. `run` ends when nothing has
changed for longer than anything waits.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tests.unit.simulator.strands import Strand

if TYPE_CHECKING:
    from tests.unit.simulator.node import Node

R = TypeVar("R")

START = 1_761_750_000.0  # 2025-10-29 15:00 UTC
JUMPS = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 310.0)
"""Seconds that pass at once while nothing happens; the last is longer than any wait for a next try."""
SETTLED = (400.0,)
"""The same when nothing is left to be done: it must stay so."""
MOST_STEPS = 20_000
"""A run that needs more will never be quiet."""


class Crash(BaseException):
    """The process ends here, with all that was in its memory."""


class Stopped(BaseException):
    """The process is told to end, in good order: what runs is broken off, and may still say so."""


@dataclass(frozen=True, slots=True)
class Moment:
    """`phase`: before or after a call to the outside, or at a fail point."""

    number: int
    node: str
    service: str
    what: str
    phase: str

    def __str__(self) -> str:
        return f"{self.number} {self.node}/{self.service} {self.phase} {self.what}"


class Decisions(Protocol):
    """What goes wrong, and who is first. The same decisions make the same run."""

    def at(self, moment: Moment) -> str:
        """go, crash, stop, lose (the call fails, or its answer is lost), yield (others first) or pause."""

    def pick(self, ready: list[Actor]) -> Sequence[Actor]:
        """Who runs next, one after the other; then it is asked again."""

    def may_stand_still(self, number: int) -> bool:
        """Whether at this moment or a later one a step may have to stand still."""


@dataclass
class Actor:
    """A service of a node: `step` gives the seconds until its next one."""

    node: Node
    name: str
    step: Callable[[], float]
    woken: Callable[[], bool]
    until: float = 0.0
    strand: Strand | None = None
    blocked: Callable[[], bool] = lambda: False
    """Whether its strand waits for something that has not come yet."""

    def __post_init__(self) -> None:
        self.label = f"{self.node.name}/{self.name}"

    def __str__(self) -> str:
        return self.label


@dataclass
class World:
    """Everything that outlives a process, and the order of things."""

    decisions: Decisions
    now: float = START
    moments: int = 0
    changes: int = 0
    """How often anything outside changed: two moments with none between are the same to a crash."""
    trace: list[str] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    current: Actor | None = None
    steps: int = 0
    each_time: list[Callable[[], None]] = field(default_factory=list)
    """Called when time has passed, or a node has come or gone: sessions end, leases are given."""
    upset: bool = False
    agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    on_crash: Callable[[Node], None] = lambda _: None
    settled: Callable[[], bool] = lambda: False
    decision: str = "go"
    """The last one: how a port that knows more words than these learns of them."""

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Something that happens by itself."""
        heapq.heappush(self.agenda, (self.now + seconds, next(self._numbers), what))

    def clock(self) -> float:
        return self.now

    def changed(self, what: str = "") -> None:
        """Something outside is another than before."""
        self.changes += 1
        if what:
            self.note(what)

    def note(self, text: str) -> None:
        who = f"{self.current}: " if self.current is not None else ""
        self.trace.append(f"{self.now - START:8.1f} {who}{text}")

    # -- moments -------------------------------------------------------------------
    def call(
        self, node: Node, what: str, effect: Callable[[], R], trouble: Callable[[str], BaseException]
    ) -> R:
        """A call to the outside. `trouble` makes the error of one that failed, or whose answer was lost."""
        self.moment(node, what, "before", trouble)
        if what.partition(" ")[0] in node.cut_off:
            raise trouble(f"{what}: it is away")
        result = effect()
        self.moment(node, what, "after", trouble)
        return result

    def moment(
        self, node: Node, what: str, phase: str, trouble: Callable[[str], BaseException] | None = None
    ) -> None:
        """Something may go wrong here."""
        if node.dead:
            raise Crash
        if node.is_stopping:
            return
        actor = self.current
        assert actor is not None
        number, self.moments = self.moments, self.moments + 1
        moment = Moment(number, node.name, actor.name, what, phase)
        decision = self.decision = self.decisions.at(moment)
        if decision == "go":
            return
        if decision != "yield":
            self.trace.append(f"{self.now - START:8.1f} {decision.upper()} at {moment}")
        if decision == "crash":
            self.crash(node)
            raise Crash
        if decision == "stop":
            self.stop(node)
            raise Stopped
        if decision == "lose":
            assert trouble is not None
            raise trouble(f"{what} failed {phase} it was done")
        if decision == "stale":
            return
        if decision == "pause":
            node.paused, node.paused_at, self.upset = True, self.now, True
        assert actor.strand is not None
        actor.strand.stand_still()

    # -- nodes -----------------------------------------------------------------------
    def add(self, node: Node) -> None:
        """It is started; another of its name is gone."""
        self.nodes[node.name] = node
        self.upset = True

    def crash(self, node: Node) -> None:
        """It is gone; what stood still in it, too."""
        node.dead, node.died_at, self.upset = True, self.now, True
        for actor in node.actors:
            if actor.strand is not None and actor is not self.current:
                actor.strand.throw(Crash())
                actor.strand = None
        self.on_crash(node)

    def stop(self, node: Node) -> None:
        """It ends in good order: first what stands still in it, then what runs; see `step`."""
        node.tell_to_stop()
        running = self.current
        for self.current in node.actors:
            if self.current.strand is not None and self.current is not running:
                self.current.strand.throw(Stopped())
                self.current.strand = None
        self.current = running

    # -- running ----------------------------------------------------------------------
    def run(self) -> None:
        """Until nothing changes any more. AssertionError: it never gets quiet."""
        jumps, seen, looked = 0, self.changes, -1.0
        while True:
            while self.agenda and self.agenda[0][0] <= self.now:
                heapq.heappop(self.agenda)[2]()
            if looked != self.now or self.upset:
                looked, self.upset = self.now, False
                for each in self.each_time:
                    each()
            if seen != self.changes:
                jumps, seen = 0, self.changes
            if ready := self._ready():
                for actor in self.decisions.pick(ready):
                    if not (actor.node.dead or actor.node.paused):
                        self.step(actor)
                continue
            waits = SETTLED if self.settled() else JUMPS
            later = self.now + waits[jumps] if jumps < len(waits) else float("inf")
            if self.agenda and self.agenda[0][0] <= later:
                self.now = max(self.now, self.agenda[0][0])
                jumps = 0
            elif jumps < len(waits):
                self.now, jumps = later, jumps + 1
            else:
                return

    def _ready(self) -> list[Actor]:
        now, ready = self.now, []
        for node in self.nodes.values():
            if node.dead or node.paused:
                continue
            for actor in node.actors:
                if actor.strand is not None:
                    if not actor.blocked():
                        ready.append(actor)
                elif actor.until <= now or actor.woken():
                    ready.append(actor)
        return ready

    def stand_still(self, node: Node, go_on: Callable[[], bool], seconds: float) -> None:
        """The step that runs waits for something, at most so long."""
        actor, until = self.current, self.now + seconds
        assert actor is not None
        assert actor.strand is not None
        actor.blocked = lambda: not go_on() and self.now < until
        actor.strand.stand_still()
        actor.blocked = lambda: False

    def step(self, actor: Actor) -> None:
        """One step of a service, or the rest of one that stood still."""
        self.steps += 1
        assert self.steps < MOST_STEPS, "it never gets quiet"
        before, self.current = self.current, actor
        try:
            if actor.strand is None:
                if not self.decisions.may_stand_still(self.moments):
                    self._whole(actor)
                    return
                actor.strand = Strand(lambda: self._whole(actor))
            actor.strand.go()
        except Crash:
            self.note("is gone")
        except Stopped:
            self.note("has stopped in good order")
            self.crash(actor.node)
        finally:
            self.current = before
            if actor.strand is not None and actor.strand.ended:
                actor.strand = None

    def _whole(self, actor: Actor) -> None:
        actor.until = self.now + actor.step()

    def close(self) -> None:
        """Let nothing stand still for ever."""
        for node in list(self.nodes.values()):
            if not node.dead:
                self.on_crash = lambda _: None
                self.crash(node)


def trouble_of(kind: type[Exception]) -> Callable[[str], BaseException]:
    """For ports whose errors are of one kind."""

    def made(text: str) -> BaseException:
        return kind(text)

    return made


def anything(**values: Any) -> Any:
    """An object with these attributes: what libraries give."""
    return type("Anything", (), values)()
