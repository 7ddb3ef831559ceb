"""What the outbox's integration tests share: an offload, a clock, waiting for a condition."""

from __future__ import annotations

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
