"""Legs, calls and groups: what is kept while calls run. Pure.

A *leg* is one channel, with everything the events said about it. A *call*
begins with an originating leg. A *group* is all legs that are connected by
dialling, Local channels, bridges, transfers or linkedids. Most groups have
one call. Where two calls become one (attended transfer, a bridge made by
hand) the group has both; the oldest goes on, the younger ones end as merged.

A leg keeps *evidence*, each piece with Asterisk's own timestamp, and reduces
it by that timestamp, never by arrival: what is concluded from it does not
depend on how the events of different channels were interleaved on the wire.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from daemon.ari.events import Channel
from daemon.calls.channel import NO_NUMBER, PREPARING, RECORDING, Name


@dataclass(slots=True)
class Attempt:
    """One leg dialling another: the Dial events of one (caller, peer) pair."""

    peer: Leg
    began: int
    answered: int | None = None
    ended: int | None = None
    status: str = ""

    def see(self, status: str, at: int) -> None:
        """Take in one Dial event. The first final status is the attempt's."""
        self.began = min(self.began, at)
        if status == "ANSWER":
            self.answered = at if self.answered is None else min(self.answered, at)
        elif status in _FINAL and (self.ended is None or (at, status) < (self.ended, self.status)):
            self.ended, self.status = at, status

    @property
    def is_open(self) -> bool:
        """Nothing final was said about it yet."""
        return self.answered is None and self.ended is None


_FINAL = frozenset(("BUSY", "NOANSWER", "CANCEL", "CONGESTION", "CHANUNAVAIL", "DONTCALL", "TORTURE"))


@dataclass(slots=True, eq=False)
class Digit:
    """A DTMF digit that is still to be told."""

    digit: str
    at: int
    duration_ms: int


@dataclass(slots=True, eq=False)
class Leg:
    """One channel. Times are milliseconds since the epoch, None = not seen.

    `born` is the state in ChannelCreated: Ring came in from a phone, Down was
    made by Asterisk; None where the creation was not seen. `seen_at` is by
    `now` (s): when the first event about it was received.
    """

    id: str
    name: Name
    created: int
    group: Group
    seen_at: float = 0.0
    number: str = ""
    born: str | None = None
    exten: str = ""
    exten_at: int = 0
    up_at: int | None = None
    up_application: str = ""
    served_by: str = ""
    served_at: int = 0
    gone_at: int | None = None
    cause: int | None = None
    cause_text: str = ""
    hung_up_at: int | None = None
    originated_at: int | None = None
    parent: Leg | None = None
    parent_at: int = 0
    twin: Leg | None = None
    linkedids: list[str] = field(default_factory=list)
    call: Call | None = None
    reconciled: bool = False
    ended_unseen: bool = False
    redirected: bool = False
    attempts: dict[str, Attempt] = field(default_factory=dict)
    partners: dict[str, int] = field(default_factory=dict)
    recordings: dict[str, int] = field(default_factory=dict)

    @property
    def is_its_own(self) -> bool:
        """No other call's linkedid was seen on it."""
        return self.linkedids in ([], [self.id])

    @property
    def may_hang_up(self) -> bool:
        """Somebody sits at it: no half of a Local channel, no phone that only forwarded the call."""
        return not self.name.is_local and not self.redirected

    @property
    def counter(self) -> int | None:
        """The counter in a uniqueid `EPOCH.COUNTER`, which restarts with Asterisk."""
        _, dot, counter = self.id.rpartition(".")
        return int(counter) if dot and counter.isdecimal() else None

    def see(self, channel: Channel, at: int) -> None:
        """Take in what a snapshot of this channel says at `at`."""
        dialplan = channel.dialplan
        exten = dialplan.exten
        if exten and not self._is_no_number(exten) and (not self.exten or at < self.exten_at):
            self.exten, self.exten_at = exten, at
        application = dialplan.app_name
        if (
            application
            and channel.state == "Up"
            and application not in PREPARING
            and (not self.served_by or at < self.served_at)
        ):
            self.served_by, self.served_at = application, at
        if not self.number:
            self.number = channel.caller.number
        if channel.channelvars:
            self.record(channel.channelvars.get(RECORDING, ""), at)

    def _is_no_number(self, exten: str) -> bool:
        """A Local channel that Asterisk originates begins at its own extension: nobody dialled that."""
        return exten in NO_NUMBER or (self.name.half == "1" and exten == self.name.peer.partition("@")[0])

    def record(self, path: str, at: int) -> None:
        """A recording of this leg was begun under `path`."""
        if path:
            file = path.rpartition("/")[2]
            self.recordings[file] = min(at, self.recordings.get(file, at))

    def dialled(self, peer: Leg, status: str, at: int) -> None:
        """This leg dials `peer` and hears `status`."""
        attempt = self.attempts.get(peer.id)
        if attempt is None:
            attempt = self.attempts[peer.id] = Attempt(peer, at)
        attempt.see(status, at)
        if peer.parent is None or at < peer.parent_at:
            peer.parent, peer.parent_at = self, at

    def root(self) -> Leg:
        """The leg that began it: up through who dialled whom and Local channels."""
        seen: set[str] = set()
        leg = self
        while leg.id not in seen:
            seen.add(leg.id)
            if leg.call is not None:
                return leg
            if leg.parent is not None:
                leg = leg.parent
            elif leg.twin is not None and leg.name.half == "2":
                leg = leg.twin
            else:
                return leg
        return leg


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
    """Legs that are one call now. `key` names it where it is stored: the id of its first leg.

    `changed` is when (by `now`) it was last touched. `links` is what joined two
    legs and when (ms) at the earliest; one leg dialling another is not in it.
    """

    key: str
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
