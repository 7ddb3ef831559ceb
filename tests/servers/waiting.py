"""Waiting for what has no event of its own: another process, another thread's counter."""

from __future__ import annotations

import time
from collections.abc import Callable
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
