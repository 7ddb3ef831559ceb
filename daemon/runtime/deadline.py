"""An outer deadline for a step that is made of many waits, each with a timeout of its own.

A peer that sends one byte every few seconds never meets a socket's timeout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from daemon.errors import TransientError


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """A TransientError "WHAT took longer than N s" where the block does not end in time.

    What the block was in the middle of is broken off: the connection that it
    used must be closed.
    """
    mine: Any = gevent.Timeout(seconds)
    try:
        with mine:
            yield
    except gevent.Timeout as expired:
        if expired is not mine:
            raise
        raise TransientError(f"{what} took longer than {seconds:g} s") from None
