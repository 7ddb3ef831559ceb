"""What the election tells the daemon. Pure."""

from __future__ import annotations

from typing import Protocol


class Orders(Protocol):
    """What the daemon is told. Each returns at once: the lease is not renewed meanwhile."""

    def won(self, epoch: int) -> None:
        """This node is master: start the master's work under `epoch`."""

    def lost(self, reason: str) -> None:
        """Master no more, from this moment: cancel the master's work."""

    def retire(self, reason: str) -> None:
        """End the master's work in good order, then call `retired()`; the lease holds meanwhile."""
