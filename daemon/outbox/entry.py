"""A message's place in the outbox. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.outbox.message import Message


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored message. `seq` grows in the order of storing, over all brokers.

    `attempts` counts nacks and returns, `next_try` (seconds since the epoch, 0:
    at once) is when the last of them lets it be tried again.
    """

    seq: int
    message: Message
    attempts: int = 0
    next_try: float = 0.0
