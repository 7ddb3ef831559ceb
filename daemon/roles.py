"""Which services run in which role, and how a node changes its role. Root.

    any      always
    master   from `won` to `lost` or `retire`
    slave    the rest of the time

    won      the slave's services end, what the last master left is taken over, the master's start
    lost     the master's services end: they began nothing new since the lease ended
    retire   the way in ends, the way out is emptied and its marks are written, then the lease goes back

The election gives these orders and never waits for them; they are carried out
one after another by the service `roles`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event
from typing import Literal, Protocol

from daemon.errors import ArimonitorError, TransientError
from daemon.runtime.backoff import Backoff
from daemon.runtime.service import Service
from daemon.runtime.supervisor import Supervisor
from ha.lease import spelled

log = logging.getLogger("arimonitor.ha")

When = Literal["any", "master", "slave"]

TABLE: Mapping[str, When] = {
    # how late the hub is, systemd, the lab; the election and what this node tells the others
    "hub watch": "any",
    "watchdog": "any",
    "lab": "any",
    "ha": "any",
    "roles": "any",
    "member": "any",
    "records": "any",
    # calls: both nodes hear and keep, the master publishes
    "outbox": "any",
    "monitor": "any",
    "ari": "any",
    "endpoints": "any",
    "checks": "any",
    "mirror": "any",
    "follow": "any",
    "publisher": "master",
    "own-publisher": "any",  # of Asterisks that only this node reaches
    "marks": "master",
    "pruner": "slave",
    "blind-master": "master",
    # requests: the master reads the mailbox, each node does and answers what is its own
    "mail": "master",
    "takeover": "master",
    "queue": "any",
    "answers": "any",
    "alerts": "any",
    "recordings": "any",
    "sharer": "any",
    # people
    "performance": "any",
    "console": "any",
    "terminal": "any",
    "web": "any",
}
"""By the first word of a service's name, or all of it: `publisher mq`, `queue-commands`."""

_WAY_IN: tuple[str, ...] = ("mail", "takeover", "blind-master")
_LOOK = 0.2  # seconds between two looks at `stop`
_ENDING = 5.0  # seconds that a master's service has to end


def when(name: str) -> When:
    """When the service of that name runs. KeyError: the table does not have it."""
    return TABLE[name] if name in TABLE else TABLE[_head(name)]


def _head(name: str) -> str:
    for word in TABLE:
        if name.startswith((f"{word} ", f"{word}-")):
            return word
    raise KeyError(f"the table of roles has no service {name!r}")


class Duties(Protocol):
    """What comes with a change of role beside services."""

    def take_over(self, epoch: int) -> None:
        """What the last master left, before the first message of ours. Raises TransientError: again."""

    def hand_over(self) -> None:
        """The way out is emptied and its marks are written. Raises TransientError: they are not."""


@dataclass(frozen=True, slots=True)
class _Order:
    kind: Literal["won", "lost", "retire"]
    epoch: int = 0
    reason: str = ""


