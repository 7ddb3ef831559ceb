"""One node's part in the election: look, decide, act. The agent's loop calls `turn`; nobody else does.

A turn is a look at ZooKeeper (which renews the lease), decisions (`election.step`) until nothing more is to
be done, and their actions. The cell is emptied before the daemon is told of a loss and before the lease is
given back, and filled before the daemon is told of a win.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from ha.codec import Handover
from ha.disk import Memory
from ha.election import step
from ha.errors import EpochError, HaError, Unreachable
from ha.facts import (
    Action,
    Answer,
    Ask,
    Facts,
    Forget,
    Holder,
    Lose,
    Outcome,
    Release,
    Retire,
    State,
    Win,
)
from ha.keeper import Keeper
from ha.lease import LeaseCell, Timings
from ha.model import Change, Member
from ha.observer import Observer
from ha.orders import Orders
from ha.waking import Wake
from ha.zookeeper import Tree

log = logging.getLogger("arimonitor.ha")

_DECISIONS = 8  # that may follow one another within a turn


@dataclass(frozen=True, slots=True)
class Clocks:
    """`boot`: of the lease. `wall`: UTC seconds since 1970, for people."""

    boot: Callable[[], float]
    wall: Callable[[], float]


@dataclass(slots=True)
class Said:
    """The sentence of the last decision, and when (wall clock) it was said first."""

    sentence: str
    since: float


class Participant:
    """`me` is asked each turn; `note` takes the changes for the history, `tick` gives the servers' tick."""

    def __init__(
        self,
        tree: Tree,
        memory: Memory,
        lease: LeaseCell,
        orders: Orders,
        clocks: Clocks,
        *,
        me: Callable[[], Member],
        note: Callable[[Change], None],
        tick: Callable[[], float | None],
    ) -> None:
        self.wake = Wake()
        self.turned = Event()
        self.said = Said("the election has not begun", clocks.wall())
        self.state = State()
        self.timings = Timings.of(tree.session_timeout)
        self.wish = ""
        self.retired = False
        self.barred = ""
        self.trouble = ""
        self._tree = tree
        self._memory = memory
        self._lease = lease
        self._orders = orders
        self._clocks = clocks
        self._me = me
        self._note = note
        self._tick = tick
        name = me().name
        self._keeper = Keeper(tree, name, memory.installation, clocks.boot)
        self._observer = Observer(tree, self._keeper, name, memory.installation, self.wake.set)
        self.sight = self._observer.sight
        self._starting_until: float | None = clocks.boot() + self.timings.timeout
        self._again_at: float | None = None
        self._look_at = 0.0
        self._asked_at: float | None = None
        self._why = ""
        tree.on_state(self._on_state)

    def turn(self) -> None:
        """Look, decide, act."""
        self._tree.mend()
        connected = self._look()
        answer: Answer | None = None
        for _ in range(_DECISIONS):
            now = self._clocks.boot()
            decided = step(self.state, self._facts(connected, answer), self.timings, now)
            self.state, self._again_at = decided.state, decided.again_at
            self._tell(decided.sentence, decided.actions)
            answer = None
            for action in decided.actions:
                answer = self._do(action) or answer
            if not decided.actions and (decided.again_at is None or decided.again_at > now):
                break
        self.turned.set()

    def pause(self) -> float:
        """Seconds until the next turn, if there is no news before."""
        now = self._clocks.boot()
        due = [self._look_at if self._tree.connected else now + self.timings.renew_every]
        if self._again_at is not None:
            due.append(self._again_at)
        if (lease := self._lease.lease) is not None and lease.valid_until > now:
            due.append(lease.valid_until)
        return max(0.01, min(due) - now)

    def leave(self, *, told: bool) -> None:
        """Give the lease back; `told`: the daemon ends, and knows it."""
        leads, self.state = self.state.leads, State()
        if leads:
            self._release(Release("", "its daemon ends"))
            log.info("this node leaves, and has given the lease back")
            if not told:
                self._orders.lost("the election has ended in this process")
        self._lease.end()

    # -- looking -----------------------------------------------------------
    def _on_state(self, connected: bool) -> None:
        """In kazoo's greenlet."""
        if connected:
            self._observer.forget()
        else:
            self._lease.suspend()
        self._look_at = 0.0
        self.wake.set()

    def _look(self) -> bool:
        """Whether ZooKeeper answers; the lease is renewed by it."""
        if not self._tree.connected:
            return False
        self.timings = Timings.of(self._tree.negotiated_timeout or self._tree.session_timeout, self._tick())
        sent = self._clocks.boot()
        self._look_at = sent + self.timings.renew_every
        try:
            self._observer.look(self._me(), sent, self.timings.answer_within)
        except Unreachable:
            return False
        except HaError as error:
            self.trouble = str(error)
            return False
        finally:
            self._renew()  # also where a later question of the same look was not answered
        self.trouble = ""
        self._remember()
        return True

    def _renew(self) -> None:
        lease = self._lease.lease
        if lease is None or self.sight.renewed is None or self.sight.session != self.state.session:
            return
        until = self.timings.deadline(self.sight.renewed)
        self.sight.renewed = None
        # Once it has run out it is lost, even if ZooKeeper still has it: others may have acted on that.
        if self._clocks.boot() < lease.valid_until and self._tree.connected:
            self._lease.grant(lease.epoch, until)

    def _remember(self) -> None:
        """The highest epoch is on the disk before anything is decided by it."""
        try:
            if self.sight.epoch is not None:
                self._memory.saw(self.sight.epoch.token)
            self.barred = ""
        except EpochError as error:
            self.barred = str(error)
        self._lease.saw(self._memory.highest)

    def _facts(self, connected: bool, answer: Answer | None) -> Facts:
        sight, epoch, lease = self.sight, self.sight.epoch, self._lease.lease
        return Facts(
            me=self._me(),
            connected=connected,
            starting=self._is_starting(connected),
            session=sight.session,
            holder=sight.holder,
            token=epoch.token if epoch is not None else 0,
            leader=epoch.node if epoch is not None else "",
            ours=epoch is not None and epoch.installation == self._memory.installation,
            highest=self._memory.highest,
            others=sight.others,
            handover=sight.handover,
            wish=self.wish,
            retired=self.retired,
            impostor=sight.impostor,
            barred=self.barred,
            trouble=self.trouble,
            lease_until=lease.valid_until if lease is not None else 0.0,
            answer=answer,
        )

    def _is_starting(self, connected: bool) -> bool:
        if connected or (self._starting_until is not None and self._clocks.boot() >= self._starting_until):
            self._starting_until = None
        return self._starting_until is not None

    def _tell(self, sentence: str, actions: tuple[Action, ...]) -> None:
        if sentence != self.said.sentence or any(isinstance(each, Win | Lose | Release) for each in actions):
            self.said = Said(sentence, self._clocks.wall())
            log.info("%s", sentence)

    # -- acting ------------------------------------------------------------
    def _do(self, action: Action) -> Answer | None:
        match action:
            case Ask():
                return self._ask(action.over)
            case Win():
                self._win(action.epoch)
            case Lose():
                self.wish, self.retired = "", False
                self._lease.end()
                self._orders.lost(action.reason)
            case Retire():
                self.retired = False
                self._orders.retire(action.reason)
            case Release():
                self._release(action)
            case Forget():
                if self.sight.epoch is not None:
                    self._give_back(self.sight.epoch.token)
        return None

    def _ask(self, over: bool) -> Answer:
        self._why, self._asked_at = self.said.sentence, None
        try:
            answer, sent = self._keeper.ask(self._memory.highest, 2 * self.timings.answer_within, over=over)
        except HaError as error:
            self.trouble = str(error)
            return Answer(Outcome.LOST)
        if answer.outcome == Outcome.UNKNOWN:
            self._look_at = 0.0
        if answer.outcome == Outcome.WON:
            self._asked_at = sent
            try:
                self._memory.saw(answer.epoch)
            except EpochError as error:
                self.barred = str(error)
                self._give_back(answer.epoch)
                return Answer(Outcome.LOST)
            self.sight.epoch = self._keeper.ours(answer.epoch)
            self.sight.holder = Holder(self._me().name, self.sight.session)
        return answer

    def _win(self, epoch: int) -> None:
        # Without an answer to the Ask it was a look that showed the lease as ours.
        sent = self._asked_at if self._asked_at is not None else self.sight.renewed
        assert sent is not None, "won, and nothing was answered"
        self.wish, self.retired, self._asked_at = "", False, None
        self._lease.grant(epoch, self.timings.deadline(sent))
        if not self._tree.connected:
            self._lease.suspend()
        self._orders.won(epoch)
        name = self._me().name
        self._note(Change(self._clocks.wall(), epoch, name, self._why.replace("this node", name)))

    def _release(self, action: Release) -> None:
        lease = self._lease.lease
        self.wish, self.retired = "", False
        self._lease.end()  # nobody else can win before this
        if lease is not None:
            handover = Handover(lease.epoch, self._me().name, action.to, action.why)
            known, self.sight.handover = self.sight.handover, handover  # not to ask again itself
            self._give_back(lease.epoch, None if known == handover else handover)
        if action.late:
            self._orders.lost("the master's work had not ended in time")

    def _give_back(self, epoch: int, handover: Handover | None = None) -> None:
        try:
            if handover is not None:
                self._keeper.leave_for(handover, self.timings.answer_within)
            if self._keeper.give_back(epoch, self.timings.answer_within):
                self.sight.holder = None
        except HaError as error:
            log.warning("the lease could not be given back, it ends with the session: %s", error)
