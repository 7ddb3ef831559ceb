"""What the outbox's integration tests share: an offload, a clock, waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from daemon.runtime.native import patched


def offload() -> Callable[..., Any]:
    """The daemon's native pool where gevent has patched, else a direct call."""
    if patched():
        from daemon.runtime.offload import Offload

        return Offload().call
    return lambda function, *data: function(*data)


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The condition's first true value; for what has no event of its own, with a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
