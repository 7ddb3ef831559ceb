"""The daemon as a real process: signals, its end, and what systemd is told."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.runtime_parts import DEADLINE
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]


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
