"""What the supervisor runs: a named loop that ends when it is told to."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Protocol


class Service(Protocol):
    """A loop that moves data between pure code and adapters.

    `run` returns soon after `stop` is set (the supervisor kills it at its
    deadline). An exception out of `run` is a death: the supervisor logs it
    and starts the service again with backoff, unless it is a FatalError,
    which ends the process.
    """

    name: str

    def run(self, stop: Event) -> None:
        """Work until `stop` is set."""

    def status(self) -> Mapping[str, object]:
        """Plain data about itself for the snapshot: numbers, strings, booleans."""
