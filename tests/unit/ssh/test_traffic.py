"""Who may go how fast, and what the console sees of it."""

from __future__ import annotations

import pytest

from ssh.pace import Pace
from ssh.traffic import Progress, Traffic


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_machines_bandwidth_is_divided() -> None:
    traffic = Traffic(Clock())
    with traffic.moving("a", "/x", out=True, of=10, bandwidth=800) as one:
        assert traffic.rate(one) == 100_000
        with (
            traffic.moving("a", "/y", out=False, of=10, bandwidth=800) as two,
            traffic.moving("b", "/z", out=False, of=10, bandwidth=0) as other,
        ):
            assert (traffic.rate(one), traffic.rate(two), traffic.rate(other)) == (50_000, 50_000, 0)
        assert traffic.rate(one) == 100_000


def test_what_is_seen() -> None:
    clock = Clock()
    traffic = Traffic(clock)
    with traffic.moving("a", "/x", out=True, of=10) as one:
        one.moved = 4
        clock.now += 2
        assert traffic.view() == (Progress("a", "/x", True, 4, 10, 2.0),)
    assert traffic.view() == ()


@pytest.mark.parametrize(
    ("rate", "piece"), [(0, 255_000), (10_000_000, 255_000), (100_000, 10_000), (1, 1024)]
)
def test_a_piece_is_a_tenth_of_a_second(rate: int, piece: int) -> None:
    assert Pace(rate).piece(255_000) == piece


def test_it_sleeps_until_it_may() -> None:
    clock = Clock()
    pace = Pace(1000, clock, clock.sleep)
    for _ in range(11):
        pace.take(100)
    assert clock.now == pytest.approx(101.0)
    pace.rate = 0
    pace.take(10**9)
    assert clock.now == pytest.approx(101.1, abs=0.11)


def test_a_pause_is_not_made_up_for() -> None:
    clock = Clock()
    pace = Pace(1000, clock, clock.sleep)
    pace.take(100)
    clock.now += 60
    pace.take(100)
    pace.take(100)
    assert clock.now == pytest.approx(160.1)
