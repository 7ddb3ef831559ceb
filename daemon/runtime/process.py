"""Child processes: an argv, a deadline, a process group of their own.

Never a shell string. At the deadline the whole group gets SIGTERM, then
SIGKILL. The output is captured up to a bound, and each line of it goes to the
log as well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import PermanentError, TransientError

log = logging.getLogger("arimonitor.child")

TERM_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""
DRAIN_GRACE = 1.0
"""Seconds to go on reading after the child ended, when its own children hold the pipe."""
POLL = 0.05
LINE_LIMIT = 8192
PIPE_SIZE = 65536


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended. `code` is negative for a signal, as in subprocess.

    `stdout` and `stderr` hold the first `max_output` bytes of each; `lost` is
    how many more came. `seconds` is its wall time.
    """

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes
    lost: int
    seconds: float
    timed_out: bool

    @property
    def ok(self) -> bool:
        """It ended in time with status 0."""
        return self.code == 0 and not self.timed_out

    def why(self) -> str:
        """One sentence on how it ended, with its last words."""
        name = os.path.basename(self.argv[0])
        words = (self.stderr or self.stdout).decode("utf-8", "replace").strip().splitlines()
        last = f": {words[-1][:500]}" if words else ""
        if self.timed_out:
            return f"{name} did not end within its {self.seconds:.1f} s and was killed{last}"
        if self.code < 0:
            return f"{name} was ended by {_signal_name(-self.code)}{last}"
        return f"{name} ended with status {self.code}{last}"


class _Stream:
    """One of a child's two outputs: captured up to a bound, logged by line."""

    def __init__(self, name: str, limit: int, level: int | None) -> None:
        self.name, self.limit, self.level = name, limit, level
        self.kept = bytearray()
        self.lost = 0
        self._line = b""

    def feed(self, data: bytes) -> None:
        room = max(0, self.limit - len(self.kept))
        self.kept += data[:room]
        self.lost += max(0, len(data) - room)
        if self.level is None:
            return
        # Encoders redraw their progress with a bare carriage return: each is a line.
        *lines, self._line = re.split(rb"[\r\n]+", self._line + data)
        if len(self._line) > LINE_LIMIT:
            lines.append(self._line)
            self._line = b""
        for line in lines:
            self._log(line)

    def finish(self) -> None:
        self._log(self._line)
        self._line = b""

    def _log(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text and self.level is not None:
            log.log(self.level, "%s: %s", self.name, text)


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    max_output: int = 1 << 20,
    log_level: int | None = logging.INFO,
    log_stdout: bool = True,
) -> Finished:
    """Run a program to its end, or to its deadline after `timeout` seconds.

    `env` replaces the environment; standard input is empty. `log_level` None
    keeps its output out of the log, `log_stdout` False only standard output
    (for a program that writes data there). PermanentError: there is no such
    program, or it may not be run. TransientError: the system can't start it now.
    """
    command = tuple(os.fspath(word) for word in argv)
    name = os.path.basename(command[0])
    began = time.monotonic()
    out_read, out_write, err_read, err_write = _pipes(name)
    try:
        child = _start(command, out_write, err_write, cwd, env)
    except BaseException:
        os.close(out_read)
        os.close(err_read)
        raise
    finally:
        os.close(out_write)
        os.close(err_write)
    streams = {
        out_read: _Stream(name, max_output, log_level if log_stdout else None),
        err_read: _Stream(name, max_output, log_level),
    }
    stdout, stderr = streams[out_read], streams[err_read]
    open_streams = dict(streams)
    try:
        timed_out = not _read_to_end(child, open_streams, began + timeout)
    finally:
        # Also when this greenlet is killed: a group must not outlive who waits for it. One that
        # closed its output and ended is left alone: its number may be another's by now.
        if open_streams or child.returncode is None:
            _end_group(child)
            _last_words(open_streams)
        os.close(out_read)
        os.close(err_read)
        stdout.finish()
        stderr.finish()
    return Finished(
        argv=command,
        code=child.returncode,
        stdout=bytes(stdout.kept),
        stderr=bytes(stderr.kept),
        lost=stdout.lost + stderr.lost,
        seconds=time.monotonic() - began,
        timed_out=timed_out,
    )


def _pipes(name: str) -> tuple[int, int, int, int]:
    """Both ends of two pipes. Raises TransientError, and none is left open then."""
    ends: list[int] = []
    try:
        ends += os.pipe()
        ends += os.pipe()
    except OSError as error:
        for end in ends:
            os.close(end)
        raise TransientError(f"{name} can't be started now: {error.strerror}") from error
    return ends[0], ends[1], ends[2], ends[3]


def _start(
    command: tuple[str, ...],
    out: int,
    err: int,
    cwd: str | Path | None,
    env: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise PermanentError(f"{command[0]} can't be run: {error.strerror}: {error.filename}") from error
    except OSError as error:
        raise TransientError(f"{command[0]} can't be started now: {error.strerror}") from error


def _read_to_end(child: subprocess.Popen[bytes], streams: dict[int, _Stream], deadline: float) -> bool:
    """Read until the child has ended and its output too; False: the deadline came first."""
    ended_at: float | None = None
    while True:
        now = time.monotonic()
        if ended_at is None and child.poll() is not None:
            ended_at = now
        if ended_at is not None and (not streams or now - ended_at >= DRAIN_GRACE):
            return True
        if ended_at is None and now >= deadline:
            return False
        if not streams:
            # Its output is closed, so it is about to end: do not sleep through that.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(min(POLL, max(0.0, deadline - now)))
            continue
        ready, _, _ = select.select(list(streams), [], [], POLL)
        for fd in ready:
            data = os.read(fd, PIPE_SIZE)
            if data:
                streams[fd].feed(data)
            else:
                del streams[fd]


def _last_words(streams: Mapping[int, _Stream]) -> None:
    """What an ended group left in its pipes; waits for nobody."""
    for fd, stream in streams.items():
        os.set_blocking(fd, False)
        try:
            stream.feed(os.read(fd, PIPE_SIZE))
        except BlockingIOError:
            continue


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the child's group, gently first; reap the child."""
    if child.poll() is None and _signal(child.pid, signal.SIGTERM):
        end = time.monotonic() + TERM_GRACE
        while child.poll() is None and time.monotonic() < end:
            time.sleep(POLL)
    _signal(child.pid, signal.SIGKILL)
    child.wait()


def _signal(group: int, number: signal.Signals) -> bool:
    """Whether the group could be signalled; it may have ended meanwhile."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
