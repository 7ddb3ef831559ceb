"""The one-host lease: one holder, an epoch that grows with each; the election of one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest

from ha.errors import CommandRefused
from ha.lockfile import EpochError, LeaseHeldError, LockfileAgent, LockfileLease
from ha.model import Member

HOLDER = (
    "import sys; from pathlib import Path; from ha.lockfile import LockfileLease\n"
    "print(LockfileLease(Path(sys.argv[1])).acquire(), flush=True); sys.stdin.read()"
)


def test_one_holder_and_an_epoch_that_grows(tmp_path: Path) -> None:
    one, two = LockfileLease(tmp_path / "data"), LockfileLease(tmp_path / "data")
    assert one.acquire() == 1
    with pytest.raises(LeaseHeldError):
        two.acquire()
    one.release()
    assert two.acquire() == 2
    two.release()
    two.release()
    assert (tmp_path / "data" / "epoch").read_text() == "2\n"


def test_a_holder_that_is_killed_holds_it_no_more(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        lease = LockfileLease(tmp_path)
        with pytest.raises(LeaseHeldError):
            lease.acquire()
        holder.kill()
    assert lease.acquire() == 2
    lease.release()


@pytest.mark.parametrize("text", ["", "seven\n", "-1\n", "1 2\n"])
def test_a_damaged_epoch_is_no_lower_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "epoch").write_text(text)
    lease = LockfileLease(tmp_path)
    with pytest.raises(EpochError, match="epoch holds no number: write the last epoch into it"):
        lease.acquire()
    (tmp_path / "epoch").write_text("41\n")
    assert lease.acquire() == 42, "the lease was not kept by the one who failed"
    lease.release()


def test_an_epoch_that_cant_be_written_is_no_epoch(tmp_path: Path) -> None:
    (tmp_path / "epoch.new").mkdir()
    lease = LockfileLease(tmp_path)
    with pytest.raises(EpochError, match="epoch can't be written: Is a directory"):
        lease.acquire()
    (tmp_path / "epoch.new").rmdir()
    assert lease.acquire() == 1
    lease.release()


class Orders:
    """What the daemon was told."""

    def __init__(self) -> None:
        self.told: Queue[tuple[str, object]] = Queue()

    def won(self, epoch: int) -> None:
        self.told.put(("won", epoch))

    def lost(self, reason: str) -> None:
        self.told.put(("lost", reason))

    def retire(self, reason: str) -> None:
        self.told.put(("retire", reason))

    def next(self) -> tuple[str, object]:
        return self.told.get(timeout=30)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def running(agent: LockfileAgent) -> Iterator[None]:
    agent.open()
    stop = threading.Event()
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        agent.close()


def test_the_only_node_is_master_at_once(tmp_path: Path) -> None:
    orders = Orders()
    agent = LockfileAgent(Member("AUDIO"), tmp_path, orders)
    assert agent.view().role == "slave"
    with running(agent):
        assert orders.next() == ("won", 1)
        assert agent.lease.valid()
        assert agent.lease.epoch == 1
        view = agent.view()
        assert (view.backend, view.role, view.master, view.epoch) == ("file", "master", "AUDIO", 1)
        assert "epoch 1" in view.reason
        with pytest.raises(LeaseHeldError):
            LockfileAgent(Member("AUDIO"), tmp_path, orders).open()
        for refused in (lambda: agent.switchover("AUDIO2"), agent.adopt, lambda: agent.step_down("why")):
            with pytest.raises(CommandRefused):
                refused()
    assert not agent.lease.valid()
    assert orders.told.empty()  # the daemon ends: it knows


def test_a_slave_by_mode_leads_when_told_and_under_another_epoch_each_time(tmp_path: Path) -> None:
    orders = Orders()
    agent = LockfileAgent(Member("AUDIO", "slave"), tmp_path, orders)
    with running(agent):
        agent.set_mode("auto")
        assert orders.next() == ("won", 1)
        agent.set_mode("slave")
        assert orders.next() == ("retire", "its mode is slave now")
        assert agent.lease.valid()  # until its work has ended
        agent.retired()
        assert not agent.lease.valid()
        agent.set_mode("master")
        assert orders.next() == ("won", 2)
        assert agent.lease.valid()
        assert [(change.epoch, change.master) for change in agent.view().history] == [
            (1, "AUDIO"),
            (2, "AUDIO"),
        ]


def test_work_that_does_not_end_is_cancelled(tmp_path: Path) -> None:
    orders, clock = Orders(), Clock()
    agent = LockfileAgent(Member("AUDIO"), tmp_path, orders, clock=clock)
    with running(agent):
        assert orders.next() == ("won", 1)
        agent.set_mode("slave")
        assert orders.next()[0] == "retire"
        clock.now = 11.0
        agent.set_mode("slave")  # wakes it
        assert orders.next() == ("lost", "the master's work had not ended within 10 s")
        assert not agent.lease.valid()
