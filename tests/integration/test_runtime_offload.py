"""What is done outside the hub: calls in native threads, and child processes.

Run as `python -m gevent.monkey --module pytest`; what needs patched modules is skipped otherwise.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import subprocess
import time
from pathlib import Path

import gevent
import pytest

from daemon.errors import PermanentError, TransientError
from daemon.runtime import native, process
from daemon.runtime.offload import Offload
from tests.integration.runtime_parts import DEADLINE, patched
from tests.servers.waiting import wait_until

# -- offload ---------------------------------------------------------------------


class Until:
    """Something that native threads can wait for."""

    def __init__(self) -> None:
        self._lock = native.new_lock()
        self._lock.acquire()

    def happened(self) -> None:
        self._lock.release()

    def blocks(self) -> bool:
        """Blocks its thread until it has happened: whether it has, in time."""
        return self._lock.acquire(timeout=DEADLINE)


@patched
def test_offload_returns_raises_and_leaves_the_hub_free() -> None:
    pool = Offload(2)
    assert pool.call(sum, [1, 2, 3]) == 6
    with pytest.raises(ZeroDivisionError):
        pool.call(divmod, 1, 0)
    ticked = Until()

    def tick() -> None:
        for _ in range(5):
            time.sleep(0.01)
        ticked.happened()

    ticker = gevent.spawn(tick)
    assert pool.call(ticked.blocks), "the hub ticks while a native call waits for that"
    ticker.join()
    late, later = Until(), Until()
    with pytest.raises(TransientError, match=r"did not end within 0\.05 s"):
        pool.call(late.blocks, timeout=0.05)
    with gevent.Timeout(0.05, False) as outer:
        pool.call(later.blocks, timeout=DEADLINE)
    assert outer is not None
    late.happened()
    later.happened()
    status = pool.status()
    assert (status["size"], status["waiting"], status["calls"]) == (2, 0, 5)
    assert pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.call(sum, [])


@patched
def test_offload_callers_wait_in_line_and_their_deadline_counts_it() -> None:
    pool = Offload(1)
    over = Until()
    first = gevent.spawn(pool.call, over.blocks)
    wait_until(lambda: pool.calls, "the first has begun")
    with pytest.raises(TransientError):
        pool.call(sum, [1], timeout=0.05)
    over.happened()
    assert pool.call(sum, [1], timeout=DEADLINE) == 1
    first.join()
    assert first.value
    assert pool.close()


# -- child processes ---------------------------------------------------------------


def test_a_child_s_output_and_status(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "arimonitor.child")
    done = process.run(
        ["sh", "-c", "echo out; echo 10%; printf '20%%\\r30%%\\r'; echo err >&2; exit 3"], timeout=DEADLINE
    )
    assert (done.code, done.ok, done.timed_out, done.lost) == (3, False, False, 0)
    assert done.stdout == b"out\n10%\n20%\r30%\r"
    assert done.stderr == b"err\n"
    assert done.why() == "sh ended with status 3: err"
    assert sorted(record.getMessage() for record in caplog.records) == sorted(
        ["sh: out", "sh: 10%", "sh: 20%", "sh: 30%", "sh: err"]
    )


def test_no_shell_reads_the_words(tmp_path: Path) -> None:
    done = process.run(["echo", "$HOME; touch x", "*"], timeout=DEADLINE, cwd=tmp_path)
    assert done.stdout == b"$HOME; touch x *\n"
    assert list(tmp_path.iterdir()) == []


def test_the_output_is_bounded() -> None:
    done = process.run(
        ["sh", "-c", "head -c 3000000 /dev/zero"], timeout=DEADLINE, max_output=1000, log_stdout=False
    )
    assert done.ok
    assert (len(done.stdout), done.lost) == (1000, 2_999_000)


def test_the_whole_group_ends_at_the_deadline(tmp_path: Path) -> None:
    script = (
        f"trap 'echo last words; exit 1' TERM; (trap '' TERM; echo $$ > {tmp_path}/pid; exec sleep 60) & wait"
    )
    done = process.run(["sh", "-c", script], timeout=2.0)
    assert done.timed_out
    assert done.stdout == b"last words\n"
    assert done.why() == f"sh did not end within its {done.seconds:.1f} s and was killed: last words"
    group = int((tmp_path / "pid").read_text())
    wait_until(lambda: not group_lives(group), "the end of the group")


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has waited for yet does not live.
    states = subprocess.run(
        ["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True, check=False
    )
    return any(not state.startswith("Z") for state in states.stdout.split())


def test_a_grandchild_that_holds_the_pipe_does_not_keep_us() -> None:
    began = time.monotonic()
    done = process.run(["sh", "-c", "sleep 60 & echo started"], timeout=DEADLINE)
    assert time.monotonic() - began < 50
    assert (done.code, done.stdout) == (0, b"started\n")


def test_programs_that_can_t_be_run(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(PermanentError, match="can't be run: No such file"):
        process.run([tmp_path / "absent"], timeout=1)
    with pytest.raises(PermanentError, match="can't be run: Permission denied"):
        process.run([plain], timeout=1)
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        process.run(["true"], timeout=DEADLINE)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, "all that was opened is closed")


def open_descriptors() -> set[int]:
    return {number for number in range(1024) if os.path.exists(f"/proc/self/fd/{number}")}


@pytest.mark.parametrize("room", range(7))  # two pipes, /dev/null, and the pipe of subprocess itself
def test_without_descriptors_it_is_for_later_and_none_is_lost(room: int) -> None:
    gc.collect()
    before = open_descriptors()
    free = [number for number in range(1024) if number not in before]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[room], limits[1]))
    try:
        with pytest.raises(TransientError, match="true can't be started now: Too many open files"):
            process.run(["true"], timeout=DEADLINE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    # gevent closes a descriptor in a later turn of the hub.
    wait_until(lambda: open_descriptors() <= before, "all that was opened is closed")


@patched
def test_a_killed_waiter_takes_its_child_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    waiter = gevent.spawn(process.run, ["sh", "-c", f"echo $$ > {pid}; exec sleep 60"], timeout=60)
    wait_until(lambda: pid.exists() and pid.read_text().strip(), "the child")
    waiter.kill()
    wait_until(lambda: not group_lives(int(pid.read_text())), "its end")


@patched
def test_other_greenlets_run_meanwhile(tmp_path: Path) -> None:
    """Each of three children ends only once all of them have begun."""
    script = "touch $0; until [ -e 0 ] && [ -e 1 ] && [ -e 2 ]; do sleep 0.02; done"
    children = [
        gevent.spawn(process.run, ["sh", "-c", script, str(number)], timeout=DEADLINE, cwd=tmp_path)
        for number in range(3)
    ]
    gevent.joinall(children)
    assert [child.value.ok for child in children] == [True] * 3
