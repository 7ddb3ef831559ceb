"""Real threads and blocking calls, as they were before gevent patched them.

For the two places where a greenlet can't do the work: emptying the pipe that
the process's own standard output goes to (a greenlet could not run while the
hub itself is writing to it), and watching the hub from outside. What runs in
such a thread never logs, never takes a patched lock and never uses a patched
socket: it would hang for good (gevent#890, #1698).
"""

from __future__ import annotations

import contextlib
import os
import select as _select
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Protocol

import gevent
from gevent import monkey


class Poll(Protocol):
    """A `select.poll` object of the unpatched kind."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Watch `fd`."""

    def unregister(self, fd: int, /) -> None:
        """Watch it no longer."""

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Ready descriptors; blocks the real thread for at most `timeout` ms."""


class Lock(Protocol):
    """A lock between real threads."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; blocks the real thread."""

    def release(self) -> None:
        """Give it back; any thread may."""


POLLIN: int = _select.POLLIN
POLLOUT: int = _select.POLLOUT

sleep: Callable[[float], None] = monkey.get_original("time", "sleep")
thread_ident: Callable[[], int] = monkey.get_original("_thread", "get_ident")
new_lock: Callable[[], Lock] = monkey.get_original("_thread", "allocate_lock")
new_poll: Callable[[], Poll] = monkey.get_original("select", "poll")
_start_new_thread: Callable[..., int] = monkey.get_original("_thread", "start_new_thread")


def patched() -> bool:
    """Whether gevent has patched the standard library of this process."""
    return bool(monkey.is_module_patched("threading"))


def start_thread(work: Callable[[], None]) -> None:
    """Run `work` in a real thread that does not keep the process alive."""
    _start_new_thread(work, ())


def frame_of(ident: int) -> FrameType | None:
    """What the real thread `ident` is executing now."""
    return sys._current_frames().get(ident)


def open_standard_streams() -> None:
    """A process started without some of 0, 1, 2 gets /dev/null there.

    Done before anything else opens a descriptor: else the hub's own takes the
    number, and the redirection of standard output would tear it out.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def open_without_waiting(fd: int) -> int:
    """Another descriptor for what `fd` writes to, which never blocks where that is a terminal.

    poll(2) says that a terminal has room for one byte; a longer write waits for
    the rest, which a stopped terminal never takes. So it is opened anew: made
    non-blocking as it is, it would be so for the shell as well.
    """
    if os.isatty(fd):
        # Another user's (after su) can't be opened: then it is written to byte by byte.
        with contextlib.suppress(OSError):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    return os.dup(fd)


def room(fd: int) -> int:
    """How many bytes `fd` takes without blocking once poll(2) says that it is ready."""
    return 1 if os.isatty(fd) and os.get_blocking(fd) else 4096


def write_without_waiting(fd: int, data: bytes, patience_ms: int = 0) -> bool:
    """Write all of `data` unless `fd` (terminal, pipe, journal) does not take it in time.

    A terminal stopped with Ctrl-S or a dead reader must not stop the hub, so
    nothing larger than what it takes at once is written without asking first.
    False: not all of it was taken, or nobody is there.
    """
    piece = room(fd)
    poll = new_poll()
    poll.register(fd, POLLOUT)
    rest = memoryview(data)
    try:
        while rest:
            ready = poll.poll(patience_ms)
            if not ready or not ready[0][1] & POLLOUT:
                return False
            rest = rest[os.write(fd, rest[:piece]) :]
    except OSError:
        return False
    return True


ErrorSink = Callable[[str, tuple[type[BaseException], BaseException, TracebackType | None]], None]


def on_unhandled_errors(sink: ErrorSink) -> Callable[[], None]:
    """Give the hub's unhandled errors to `sink(context, exc_info)` instead of printing them.

    Returns what undoes it. `sink` must not block: it may run in the hub.
    """
    hub: Any = gevent.get_hub()

    def print_exception(context: object, kind: Any, value: Any, traceback: Any) -> None:
        kind, value, traceback = hub._normalize_exception(kind, value, traceback)
        sink(repr(context), (kind, value if value is not None else kind(), traceback))

    hub.print_exception = print_exception

    def undo() -> None:
        if hub.__dict__.get("print_exception") is print_exception:
            del hub.print_exception

    return undo
