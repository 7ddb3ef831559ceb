"""The election of one host: a lock file and an epoch file. Service.

The kernel gives the lock to one process and takes it back when that process dies, however it dies. The epoch
is a number on the disk that grows by one with each acquisition; it is what fences a stale holder's effects.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from ha.clock import boottime
from ha.disk import Lock, read_number, replace_durably
from ha.errors import CommandRefused, EpochError, LeaseHeldError
from ha.lease import LeaseCell
from ha.model import KEPT, Change, Member, Mode, Seen, View
from ha.orders import Orders
from ha.waking import Wake

__all__ = ["EpochError", "LeaseHeldError", "LockfileAgent", "LockfileLease"]

log = logging.getLogger("arimonitor.ha")

RETIREMENT = 10.0
"""Seconds that the master's work has to end when the mode becomes slave."""


class LockfileLease:
    """`lease.lock` and `epoch` in `folder`. One holder at a time."""

    def __init__(self, folder: Path) -> None:
        self.lock = Lock(folder / "lease.lock")
        self.epoch_path = folder / "epoch"

    def acquire(self) -> int:
        """Take the lease without waiting; the new epoch, on the disk before this returns.

        Raises LeaseHeldError or EpochError; the lease is then not held.
        """
        self.lock.acquire()
        try:
            return self.next_epoch()
        except BaseException:
            self.lock.release()
            raise

    def next_epoch(self) -> int:
        """One more, while the lock is held. Raises EpochError."""
        epoch = read_number(self.epoch_path) + 1
        replace_durably(self.epoch_path, f"{epoch}\n")
        return epoch

    def release(self) -> None:
        """Give it back; without holding it, nothing happens."""
        self.lock.release()


class LockfileAgent:
    """As ha.agent.Agent, on one host: who can't take the lock does not start."""

    name = "ha"

    def __init__(
        self,
        me: Member,
        data_dir: Path,
        orders: Orders,
        *,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.lease = LeaseCell(clock)
        self._files = LockfileLease(data_dir)
        self._me = me
        self._orders = orders
        self._clock = clock
        self._wall = wall
        self._wake = Wake()
        self._leads = False
        self._retiring: float | None = None  # until when
        self._used = False  # somebody has led under this epoch
        self._began = self._since = wall()
        self._reason = "the election has not begun"
        self._history: deque[Change] = deque(maxlen=KEPT)

    def open(self) -> None:
        """Take the lock; who is not told to be a slave is master when `run` begins.

        Raises LeaseHeldError, EpochError.
        """
        self.lease.saw(self._files.acquire())

    def close(self) -> None:
        """Give the lock back; after `run`."""
        self._files.release()

    def run(self, stop: Event) -> None:
        """Lead, unless the mode is slave, until `stop` is set."""
        self._wake.follow(stop)
        while not stop.is_set():
            self._turn()
            late = self._retiring - self._clock() if self._retiring is not None else math.inf
            self._wake.wait(min(max(late, 0.01), 60.0))
        self._leads = False
        self.lease.end()

    # -- what the daemon says ----------------------------------------------
    def retired(self) -> None:
        """The master's work has ended after `retire`."""
        if self._retiring is not None:
            self._end()

    def say(self, facts: Mapping[str, Any]) -> None:
        """The daemon's facts about itself: nobody else is there to read them."""
        self._me = replace(self._me, facts=dict(facts))

    def step_down(self, reason: str) -> str:
        """Raises CommandRefused: there is no other node."""
        raise CommandRefused(f"there is no other node to hand over to ({reason})")

    # -- what operators say ------------------------------------------------
    def switchover(self, to: str | None) -> str:
        """Raises CommandRefused: there is no other node."""
        raise CommandRefused(
            f'there is no other node ({to or "any"}): ha.backend is "file", which is one host'
        )

    def set_mode(self, mode: Mode) -> str:
        """auto and master are the same here; slave: not master until told otherwise."""
        self._me = replace(self._me, mode=mode)
        self._wake.set()
        return f"the mode of {self._me.name} is {mode} until the next start"

    def adopt(self) -> str:
        """Raises CommandRefused: there is nothing to adopt."""
        raise CommandRefused('there is nothing to adopt: ha.backend is "file"')

    # -- how it stands -----------------------------------------------------
    def view(self) -> View:
        """How it stands."""
        return View(
            backend="file",
            connected=True,
            role="master" if self._leads else "slave",
            mode=self._me.mode,
            epoch=self.lease.epoch,
            master=self._me.name if self._leads else None,
            reason=self._reason,
            since=self._since,
            members=(Seen(self._me, True, self._began),),
            history=tuple(self._history),
        )

    def status(self) -> Mapping[str, object]:
        """For the snapshot."""
        return {"leads": self._leads, "epoch": self.lease.epoch, "said": self._reason}

    # -- inside ------------------------------------------------------------
    def _turn(self) -> None:
        slave = self._me.mode == "slave"
        if self._retiring is not None and self._clock() >= self._retiring:
            self._end()
            self._orders.lost(f"the master's work had not ended within {RETIREMENT:g} s")
        elif slave and self._leads and self._retiring is None:
            self._retiring = self._clock() + RETIREMENT
            self._tell("the master ends its work: its mode is slave now")
            self._orders.retire("its mode is slave now")
        elif slave and not self._leads:
            self._tell("this node's mode is slave: it never becomes master")
        elif not slave and not self._leads:
            if self._used:
                self.lease.saw(self._files.next_epoch())
            self._used = self._leads = True
            self.lease.grant(self.lease.epoch, math.inf)
            self._tell(f"this node is master, epoch {self.lease.epoch}: it has the lock of its host")
            self._history.append(Change(self._since, self.lease.epoch, self._me.name, self._reason))
            self._orders.won(self.lease.epoch)

    def _end(self) -> None:
        self._leads, self._retiring = False, None
        self.lease.end()
        self._wake.set()

    def _tell(self, sentence: str) -> None:
        if sentence != self._reason:
            self._reason, self._since = sentence, self._wall()
            log.info("%s", sentence)
