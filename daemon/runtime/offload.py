"""Native threads of our own for what would stall the hub.

For trees, ZIP, SQLite, hashing: anything that works for more than a few
milliseconds and releases the GIL meanwhile. gevent's default pool is left to
DNS, which ten busy jobs there delay by a second.

A function that is offloaded gets plain data and returns plain data. It must
not log, take a lock, use a socket, a queue or an event, or touch an object
that greenlets use: two such functions that logged to one handler hung for
good (gevent#890, #1698). Nor does pure Python profit: it keeps the GIL; use a
child process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gevent
from gevent.threadpool import ThreadPool

from daemon.errors import TransientError

log = logging.getLogger("arimonitor.offload")

P = ParamSpec("P")
R = TypeVar("R")


class Offload:
    """A pool of `size` native threads; callers wait in line when all are busy."""

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self._pool: Any = ThreadPool(size)
        self._closed = False
        self.calls = 0
        self.waiting = 0
        self.longest = 0.0

    def call(self, fn: Callable[..., R], *data: Any, timeout: float | None = None) -> R:
        """`fn(*data)` in a native thread; its error is raised here.

        After `timeout` seconds, waiting in line included, a TransientError is
        raised; the native call itself can't be ended and goes on: bound its
        input instead. RuntimeError: the pool is closed.
        """
        if self._closed:
            raise RuntimeError("the offload pool is closed")
        began = time.monotonic()
        self.calls += 1
        self.waiting += 1
        deadline: Any = gevent.Timeout(timeout)
        try:
            with deadline:
                value, error = self._pool.spawn(_caught, fn, data).get()
        except gevent.Timeout as expired:
            if expired is not deadline:
                raise
            name = getattr(fn, "__qualname__", repr(fn))
            raise TransientError(f"{name} did not end within {timeout} s in a native thread") from None
        finally:
            self.waiting -= 1
            self.longest = max(self.longest, time.monotonic() - began)
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def status(self) -> dict[str, object]:
        """Numbers for the snapshot; `longest_s` includes waiting in line."""
        return {
            "size": self.size,
            "waiting": self.waiting,
            "calls": self.calls,
            "longest_s": round(self.longest, 3),
        }

    def close(self, timeout: float = 5.0) -> bool:
        """Take no more and wait for what runs; whether all of it ended in time."""
        self._closed = True
        ended = False
        deadline: Any = gevent.Timeout(timeout, False)
        with deadline:
            self._pool.join()
            self._pool.kill()
            ended = True
        if ended:
            return True
        log.warning("offloaded work still runs %.1f s after the end was asked for", timeout)
        return False


def _caught(fn: Callable[..., Any], data: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Runs in the native thread. The error is carried as a value: gevent would print it as well."""
    try:
        return fn(*data), None
    except Exception as error:  # noqa: BLE001 - it is raised again in the caller
        return None, error
