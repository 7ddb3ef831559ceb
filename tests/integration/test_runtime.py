"""The runtime: real processes for signals, systemd and the end; greenlets in this one for the rest.

Run as `python -m gevent.monkey --module pytest`; what needs patched modules is skipped otherwise.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event

import gevent
import pytest
from gevent import monkey

from daemon.errors import FatalError, PermanentError, TransientError
from daemon.runtime import native, process
from daemon.runtime.hubwatch import HubWatch
from daemon.runtime.offload import Offload
from daemon.runtime.states import Policy, State
from daemon.runtime.supervisor import Supervisor
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
DEADLINE = 60
QUICK = Policy(settle=60.0, max_deaths=0, first=0.01, cap=0.02)

patched = pytest.mark.skipif(
    not monkey.is_module_patched("threading"), reason="needs python -m gevent.monkey --module pytest"
)


# -- real processes ------------------------------------------------------------


class Daemon:
    """One run of runtime_program."""

    def __init__(self, what: str, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.runtime_program", what, str(folder)],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def log(self) -> str:
        return "".join(path.read_text() for path in (self.folder / "log").glob("ARI-[0-9]*.LOG"))

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.log() or self.process.poll() is not None, text)
        assert text in self.log()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, output.decode()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    running: list[Daemon] = []

    def begin(what: str, **environ: str) -> Daemon:
        running.append(Daemon(what, tmp_path, **environ))
        return running[-1]

    yield begin
    for daemon in running:
        daemon.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_the_mirrored_order(start: Callable[..., Daemon], number: int) -> None:
    daemon = start("orderly")
    daemon.wait_for("third begins life 1")
    daemon.signal(number)
    assert daemon.end() == (0, "")
    said = re.findall(r"(first|second|third) (begins|ends)", daemon.log())
    assert said == [
        ("first", "begins"),
        ("second", "begins"),
        ("third", "begins"),
        ("third", "ends"),
        ("second", "ends"),
        ("first", "ends"),
    ]


def test_one_that_does_not_stop_is_killed_at_its_deadline(start: Callable[..., Daemon]) -> None:
    daemon = start("stubborn")
    daemon.wait_for("third begins")
    daemon.signal(signal.SIGTERM)
    assert daemon.end()[0] == 0
    assert "service stubborn did not stop within 0.5 s and is killed" in daemon.log()
    assert "first ends" in daemon.log()


def test_a_second_sigterm_leaves_at_once(start: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = start("blocks")
    daemon.wait_for("busy begins")
    (tmp_path / "block").touch()
    daemon.wait_for("the hub is stuck")
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGINT)
    code, _ = daemon.end()
    assert code in (128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_a_fatal_error_ends_the_process_with_1(start: Callable[..., Daemon]) -> None:
    daemon = start("fatal")
    assert daemon.end() == (1, "arimonitor: the outbox is on a disk that does not exist\n")
    assert "fatal can't go on, the process ends: the outbox is on a disk" in daemon.log()
    assert "first ends" in daemon.log()


def test_one_that_keeps_dying_ends_the_process_with_1(start: Callable[..., Daemon]) -> None:
    daemon = start("keeps_dying")
    code, output = daemon.end()
    assert (code, output) == (
        1,
        "arimonitor: service dying died 4 times in a row, at last of: ValueError: no luck\n",
    )
    text = daemon.log()
    assert len(re.findall("dying begins life", text)) == 4
    assert len(re.findall(r"service dying died and is started again in 0\.0 s", text)) == 3
    assert text.count("Traceback") == 1  # the same error again is said without it


def test_to_return_by_oneself_is_a_death(start: Callable[..., Daemon]) -> None:
    daemon = start("ends_by_itself")
    assert daemon.end()[0] == 1
    assert "service quitter died" in daemon.log()
    assert "ended without being told to" in daemon.log()


def test_sighup_reloads_and_sigusr1_dumps(start: Callable[..., Daemon]) -> None:
    daemon = start("orderly")
    daemon.wait_for("third begins")
    for _ in range(3):
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reloaded")
    daemon.signal(signal.SIGUSR1)
    daemon.wait_for("stacks of all greenlets, as asked for")
    daemon.wait_for("runtime_program.py")
    daemon.signal(signal.SIGTERM)
    assert daemon.end()[0] == 0


def test_a_blocked_hub_is_said_with_its_stack(start: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = start("blocks")
    daemon.wait_for("busy begins")
    (tmp_path / "block").touch()
    daemon.wait_for("the hub is stuck for")
    assert "in busy_after_usr2" in daemon.log()


# -- systemd -------------------------------------------------------------------


class Systemd:
    """systemd's end of the notify socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.address = address

    def next(self, timeout: float = DEADLINE) -> str | None:
        ready, _, _ = select.select([self.socket], [], [], timeout)
        return self.socket.recv(4096).decode() if ready else None

    def wait_for(self, text: str) -> str:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            message = self.next(end - time.monotonic())
            if message is not None and text in message:
                return message
        raise AssertionError(f"systemd was never told {text}")

    def count(self, text: str, seconds: float) -> int:
        """How many messages with `text` come within so many seconds."""
        end, found = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            message = self.next(left)
            found += message is not None and text in message
        return found


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = (
        str(tmp_path / "notify")
        if request.param == "path"
        else f"@arimonitor-test-{os.getpid()}-{tmp_path.name}"
    )
    manager = Systemd(address)
    yield manager
    manager.socket.close()


