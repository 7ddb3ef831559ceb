"""The lease's arithmetic, and the cell that everybody asks."""

from __future__ import annotations

import pytest

from ha.lease import LeaseCell, Timings, generation_of, spelled, token, version_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("timeout", "tick", "margin", "left"),
    [
        (4.0, None, 1.0, 3.0),
        (2.0, None, 0.5, 1.5),
        (4.0, 0.5, 1.0, 3.0),
        (4.0, 2.0, 2.0, 2.0),  # a long tick
        (4.0, 9.0, 2.0, 2.0),  # never more than half
        (30.0, 0.5, 7.5, 22.5),
        (1.0, None, 0.25, 0.75),
    ],
)
def test_the_deadline_counts_from_when_the_renewal_was_sent(
    timeout: float, tick: float | None, margin: float, left: float
) -> None:
    timings = Timings.of(timeout, tick)
    assert timings.margin == margin
    assert timings.deadline(100.0) == 100.0 + left
    # A renewal that goes unanswered leaves time to try another server, and one that was
    # answered may have been forwarded to the leader only with the next.
    assert timings.renew_every < timings.margin
    assert timings.renew_every + timings.answer_within < timeout - timings.margin


def test_a_lease_is_valid_until_its_deadline_and_not_at_it(clock: Clock) -> None:
    cell = LeaseCell(clock)
    assert not cell.valid()
    assert cell.left() is None
    cell.grant(7, 103.0)
    assert cell.valid()
    assert (cell.epoch, cell.left()) == (7, 3.0)
    clock.now = 103.0
    assert not cell.valid()
    assert cell.left() == 0.0
    cell.grant(7, 106.0)
    assert cell.valid()


def test_a_suspension_ends_it_at_once_and_a_renewal_ends_the_suspension(clock: Clock) -> None:
    cell = LeaseCell(clock)
    cell.grant(7, 103.0)
    cell.suspend()
    assert not cell.valid()
    assert cell.lease is not None
    assert cell.suspended
    cell.grant(7, 104.0)
    assert cell.valid()


def test_after_the_end_the_epoch_is_still_known(clock: Clock) -> None:
    cell = LeaseCell(clock)
    cell.grant(7, 103.0)
    cell.end()
    assert not cell.valid()
    assert cell.epoch == 7
    cell.saw(9)
    cell.saw(8)
    assert cell.epoch == 9


def test_a_clock_that_was_paused_with_its_machine_ends_nothing_by_itself(clock: Clock) -> None:
    """Why every commit is fenced as well: no clock of this process shows the pause."""
    cell = LeaseCell(clock)
    cell.grant(7, 103.0)
    assert cell.valid()


def test_a_token_grows_with_elections_and_with_generations() -> None:
    assert token(1, 0) < token(1, 1) < token(1, 2**31 - 1) < token(2, 0)
    assert generation_of(token(3, 41)) == 3
    assert version_of(token(3, 41)) == 41


def test_an_epoch_is_spelled_for_people() -> None:
    assert spelled(token(1, 0)) == "1.0"
    assert spelled(token(2, 31)) == "2.31"
    assert spelled(7) == "7", "one host has no generations"