class Roles:
    """Service: starts and stops the others by the table. Built as slave.

    `make` of a service is called each time that it begins: it starts afresh.
    `retired` is called once the work of a retiring master has ended.
    """

    name = "roles"

    def __init__(
        self,
        supervisor: Supervisor,
        duties: Duties,
        *,
        valid: Callable[[], bool],
        retired: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = supervisor
        self._duties = duties
        self._valid = valid
        self._retired = retired
        self._clock = clock
        self._orders: SimpleQueue[_Order] = SimpleQueue()
        self._makers: dict[str, tuple[When, Callable[[], Service]]] = {}
        self._running: set[str] = set()
        self._idle = Event()
        self._idle.set()
        self.role: Literal["master", "slave"] = "slave"
        self.changing = False
        self.changes = 0
        self.last_seconds = 0.0
        """How long the last change of role took, seconds."""

    # -- what runs -------------------------------------------------------------
    def add(self, service: Service) -> None:
        """One that always runs. ValueError: the table says otherwise."""
        if when(service.name) != "any":
            raise ValueError(f"{service.name} runs as {when(service.name)} only")
        self._supervisor.add(service)

    def keep(self, name: str, make: Callable[[], Service]) -> None:
        """One that runs as the table says; it begins now if this is its time."""
        self._makers[name] = when(name), make
        if when(name) in ("any", self.role) and not self.changing:
            self._begin(name)

    def forget(self, name: str) -> None:
        """It ends, and does not begin again."""
        self._end(name)
        self._makers.pop(name, None)

    def begin_as(self, role: Literal["master", "slave"]) -> None:
        """Before anything runs: the role from the first moment on (one host)."""
        self.role = role

    def _begin(self, name: str) -> None:
        if name not in self._running:
            self._supervisor.add(self._makers[name][1](), stop_timeout=_ENDING)
            self._running.add(name)

    def _end(self, name: str) -> None:
        if name in self._running:
            self._supervisor.remove(name)
            self._running.discard(name)

    def _of(self, wanted: When) -> list[str]:
        return [name for name, (their, _) in self._makers.items() if their == wanted]

    # -- orders of the election: each returns at once -----------------------------
    def won(self, epoch: int) -> None:
        """This node is the master, under this epoch."""
        self._give(_Order("won", epoch=epoch))

    def lost(self, reason: str) -> None:
        """It is not the master any more."""
        self._give(_Order("lost", reason=reason))

    def retire(self, reason: str) -> None:
        """It is to end its work as master in good order, and to say so."""
        self._give(_Order("retire", reason=reason))

    def _give(self, order: _Order) -> None:
        self._idle.clear()
        self._orders.put(order)

    def leave(self, seconds: float) -> None:
        """The process ends: as by `retire`, waited for."""
        if self.role == "master":
            self.retire("the daemon ends")
        if not self._idle.wait(seconds):
            log.warning("the role could not be given up in good order within %.0f s", seconds)

    # -- carrying them out ---------------------------------------------------------
    def run(self, stop: Event) -> None:
        """Until `stop`: one order after another."""
        while not stop.is_set():
            try:
                order = self._orders.get(timeout=_LOOK)
            except Empty:
                continue
            begun = self._clock()
            self.changing = True
            try:
                self._carry_out(order, stop)
            finally:
                self.changing = False
                self.changes += 1
                self.last_seconds = self._clock() - begun
                if self._orders.empty():
                    self._idle.set()

    def _carry_out(self, order: _Order, stop: Event) -> None:
        if order.kind == "won":
            self._become_master(order.epoch, stop)
        elif order.kind == "retire":
            self._retire(order.reason)
        else:
            self._become_slave(order.reason)

    def _become_master(self, epoch: int, stop: Event) -> None:
        for name in self._of("slave"):
            self._end(name)
        pause = Backoff(first=0.1, cap=2.0)
        while True:
            try:
                self._duties.take_over(epoch)
                break
            except TransientError as error:
                seconds = pause.next()
                log.warning(
                    "what the last master left can't be taken over, again in %.1f s: %s", seconds, error
                )
                if stop.wait(seconds) or not self._valid():
                    break
            except ArimonitorError as error:  # a newer epoch has begun: the election tells us next
                log.warning("epoch %s ended before its work began: %s", spelled(epoch), error)
                return
        if stop.is_set() or not self._valid():
            log.info("epoch %s ended before its work began", spelled(epoch))
            return
        self.role = "master"
        for name in self._of("master"):
            self._begin(name)
        log.info(
            "this node works as master under epoch %s: %s begin",
            spelled(epoch),
            ", ".join(self._of("master")),
        )

    def _retire(self, reason: str) -> None:
        if self.role != "master":
            self._retired()
            return
        for name in reversed([name for name in self._of("master") if name.startswith(_WAY_IN)]):
            self._end(name)
        try:
            self._duties.hand_over()
        except ArimonitorError as error:
            log.warning("the next master begins at the last mark that was written: %s", error)
        self._end_masters()
        log.info("the work as master has ended in good order: %s", reason)
        self._retired()
        self._begin_slaves()

    def _become_slave(self, reason: str) -> None:
        was = self.role
        self._end_masters()
        if was == "master":
            log.warning("the work as master has ended: %s", reason)
        self._begin_slaves()

    def _end_masters(self) -> None:
        self.role = "slave"
        for name in reversed(self._of("master")):
            self._end(name)

    def _begin_slaves(self) -> None:
        for name in self._of("slave"):
            self._begin(name)

    def status(self) -> Mapping[str, object]:
        """The role, and how often and how fast it changed."""
        return {"role": self.role, "changes": self.changes, "last_change_s": round(self.last_seconds, 3)}
