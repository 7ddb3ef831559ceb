"""The one-host lease: one holder, and an epoch that grows with each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ha.lockfile import EpochError, LeaseHeldError, LockfileLease

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