def test_systemd_is_told(start: Callable[..., Daemon], systemd: Systemd) -> None:
    daemon = start("orderly", NOTIFY_SOCKET=systemd.address)
    assert systemd.next() == "READY=1\nSTATUS=all is well"
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.signal(signal.SIGHUP)
    reloading = systemd.wait_for("RELOADING=1")
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading)
    assert match is not None
    assert before <= int(match[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert systemd.next() == "READY=1"
    daemon.signal(signal.SIGTERM)
    assert systemd.next() == "STOPPING=1"
    assert daemon.end()[0] == 0


def test_no_sign_of_life_from_a_stuck_hub(
    start: Callable[..., Daemon], systemd: Systemd, tmp_path: Path
) -> None:
    daemon = start("blocks", NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="200000")
    for _ in range(3):
        systemd.wait_for("WATCHDOG=1")
    (tmp_path / "block").touch()
    daemon.wait_for("the hub is stuck")
    systemd.count("WATCHDOG=1", 0.05)
    assert systemd.count("WATCHDOG=1", 1.0) == 0


def test_no_sign_of_life_without_progress(
    start: Callable[..., Daemon], systemd: Systemd, tmp_path: Path
) -> None:
    daemon = start("orderly", NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="200000")
    systemd.wait_for("WATCHDOG=1")
    (tmp_path / "healthy").unlink()
    daemon.wait_for("no progress: systemd gets no more signs of life")
    systemd.count("WATCHDOG=1", 0.05)
    assert systemd.count("WATCHDOG=1", 0.6) == 0
    (tmp_path / "healthy").touch()
    systemd.wait_for("WATCHDOG=1")
    daemon.wait_for("there is progress again")


# -- the supervisor, in this process --------------------------------------------


class Service:
    def __init__(self, name: str, work: Callable[[Event], None]) -> None:
        self.name = name
        self.work = work
        self.lives = 0

    def run(self, stop: Event) -> None:
        self.lives += 1
        self.work(stop)

    def status(self) -> Mapping[str, object]:
        return {"lives": self.lives}


def waits(stop: Event) -> None:
    stop.wait()


def run_in_background(supervisor: Supervisor) -> tuple[Event, list[BaseException], threading.Thread]:
    stop, errors = Event(), []

    def body() -> None:
        try:
            supervisor.run_until(stop)
        except FatalError as error:
            errors.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return stop, errors, thread


@patched
@pytest.mark.parametrize(
    "error", [ValueError("x"), gevent.Timeout(1), SystemExit(3), OSError(28, "No space left on device")]
)
def test_whatever_it_dies_of_it_is_started_again(error: BaseException) -> None:
    third_life = Event()

    def work(stop: Event) -> None:
        if service.lives < 3:
            raise error
        third_life.set()
        stop.wait()

    service = Service("mortal", work)
    supervisor = Supervisor([service], policy=QUICK)
    stop, errors, thread = run_in_background(supervisor)
    assert third_life.wait(DEADLINE)
    (status,) = supervisor.status()
    assert (status["state"], status["deaths"], status["detail"]) == ("starting", 2, {"lives": 3})
    assert str(status["last_error"]).startswith(type(error).__name__)
    stop.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert errors == []
    assert supervisor.state_by_name() == {"mortal": State.EXITED}


@patched
def test_services_come_and_go_while_it_runs() -> None:
    supervisor = Supervisor([Service("one", waits)], policy=Policy(settle=0.01))
    stop, _, thread = run_in_background(supervisor)
    wait_until(lambda: supervisor.state_by_name() == {"one": State.RUNNING}, "one")
    two = Service("two", waits)
    supervisor.add(two)
    wait_until(lambda: supervisor.state_by_name().get("two") is State.RUNNING, "two")
    with pytest.raises(ValueError, match="already supervised"):
        supervisor.add(Service("two", waits))
    supervisor.remove("one")
    assert supervisor.state_by_name() == {"two": State.RUNNING}
    with pytest.raises(KeyError):
        supervisor.remove("one")
    supervisor.add(Service("one", waits))
    stop.set()
    thread.join(DEADLINE)
    assert set(supervisor.state_by_name().values()) == {State.EXITED}


@patched
def test_stop_does_not_wait_for_a_service_in_backoff() -> None:
    def work(stop: Event) -> None:
        raise ValueError("x")

    supervisor = Supervisor([Service("dead", work)], policy=Policy(first=600.0, cap=600.0, jitter=0.0))
    stop, _, thread = run_in_background(supervisor)
    wait_until(lambda: supervisor.state_by_name() == {"dead": State.BACKOFF}, "the death")
    assert supervisor.status()[0]["restart_in_s"] == pytest.approx(600, abs=5)
    stop.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert supervisor.state_by_name() == {"dead": State.EXITED}


@patched
def test_an_error_while_stopping_is_said_and_no_death(caplog: pytest.LogCaptureFixture) -> None:
    def work(stop: Event) -> None:
        stop.wait()
        raise FatalError("late")

    supervisor = Supervisor([Service("late", work)])
    stop, errors, thread = run_in_background(supervisor)
    wait_until(lambda: supervisor.status()[0]["detail"] == {"lives": 1}, "its life")
    stop.set()
    thread.join(DEADLINE)
    assert errors == []
    assert "service late failed while stopping" in caplog.text
    assert supervisor.state_by_name() == {"late": State.EXITED}


@patched
def test_helpers_are_logged_when_they_die_and_killed_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    def dies() -> None:
        raise ValueError("helper's end")

    supervisor = Supervisor()
    stop, errors, thread = run_in_background(supervisor)
    assert supervisor.spawn("short", dies).join(DEADLINE)
    assert "helper short died: ValueError: helper's end" in caplog.text
    endless = supervisor.spawn("endless", time.sleep, 3600)
    time.sleep(0)
    assert not endless.done
    stop.set()
    thread.join(DEADLINE)
    assert endless.done
    assert errors == []


@patched
def test_a_helper_s_fatal_error_ends_all() -> None:
    def fatal() -> None:
        raise FatalError("no disk")

    supervisor = Supervisor([Service("one", waits)])
    _, errors, thread = run_in_background(supervisor)
    supervisor.spawn("checker", fatal)
    thread.join(DEADLINE)
    assert [str(error) for error in errors] == ["no disk"]
    assert supervisor.state_by_name() == {"one": State.EXITED}


@patched
def test_a_status_that_fails_hides_no_other() -> None:
    class Broken(Service):
        def status(self) -> Mapping[str, object]:
            raise RuntimeError("broken")

    supervisor = Supervisor([Broken("one", waits), Service("two", waits)])
    assert [entry["detail"] for entry in supervisor.status()] == [
        {"error": "RuntimeError: broken"},
        {"lives": 0},
    ]


@patched
def test_the_hub_s_lag_is_measured(caplog: pytest.LogCaptureFixture) -> None:
    watch = HubWatch(interval=0.005, threshold=0.1)
    supervisor = Supervisor([watch])
    stop, _, thread = run_in_background(supervisor)
    wait_until(lambda: watch.lag().samples > 20, "samples")

    def block_the_hub() -> None:
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            pass

    block_the_hub()
    wait_until(lambda: watch.blocked, "the blockage")
    status = watch.status()
    assert int(str(status["blocked"])) >= 1  # more where the machine is so busy that it blocks us, too
    assert float(str(status["max_ms"])) > 350
    assert re.search(r"the hub was blocked for \d+\.\d", caplog.text)
    wait_until(lambda: "in block_the_hub" in caplog.text, "where it was")
    stop.set()
    thread.join(DEADLINE)


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
