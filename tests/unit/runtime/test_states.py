"""The life of a service: every state with every input, and whole lives."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.runtime import states
from daemon.runtime.states import IllegalTransitionError, Input, Life, Policy, State

S, I = State, Input  # noqa: E741

LEGAL = {
    (S.EXITED, I.START): S.STARTING,
    (S.BACKOFF, I.START): S.STARTING,
    (S.STARTING, I.SETTLE): S.RUNNING,
    (S.STARTING, I.DIE): S.BACKOFF,
    (S.RUNNING, I.DIE): S.BACKOFF,
    (S.STARTING, I.GIVE_UP): S.FATAL,
    (S.RUNNING, I.GIVE_UP): S.FATAL,
    (S.STARTING, I.STOP): S.STOPPING,
    (S.RUNNING, I.STOP): S.STOPPING,
    (S.BACKOFF, I.STOP): S.EXITED,
    (S.STOPPING, I.END): S.EXITED,
}
POLICY = Policy(settle=5.0, max_deaths=3)


@pytest.mark.parametrize(("state", "happened"), list(itertools.product(State, Input)))
def test_every_state_with_every_input(state: State, happened: Input) -> None:
    if (state, happened) in LEGAL:
        assert states.next_state(state, happened) is LEGAL[state, happened]
    else:
        with pytest.raises(IllegalTransitionError):
            states.next_state(state, happened)


def test_it_is_running_once_it_has_lived_long_enough() -> None:
    life = states.started(Life(), now=100.0)
    assert states.observed(life, 104.9, POLICY).state is State.STARTING
    settled = states.observed(life, 105.0, POLICY)
    assert (settled.state, settled.since) == (State.RUNNING, 105.0)


def test_a_death_waits_for_its_delay() -> None:
    life = states.died(states.started(Life(), 100.0), 101.0, "OSError: gone", 2.5, POLICY)
    assert life == Life(State.BACKOFF, 101.0, 1, 1, "OSError: gone", 103.5)
    assert states.started(life, 103.5) == Life(State.STARTING, 103.5, 1, 1, "OSError: gone", None)


def test_three_deaths_in_a_row_are_the_end() -> None:
    life = Life()
    for now in (0.0, 10.0):
        life = states.died(states.started(life, now), now + 1, "x", 1.0, POLICY)
        assert life.state is State.BACKOFF
    life = states.died(states.started(life, 20.0), 21.0, "x", 1.0, POLICY)
    assert (life.state, life.deaths, life.in_a_row, life.restart_at) == (State.FATAL, 3, 3, None)


def test_a_long_life_begins_a_new_row() -> None:
    life = Life()
    for now in range(0, 1000, 100):
        life = states.died(states.started(life, now), now + 50, "x", 1.0, POLICY)
    assert (life.state, life.deaths, life.in_a_row) == (State.BACKOFF, 10, 1)


def test_no_limit_of_deaths() -> None:
    life = Life()
    for now in range(100):
        life = states.died(states.started(life, now), now, "x", 0.0, Policy(max_deaths=0))
    assert (life.state, life.in_a_row) == (State.BACKOFF, 100)


def test_a_fatal_error_needs_no_row() -> None:
    life = states.given_up(states.started(Life(), 1.0), 2.0, "no disk")
    assert (life.state, life.deaths, life.last_error) == (State.FATAL, 1, "no disk")


def test_stop_from_backoff_ends_at_once_and_from_a_life_takes_two_steps() -> None:
    waiting = states.died(states.started(Life(), 0.0), 1.0, "x", 9.0, POLICY)
    assert states.told_to_stop(waiting, 2.0).state is State.EXITED
    living = states.told_to_stop(states.started(Life(), 0.0), 2.0)
    assert living.state is State.STOPPING
    assert states.ended(living, 3.0).state is State.EXITED


@given(st.lists(st.sampled_from(Input), max_size=30))
def test_an_illegal_input_changes_nothing(inputs: list[Input]) -> None:
    state = State.EXITED
    for happened in inputs:
        before = state
        try:
            state = states.next_state(state, happened)
        except IllegalTransitionError:
            assert (before, happened) not in LEGAL
            assert state is before
