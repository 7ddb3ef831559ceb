"""How long to wait before trying again. Pure: randomness is an argument.

The jitter only ever shortens a delay, so `cap` is a promise: two nodes whose
broker comes back at one moment do not come at one moment, and neither waits
longer than it was told to.
"""

from __future__ import annotations

import random as _random
from collections.abc import Callable


def delay(attempt: int, *, first: float, factor: float, cap: float, jitter: float, dice: float) -> float:
    """Seconds to wait before attempt number `attempt` (0 is the first repetition).

    `dice` is a number in [0, 1); `jitter` in [0, 1] is the largest part of the
    delay that it may take away.
    """
    try:
        full = min(cap, first * factor**attempt)
    except OverflowError:
        full = cap
    return full * (1.0 - jitter * dice)


class Backoff:
    """Growing delays of one thing that is retried for ever.

    >>> pause = Backoff(first=1.0, factor=2.0, cap=5.0, jitter=0.0)
    >>> [pause.next() for _ in range(4)]
    [1.0, 2.0, 4.0, 5.0]
    """

    def __init__(
        self,
        first: float = 0.5,
        factor: float = 2.0,
        cap: float = 30.0,
        jitter: float = 0.3,
        random: Callable[[], float] = _random.random,
    ) -> None:
        if first <= 0 or cap < first or factor < 1 or not 0 <= jitter <= 1:
            raise ValueError(f"no backoff: first={first} factor={factor} cap={cap} jitter={jitter}")
        self.first = first
        self.factor = factor
        self.cap = cap
        self.jitter = jitter
        self.attempts = 0
        self._random = random

    def next(self) -> float:
        """Seconds to wait now; the delay after this one is longer, up to `cap`."""
        seconds = self.delay(self.attempts)
        self.attempts += 1
        return seconds

    def delay(self, attempt: int) -> float:
        """Seconds before repetition `attempt`, without counting it."""
        return delay(
            attempt,
            first=self.first,
            factor=self.factor,
            cap=self.cap,
            jitter=self.jitter,
            dice=self._random(),
        )

    def reset(self) -> None:
        """It worked: the next failure waits `first` again."""
        self.attempts = 0
