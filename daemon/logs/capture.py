"""Everything that is written to standard output and error becomes log records.

Descriptors 1 and 2 become the write ends of pipes, so what C libraries and
children write is caught too::

    print / child ──► pipe 1 ┐
                             ├► real thread: reads ──► list of pieces ──► pump: lines ──► logging
    stderr / child ─► pipe 2 ┘                     (wakes through a pipe)

A greenlet can't empty the pipes: while the process itself writes to a full
one, no greenlet runs. So a real thread does, and only moves bytes; the pump,
on the hub, makes lines of them and logs. What a child writes faster than it is
logged waits in the pipe; after STALL seconds without progress the thread drops
instead of waiting, since the writer may be the hub itself, and the number of
bytes dropped is logged.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from typing import TextIO

from daemon.runtime import native

BACKLOG = 8 * 1024 * 1024
STALL = 3.0
PIECE = 65536
PIPE_SIZE = 1024 * 1024
LINE_LIMIT = 64 * 1024
YIELD_EVERY = 100
"""Lines after which others may run: a child's flood must not be the hub's."""
PARTIAL_AFTER = 1.0
"""Seconds after which a line without its end (a prompt) is logged as it is."""
_LAST_WORDS = 20.0  # seconds at most that the end waits for a flood to be logged

_STREAMS = {1: "stdout", 2: "stderr"}
_LEVELS = {1: logging.INFO, 2: logging.WARNING}


class Capture:
    """The redirection; made with the process's streams as they are, ended by `close`.

    `terminal` is the real standard output (for a console on it), `stderr_fd`
    the real standard error. `after` is run by the pump each time it woke, for
    work that must be done on the hub (see `wake`).
    """

    def __init__(self) -> None:
        native.open_standard_streams()
        _flush_streams()
        self._saved = {fd: os.dup(fd) for fd in _STREAMS}
        self.terminal: TextIO = os.fdopen(
            native.open_without_waiting(1), "w", encoding="utf-8", errors="backslashreplace"
        )
        self.stderr_fd = native.open_without_waiting(2)
        self.dropped = 0
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._taken = 0
        self._given = 0
        self._logged = 0
        self._partial: dict[int, bytes] = {1: b"", 2: b""}
        self._dropped_said = 0
        self._closing = False
        self._wake_read, self._wake_write = _pipe_without_waiting()
        self._end_read, self._end_write = os.pipe()
        self._reader_done = native.new_lock()
        self._reader_done.acquire()
        self._fd_by_pipe: dict[int, int] = {}
        for fd in _STREAMS:
            read, write = os.pipe()
            _enlarge(write)
            os.set_blocking(read, False)
            os.dup2(write, fd, inheritable=True)
            os.close(write)
            self._fd_by_pipe[read] = fd
        # New ones, not the old ones reconfigured: those remember whether they were a file or a terminal.
        self._streams = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = (_line_buffered(fd) for fd in _STREAMS)
        native.start_thread(self._read)
        self._pump_thread = threading.Thread(target=self._pump, name="log capture", daemon=True)
        self._pump_thread.start()

    def wake(self) -> None:
        """Let the pump run `extra` soon. Safe in a real thread."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_write, b"\0")

    def extra(self) -> None:
        """What else the pump does when woken; replaced by who needs it."""

    def close(self) -> None:
        """Give the streams back and log what is still in the pipes; waits 2 s, longer while that goes on."""
        if self._closing:
            return
        self._closing = True
        _flush_streams()
        sys.stdout, sys.stderr = self._streams
        _flush_streams()
        for fd, saved in self._saved.items():
            os.dup2(saved, fd, inheritable=True)
        os.write(self._end_write, b"\0")
        # The thread reads what is there and ends; it needs nothing of the hub, which waits here.
        ended = self._reader_done.acquire(timeout=2.0)
        self.wake()
        self._let_the_pump_end()
        self._log_pieces()
        self._log_partial()
        self.extra()
        with contextlib.suppress(OSError):
            self.terminal.close()
        # A thread that did not end keeps its descriptors: their numbers must not become others'.
        if ended:
            for fd in (*self._fd_by_pipe, self._end_read, self._end_write, self._wake_read, self._wake_write):
                os.close(fd)
        for saved in (*self._saved.values(), self.stderr_fd):
            os.close(saved)

    def _let_the_pump_end(self) -> None:
        """It may be in the middle of a flood: two who log at once would mix up the lines."""
        until, before = time.monotonic() + _LAST_WORDS, -1
        while self._pump_thread.is_alive() and self._logged != before and time.monotonic() < until:
            before = self._logged
            self._pump_thread.join(2.0)

    # -- in the real thread: no log, no lock, no socket ----------------------------

    def _read(self) -> None:
        poll = native.new_poll()
        for pipe in (*self._fd_by_pipe, self._end_read):
            poll.register(pipe, native.POLLIN)
        open_pipes = set(self._fd_by_pipe)
        try:
            while True:
                ready = {pipe for pipe, _ in poll.poll()}
                for pipe in ready & open_pipes:
                    if not self._move(pipe):
                        poll.unregister(pipe)
                        open_pipes.discard(pipe)
                self.wake()
                if self._end_read in ready:
                    for pipe in open_pipes:
                        self._move(pipe, to_the_end=True)
                    return
        finally:
            self._reader_done.release()

    def _move(self, pipe: int, to_the_end: bool = False) -> bool:
        """Take what is in a pipe; False: nobody can write to it any more."""
        for _ in range(PIPE_SIZE // PIECE + 1):
            try:
                data = os.read(pipe, PIECE)
            except BlockingIOError:
                return True
            if not data:
                return False
            if to_the_end or self._has_room():
                self._pieces.append((self._fd_by_pipe[pipe], data))
                self._taken += len(data)
            else:
                self.dropped += len(data)
        return True

    def _has_room(self) -> bool:
        waited = 0.0
        while self._taken - self._given > BACKLOG and not self._closing:
            before = self._given
            self.wake()
            native.sleep(0.01)
            waited = 0.0 if self._given != before else waited + 0.01
            if waited >= STALL:
                return False
        return True

    # -- on the hub -----------------------------------------------------------------

    def _pump(self) -> None:
        while True:
            partial = any(self._partial.values())
            ready, _, _ = select.select([self._wake_read], [], [], PARTIAL_AFTER if partial else None)
            if self._closing:
                return
            if ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, PIECE)
            elif not self._pieces:
                self._log_partial()
            self._log_pieces()
            self.extra()

    def _log_pieces(self) -> None:
        while self._pieces:
            fd, data = self._pieces.popleft()
            self._given += len(data)
            *lines, rest = (self._partial[fd] + data).split(b"\n")
            if len(rest) > LINE_LIMIT:
                lines.append(rest)
                rest = b""
            self._partial[fd] = rest
            for number, line in enumerate(lines, 1):
                _log(fd, line)
                self._logged += 1
                if number % YIELD_EVERY == 0:
                    time.sleep(0)
        if self.dropped > self._dropped_said:
            lost, self._dropped_said = self.dropped - self._dropped_said, self.dropped
            logging.getLogger("arimonitor.stdout").warning(
                "output came faster than it was logged dropped_bytes=%d", lost
            )

    def _log_partial(self) -> None:
        for fd, rest in self._partial.items():
            self._partial[fd] = b""
            _log(fd, rest)


def _log(fd: int, line: bytes) -> None:
    text = line.decode("utf-8", "backslashreplace").rstrip()
    if text:
        logging.getLogger(f"arimonitor.{_STREAMS[fd]}").log(_LEVELS[fd], "%s", text)


def _line_buffered(fd: int) -> TextIO:
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A closed or absent stream has nothing to flush; a reader that went away takes nothing.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


def _pipe_without_waiting() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


def _enlarge(pipe: int) -> None:
    """A larger pipe where the system allows it: fewer waits of who writes."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
