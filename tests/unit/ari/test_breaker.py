"""The circuit breaker of REST calls."""

from __future__ import annotations

import pytest

from daemon.ari.breaker import Breaker, Circuit


def opened(at: float = 100.0) -> Breaker:
    breaker = Breaker(threshold=3, pause=5.0, cap=12.0)
    assert [breaker.unanswered(at - 2), breaker.unanswered(at - 1), breaker.unanswered(at)] == [
        False,
        False,
        True,
    ]
    return breaker


def test_it_is_closed_at_first() -> None:
    breaker = Breaker()
    assert breaker.allows(0.0)
    assert breaker.wait(0.0) == 0.0
    assert breaker.status() == {"state": "closed", "unanswered": 0, "not_asked": 0}


def test_an_answer_between_silences_keeps_it_closed() -> None:
    breaker = Breaker(threshold=2)
    for now in range(10):
        assert not breaker.unanswered(float(now))
        assert not breaker.answered()
    assert breaker.state is Circuit.CLOSED


def test_silences_in_a_row_open_it() -> None:
    breaker = opened(at=100.0)
    assert breaker.state is Circuit.OPEN
    assert not breaker.allows(100.0)
    assert not breaker.allows(104.9)
    assert breaker.wait(104.0) == 1.0
    assert breaker.status() == {"state": "open", "unanswered": 3, "not_asked": 2}


def test_after_the_pause_one_call_is_let_through() -> None:
    breaker = opened(at=100.0)
    assert breaker.allows(105.0)
    assert breaker.state is Circuit.HALF_OPEN
    assert not breaker.allows(105.1)
    assert breaker.answered()
    assert breaker.state is Circuit.CLOSED
    assert breaker.allows(105.2)
    assert breaker.allows(105.2)
    assert breaker.status() == {"state": "closed", "unanswered": 0, "not_asked": 1}


def test_each_silence_of_the_one_call_makes_the_pause_longer_up_to_the_cap() -> None:
    breaker = opened(at=100.0)
    now, pauses = 105.0, []
    for _ in range(4):
        assert breaker.allows(now)
        assert not breaker.unanswered(now)  # it was open: nothing new to say
        pauses.append(breaker.wait(now))
        now += pauses[-1]
    assert pauses == [10.0, 12.0, 12.0, 12.0]


def test_an_answer_makes_the_pause_short_again() -> None:
    breaker = opened(at=100.0)
    assert breaker.allows(105.0)
    breaker.unanswered(106.0)
    assert breaker.allows(116.0)
    assert breaker.answered()
    assert [breaker.unanswered(120.0) for _ in range(3)] == [False, False, True]
    assert breaker.wait(120.0) == 5.0


def test_a_call_that_never_tells_does_not_block_for_ever() -> None:
    breaker = opened(at=100.0)
    assert breaker.allows(105.0)
    assert not breaker.allows(109.9)
    assert breaker.allows(110.0)


def test_a_call_that_was_under_way_as_it_opened_changes_nothing() -> None:
    breaker = opened(at=100.0)
    assert not breaker.unanswered(103.0)
    assert breaker.allows(105.0)


@pytest.mark.parametrize("bad", [{"threshold": 0}, {"pause": 0.0}, {"pause": 10.0, "cap": 5.0}])
def test_nonsense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no breaker"):
        Breaker(**bad)  # type: ignore[arg-type]
