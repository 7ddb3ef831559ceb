"""A call and its group: which legs belong together, and what was already told. Pure.

A *call* begins with an originating leg. A *group* is all legs that are
connected by dialling, Local channels, bridges, transfers or linkedids. Most
groups have one call. Where two calls become one (attended transfer, pickup
after both were announced, a bridge made by hand) the group has both; the
oldest goes on, the younger ones end as merged into it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from daemon.calls.leg import Digit, Leg


@dataclass(slots=True, eq=False)
class Call:
    """One call: its originating leg and which facts about it were told.

    `held`: the call may turn out to be none of its own (a feature code such as
    a pickup), so it is not announced before its own leg shows what it is.
    """

    origin: Leg
    held: bool = False
    recovered: bool = False
    seq: int = 0
    announced: bool = False
    answer_told: bool = False
    ended: bool = False
    answertime: int | None = None
    answered_by: str | None = None
    agent_answertime: int | None = None
    answer_due: float | None = None
    joined_at: int | None = None
    merge_due: float = 0.0

    @property
    def age(self) -> tuple[int, list[int | str]]:
        """Orders calls: the one with the smallest age is the oldest."""
        return (self.origin.created, natural(self.origin.id))


def natural(text: str) -> list[int | str]:
    """A key that sorts `1.9` before `1.10`; numbers sort before words at odd places only.

    >>> natural("1795190745.10")
    ['', 1795190745, '.', 10, '']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


@dataclass(slots=True, eq=False)
class Group:
    """Legs that are one call now.

    `changed` is when (by `now`) it was last touched. `links` is what joined two
    legs and when (ms) at the earliest; one leg dialling another is not in it.
    """

    legs: dict[str, Leg] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    digits: list[tuple[float, Leg, Digit]] = field(default_factory=list)
    links: dict[tuple[str, str], int] = field(default_factory=dict)
    changed: float = 0.0
    due: float | None = None

    @property
    def is_over(self) -> bool:
        """Every leg that was seen is gone."""
        return all(leg.gone_at is not None for leg in self.legs.values())

    @property
    def has_loose_ends(self) -> bool:
        """Something that must still come is missing: do not conclude too early.

        A Local channel with one half, a dialled leg whose dialling was not
        seen, an attempt without an outcome, an answered leg nobody answered.
        """
        for leg in self.legs.values():
            if leg.name.is_local and leg.twin is None:
                return True
            if (
                leg.born == "Down"
                and leg.parent is None
                and leg.originated_at is None
                and not leg.name.is_local
            ):
                return True
            if any(attempt.is_open for attempt in leg.attempts.values()):
                return True
        return False

    def winner(self) -> Call | None:
        """The oldest call: the one that goes on."""
        if len(self.calls) == 1:
            return self.calls[0]
        return min(self.calls, key=lambda call: call.age, default=None)

    def merged_at(self, call: Call) -> int | None:
        """When (ms) `call` became one with an older call of the group; None if it is the oldest.

        The first time a leg of its own met a leg of another call.
        """
        if call.joined_at is None or call is self.winner():
            return None
        met = [at for (one, two), at in self.links.items() if self._is_between(call, one, two)]
        return min(met, default=call.joined_at)

    def _is_between(self, call: Call, one: str, two: str) -> bool:
        mine, theirs = self.legs[one].root().call, self.legs[two].root().call
        return mine is not theirs and mine is not None and theirs is not None and call in (mine, theirs)

    def absorb(self, other: Group) -> None:
        """Take over the legs and calls of `other`, which is dead afterwards."""
        for leg in other.legs.values():
            leg.group = self
        self.legs.update(other.legs)
        self.calls.extend(other.calls)
        self.digits.extend(other.digits)
        self.links.update(other.links)
        self.changed = max(self.changed, other.changed)
        other.legs = {}
        other.calls = []
        other.digits = []
        other.links = {}
