"""A deadline for a whole piece of work, wherever in it it waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gevent

from daemon.errors import TransientError

R = TypeVar("R")


def within(seconds: float, what: str, work: Callable[..., R], *args: Any) -> R:
    """`work(*args)`; after `seconds` it is ended where it waits and a TransientError is raised.

    What runs in a native thread or a child process ends by its own deadline.
    """
    deadline: Any = gevent.Timeout(seconds)
    try:
        with deadline:
            return work(*args)
    except gevent.Timeout as expired:
        if expired is not deadline:
            raise
        raise TransientError(f"{what} did not end within {seconds:.0f} s") from None
