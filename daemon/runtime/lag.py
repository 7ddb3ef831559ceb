"""The hub's lag over the last minute: a sliding window of numbers. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds by which a ticker was late, over the window; `samples` says of how many."""

    samples: int
    p50: float
    p99: float
    max: float


class LagWindow:
    """Keeps each sample for `seconds`; bounded by the ticker's rate."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now: float, lag: float) -> None:
        """A tick came `lag` seconds late at `now` (monotonic seconds)."""
        self._samples.append((now, lag))
        self._forget(now)

    def summary(self, now: float) -> Lag:
        """Percentiles by the nearest-rank rule; zeros when there are no samples."""
        self._forget(now)
        lags = sorted(lag for _, lag in self._samples)
        if not lags:
            return Lag(0, 0.0, 0.0, 0.0)
        return Lag(len(lags), _rank(lags, 0.50), _rank(lags, 0.99), lags[-1])

    def _forget(self, now: float) -> None:
        oldest = now - self.seconds
        while self._samples and self._samples[0][0] < oldest:
            self._samples.popleft()


def _rank(ordered: list[float], share: float) -> float:
    """Nearest rank: the smallest value that at least `share` of the values do not exceed."""
    position = -(-len(ordered) * share // 1)
    return ordered[max(0, int(position) - 1)]
