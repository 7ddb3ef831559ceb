"""Delays between repetitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.runtime.backoff import Backoff, delay


@pytest.mark.parametrize(
    ("attempt", "dice", "seconds"),
    [
        (0, 0.0, 1.0),
        (1, 0.0, 2.0),
        (2, 0.0, 4.0),
        (3, 0.0, 8.0),
        (4, 0.0, 10.0),
        (5000, 0.0, 10.0),
        (0, 0.5, 0.75),
        (4, 0.5, 7.5),
    ],
)
def test_table(attempt: int, dice: float, seconds: float) -> None:
    assert delay(attempt, first=1.0, factor=2.0, cap=10.0, jitter=0.5, dice=dice) == pytest.approx(seconds)


def test_grows_and_begins_again_after_reset() -> None:
    pause = Backoff(first=1.0, factor=3.0, cap=20.0, jitter=0.0)
    assert [pause.next() for _ in range(4)] == [1.0, 3.0, 9.0, 20.0]
    assert pause.attempts == 4
    pause.reset()
    assert pause.next() == 1.0


@given(st.integers(0, 100_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_never_over_the_cap_nor_under_its_part(attempt: int, dice: float, jitter: float) -> None:
    seconds = delay(attempt, first=0.5, factor=2.0, cap=30.0, jitter=jitter, dice=dice)
    assert 0.5 * (1 - jitter) <= seconds + 1e-9
    assert seconds <= 30.0


@pytest.mark.parametrize(
    "wrong", [{"first": 0.0}, {"cap": 0.1}, {"factor": 0.5}, {"jitter": 1.5}, {"jitter": -0.1}]
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no backoff"):
        Backoff(**wrong)
