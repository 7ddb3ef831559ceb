"""Waiting for what has no event of its own: another process, another thread's counter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DEADLINE = 60.0  # seconds for what should take one: on a busy machine with two cores it takes more


def wait_until(
    condition: Callable[[], Any], what: str, deadline: float = DEADLINE, *, every: float = 0.02
) -> Any:
    """What `condition` returns as soon as it is true; AssertionError after `deadline` seconds.

    Asked for `every` so many seconds, after the first second less often: others need the processor too.
    """
    began = time.monotonic()
    while not (result := condition()):
        waited = time.monotonic() - began
        assert waited < deadline, f"not within {deadline:g} s: {what}"
        time.sleep(every if waited < 1.0 else 4 * every)
    return result


@contextmanager
def meanwhile(condition: Callable[[], Any], what: str, act: Callable[[], object]) -> Iterator[None]:
    """As soon as `condition` is true something is done, in another thread, while the block goes on."""

    def run() -> None:
        wait_until(condition, what, every=0.005)
        act()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(DEADLINE)
