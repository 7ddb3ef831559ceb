"""Random runs of two nodes. SEEDS=10000 for the long one; FIRST_SEED=N to begin elsewhere.

What fails prints its seed, the faults that are needed, and the trace; `python -m tests.unit.simulator` with
that text runs it again.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.unit.simulator import explorer
from tests.unit.simulator.explorer import Trip

LONG = int(os.environ.get("SEEDS", "0"))
FIRST = int(os.environ.get("FIRST_SEED", "0"))
SEEDS = LONG or 200
SECONDS = float("inf") if LONG else 10.0


@pytest.mark.deadline(24 * 3600 if LONG else 120)
def test_trips() -> None:
    begun, seed = time.monotonic(), FIRST
    while seed < FIRST + SEEDS and time.monotonic() - begun < SECONDS:
        found = explorer.failure(seed)
        assert not found, found
        seed += 1
    print(f"seeds {FIRST} to {seed - 1}")


def test_the_same_seed_is_the_same_run() -> None:
    for seed in (3, 17):
        first, second = (explorer.run(Trip.of(seed))[1].world.trace for _ in range(2))
        assert first == second
        assert len(first) > 10


def test_a_trip_is_its_text() -> None:
    for seed in range(50):
        assert Trip.parse(str(Trip.of(seed))) == Trip.of(seed)
