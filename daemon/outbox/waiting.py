"""How many messages wait for each broker, and since when: cheap to ask, kept beside the database. Pure."""

from __future__ import annotations

from collections.abc import Mapping


class Waiting:
    """Counts and the time (s since the epoch) of the oldest, by broker."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._oldest: dict[str, float] = {}

    def begin(self, found: Mapping[str, tuple[int, float]]) -> None:
        """What the file holds: broker to count and time of the oldest."""
        for broker, (count, stored_at) in found.items():
            self._count[broker] = count
            self._oldest[broker] = stored_at

    def stored(self, broker: str, count: int, now: float) -> None:
        """So many more wait."""
        if not self._count.get(broker):
            self._oldest[broker] = now
        self._count[broker] = self._count.get(broker, 0) + count

    def confirmed(self, broker: str, count: int) -> None:
        """So many wait no more."""
        self._count[broker] = self._count.get(broker, 0) - count

    def looked_up(self, oldest: Mapping[str, float]) -> None:
        """The database's own word on the oldest."""
        self._oldest.update(oldest)

    def counts(self) -> Mapping[str, int]:
        """By broker."""
        return dict(self._count)

    def age(self, broker: str, now: float) -> float:
        """Seconds that the oldest has waited; 0 where none waits."""
        return max(0.0, now - self._oldest.get(broker, now)) if self._count.get(broker) else 0.0
