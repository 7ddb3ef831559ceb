"""What a way out of the outbox looks like: RabbitMQ and files have this form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from daemon.errors import TransientError
from daemon.outbox.entry import Entry


class Verdict(Enum):
    """What became of a published message."""

    CONFIRMED = "confirmed"
    NACKED = "nacked"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one message, by its `seq`; `reason` for people where it isn't CONFIRMED."""

    seq: int
    verdict: Verdict
    reason: str = ""


class SinkLost(TransientError):
    """The way out is gone (connection, frozen broker, full disk): open it again, soon."""


class SinkRefused(TransientError):
    """The broker doesn't want us (password, vhost, permission, topology).

    Someone must mend it, so it is tried again slowly.
    """


class Sink(Protocol):
    """A way out. One service uses it; only `wake` may be called by others.

    `chunk` is how many messages one `publish` should be given at most.
    `blocked` is the reason why nothing should be published now, "" where it may.
    After SinkLost or SinkRefused it is closed and may be opened again; everything
    that has no outcome then has an unknown fate and is published again.
    """

    name: str
    place: str
    chunk: int

    @property
    def blocked(self) -> str:
        """Why nothing should be published now."""

    def open(self) -> None:
        """Connect and see to the topology. Raises SinkLost or SinkRefused, within a deadline."""

    def publish(self, entries: Sequence[Entry]) -> None:
        """Hand these over, in order; their outcomes come from `poll`. Raises SinkLost."""

    def poll(self, timeout: float) -> list[Outcome]:
        """Wait up to `timeout` seconds for outcomes or `wake`. Raises SinkLost or SinkRefused."""

    def wake(self) -> None:
        """Let a `poll` that waits return now."""

    def close(self) -> None:
        """Let go of everything; never raises, waits a second at most."""
