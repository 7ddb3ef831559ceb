"""The election over ZooKeeper, as the daemon uses it. Service.

Two sessions: a quiet one for the lease (`Participant`), another for all else (`Board`), so that nothing can
delay a renewal. The lease cell is what the rest of the process asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from ha import commands, problems
from ha.board import Board
from ha.clock import boottime
from ha.deadman import Deadman
from ha.disk import Lock, Memory
from ha.keeper import Keeper
from ha.lease import LeaseCell, spelled
from ha.model import Member, Mode, View
from ha.orders import Orders
from ha.participant import Clocks, Participant
from ha.zookeeper import Tree

__all__ = ["Agent", "Orders", "Sessions"]


@dataclass(frozen=True, slots=True)
class Sessions:
    """The two Trees of one namespace: `quiet` for the lease only, `data` for everything else."""

    quiet: Tree
    data: Tree


class Agent:
    """For one node. `me` is what it says of itself, `data_dir` where its lock and its highest epoch are.

    `deadman` ends the process when it hangs as the master. `open` comes first, then `run`, the loop; `board`
    is a service of its own, to be run beside it.
    """

    name = "ha"

    def __init__(
        self,
        sessions: Sessions,
        me: Member,
        data_dir: Path,
        orders: Orders,
        *,
        deadman: Deadman | None = None,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.lease = LeaseCell(clock)
        self._memory = Memory(data_dir)
        self.board = Board(sessions.data, me.name, lambda: self._memory.installation, wall)
        self._sessions = sessions
        self._me = me
        self._orders = orders
        self._lock = Lock(data_dir / "lease.lock")
        self._deadman = deadman
        self._clocks = Clocks(clock, wall)
        self._part: Participant | None = None

    def open(self) -> None:
        """Take the node's lock and read what it remembers. Raises LeaseHeldError, EpochError."""
        self._lock.acquire()
        self._memory.open()
        self.lease.saw(self._memory.highest)
        self._part = Participant(
            self._sessions.quiet,
            self._memory,
            self.lease,
            self._orders,
            self._clocks,
            me=lambda: self._me,
            note=self.board.note,
            tick=lambda: self.board.ensemble.tick if self.board.ensemble is not None else None,
        )
        self.board.tell(self._me)

    def close(self) -> None:
        """Give the node's lock back; after `run`."""
        self._lock.release()

    def run(self, stop: Event) -> None:
        """Take part in the election until `stop` is set; then give the lease back and leave."""
        part = self._opened()
        part.wake.follow(stop)
        self._sessions.quiet.start()
        self._sessions.data.start()
        if self._deadman is not None:
            self._deadman.start(self.lease, lambda: part.timings.timeout - part.timings.margin)
        try:
            while not stop.is_set():
                part.turn()
                part.wake.wait(part.pause())
        finally:
            part.leave(told=stop.is_set())
            if self._deadman is not None:
                self._deadman.stop()
            self._sessions.quiet.stop()
            self._sessions.data.stop()

    # -- what the daemon says ----------------------------------------------
    def retired(self) -> None:
        """The master's work has ended after `retire`: the lease may be given back."""
        part = self._opened()
        part.retired = True
        part.wake.set()

    def say(self, facts: Mapping[str, Any]) -> None:
        """The daemon's facts about itself, for all nodes; written when they change, at most once a second."""
        self._change(replace(self._me, facts=dict(facts)))

    def step_down(self, reason: str) -> str:
        """Give the lease to another node that is here. Raises CommandRefused where there is none."""
        part = self._opened()
        commands.may_step_down(part.state.leads, self._me.name, self.board)
        part.wish = reason
        part.wake.set()
        return f"this node hands over: {reason}"

    # -- what operators say ------------------------------------------------
    def switchover(self, to: str | None) -> str:
        """Have the master give the lease to `to`, or to the best of the others; what came of it.

        Waits until it is done. Raises CommandRefused with the reason, or Unreachable.
        """
        data = self._sessions.data
        return commands.switchover(
            self.board, self._keeper(), to, self._wait_for_master, data.session_timeout
        )

    def set_mode(self, mode: Mode) -> str:
        """auto, master or slave, until the next start."""
        self._change(replace(self._me, mode=mode))
        return f"the mode of {self._me.name} is {mode} until the next start"

    def adopt(self) -> str:
        """Accept ZooKeeper's data though the epoch is lower than one seen before. Raises CommandRefused."""
        epoch = commands.adopt(self._keeper(), self._memory.highest, self._sessions.data.session_timeout)
        self._opened().wake.set()
        return f"ZooKeeper's data are accepted: epoch {spelled(epoch)} is above all that were seen"

    # -- how it stands -----------------------------------------------------
    def view(self) -> View:
        """How the election stands."""
        part, quiet = self._opened(), self._sessions.quiet
        holder, left = part.sight.holder, self.lease.left()
        connected = quiet.connected and not part.trouble
        return View(
            backend="zookeeper",
            connected=connected,
            role=part.state.role(left),
            mode=self._me.mode,
            epoch=self.lease.epoch,
            master=holder.name if connected and holder is not None else None,
            reason=part.said.sentence,
            since=part.said.since,
            lease_left=left,
            members=self.board.members(),
            history=self.board.history(),
            problems=problems.sentences(
                asked=quiet.session_timeout,
                granted=quiet.negotiated_timeout,
                ensemble=self.board.ensemble,
                trouble=part.trouble,
                barred=part.barred,
            ),
            advice=problems.advice(
                self.board.ensemble if connected else None, leader_here=self.board.leader_here
            ),
        )

    def status(self) -> Mapping[str, object]:
        """For the snapshot."""
        part = self._opened()
        return {
            "phase": part.state.phase.value,
            "epoch": self.lease.epoch,
            "connected": self._sessions.quiet.connected,
            "session_timeout": part.timings.timeout,
            "said": part.said.sentence,
        }

    # -- inside ------------------------------------------------------------
    def _opened(self) -> Participant:
        assert self._part is not None, "open() comes first"
        return self._part

    def _keeper(self) -> Keeper:
        return Keeper(self._sessions.data, self._me.name, self._memory.installation, self._clocks.boot)

    def _change(self, me: Member) -> None:
        if me != self._me:
            self._me = me
            self.board.tell(me)
            if self._part is not None:
                self._part.wake.set()

    def _wait_for_master(self, name: str, epoch: int, patience: float) -> int | None:
        """The epoch under which `name` has become master after `epoch`; None if not within `patience` s."""
        part, clock = self._opened(), self._clocks.boot
        deadline = clock() + patience
        while clock() < deadline:
            seen = part.sight.epoch
            if seen is not None and seen.token > epoch and seen.node == name:
                return seen.token
            part.turned.wait(0.2)
            part.turned.clear()
        return None
