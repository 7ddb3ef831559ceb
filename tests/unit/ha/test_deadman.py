"""The thread that ends a process whose hub hangs while it is master: its counting, without a thread."""

from __future__ import annotations

from collections.abc import Callable

from ha.deadman import EXIT_STATUS, Deadman
from ha.lease import LeaseCell


class World:
    """One run of the thread's work: `looks` says at each look whether the hub has ticked since the last."""

    def __init__(self, looks: str, *, leads: bool = True, limit: float = 3.0) -> None:
        self.looks = list(looks)
        self.ticks = 0.0
        self.ended: list[int] = []
        self.said: list[str] = []
        self.work: list[Callable[[], None]] = []
        lease = LeaseCell(lambda: 0.0)
        if leads:
            lease.grant(1, 3.0)
        deadman = self.deadman = Deadman(
            lambda: self.ticks, self.work.append, self.sleep, self.said.append, self.ended.append
        )
        deadman.start(lease, lambda: limit)
        self.work[0]()

    def sleep(self, seconds: float) -> None:
        if not self.looks:
            self.deadman.stop()
        elif self.looks.pop(0) == "t":
            self.ticks += 1


def test_a_hub_that_hangs_longer_than_the_lease_lasts_is_ended() -> None:
    world = World("tt" + "." * 12 + "t")
    assert world.ended == [EXIT_STATUS]
    assert "3.0 s as the master" in world.said[0]


def test_a_hub_that_comes_back_in_time_lives() -> None:
    assert World("." * 11 + "t" + "." * 11 + "t").ended == []


def test_a_slave_may_hang() -> None:
    assert World("." * 100, leads=False).ended == []


def test_a_process_that_was_paused_as_a_whole_is_not_ended() -> None:
    """The thread slept, too: it counts one sleep, however long the clock says that it was."""
    assert World("t.t").ended == []
