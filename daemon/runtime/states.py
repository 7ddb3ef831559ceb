"""The life of a supervised service, as a table. Pure: `now` is an argument.

::

             START             SETTLE
    EXITED ────────► STARTING ────────► RUNNING
      ▲  ▲              │  ▲               │
      │  │         DIE  │  │ START         │ DIE
      │  │ STOP         ▼  │               │
      │  └─────────── BACKOFF ◄────────────┘
      │                 │
      │ END             │ GIVE_UP (too many deaths in a row, or a FatalError)
    STOPPING            ▼
      ▲               FATAL
      └── STOP from STARTING or RUNNING

What the table does not name is illegal: it raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType


class State(Enum):
    """Where a service is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    EXITED = "exited"
    FATAL = "fatal"


class Input(Enum):
    """What can happen to it."""

    START = "start"
    SETTLE = "settle"
    DIE = "die"
    GIVE_UP = "give up"
    STOP = "stop"
    END = "end"


TABLE: Mapping[tuple[State, Input], State] = MappingProxyType(
    {
        (State.EXITED, Input.START): State.STARTING,
        (State.STARTING, Input.SETTLE): State.RUNNING,
        (State.STARTING, Input.DIE): State.BACKOFF,
        (State.STARTING, Input.GIVE_UP): State.FATAL,
        (State.STARTING, Input.STOP): State.STOPPING,
        (State.RUNNING, Input.DIE): State.BACKOFF,
        (State.RUNNING, Input.GIVE_UP): State.FATAL,
        (State.RUNNING, Input.STOP): State.STOPPING,
        (State.BACKOFF, Input.START): State.STARTING,
        (State.BACKOFF, Input.STOP): State.EXITED,
        (State.STOPPING, Input.END): State.EXITED,
    }
)


class IllegalTransitionError(Exception):
    """The table has no such step: a bug of the caller, nothing was changed."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a service counts as running, and when it is given up.

    A service that lived `settle` seconds has settled: its next death is the
    first of a new row. After `max_deaths` deaths in a row (0: never) the
    process ends. Delays between lives grow from `first` to `cap` seconds.
    With the defaults a service that can't live ends the process after about
    two minutes.
    """

    settle: float = 5.0
    max_deaths: int = 10
    first: float = 0.5
    factor: float = 2.0
    cap: float = 30.0
    jitter: float = 0.3


@dataclass(frozen=True, slots=True)
class Life:
    """One service's state at one moment. Times are seconds of one monotonic clock."""

    state: State = State.EXITED
    since: float = 0.0
    deaths: int = 0
    in_a_row: int = 0
    last_error: str = ""
    restart_at: float | None = None


def next_state(state: State, happened: Input) -> State:
    """The table's word; IllegalTransitionError where it has none."""
    try:
        return TABLE[state, happened]
    except KeyError:
        raise IllegalTransitionError(
            f"{happened.value!r} can't happen to a service that is {state.value}"
        ) from None


def started(life: Life, now: float) -> Life:
    """Its loop was entered."""
    return replace(life, state=next_state(life.state, Input.START), since=now, restart_at=None)


def observed(life: Life, now: float, policy: Policy) -> Life:
    """What it is at `now`: one that lived long enough is running."""
    if life.state is State.STARTING and now - life.since >= policy.settle:
        settled_at = life.since + policy.settle
        return replace(life, state=next_state(life.state, Input.SETTLE), since=settled_at, in_a_row=0)
    return life


def died(life: Life, now: float, error: str, delay: float, policy: Policy) -> Life:
    """Its loop ended without being told to: it waits `delay` seconds, or is given up."""
    life = observed(life, now, policy)
    row = life.in_a_row + 1
    given_up = 0 < policy.max_deaths <= row
    return replace(
        life,
        state=next_state(life.state, Input.GIVE_UP if given_up else Input.DIE),
        since=now,
        deaths=life.deaths + 1,
        in_a_row=row,
        last_error=error,
        restart_at=None if given_up else now + delay,
    )


def given_up(life: Life, now: float, error: str) -> Life:
    """It raised a FatalError: it must not be started again by this process."""
    state = next_state(life.state, Input.GIVE_UP)
    return replace(life, state=state, since=now, deaths=life.deaths + 1, last_error=error, restart_at=None)


def told_to_stop(life: Life, now: float) -> Life:
    """It was told to stop; one that waits for its next life has ended with that."""
    return replace(life, state=next_state(life.state, Input.STOP), since=now, restart_at=None)


def ended(life: Life, now: float) -> Life:
    """Its loop returned after it was told to stop, or was killed at its deadline."""
    return replace(life, state=next_state(life.state, Input.END), since=now)
