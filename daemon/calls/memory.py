"""What the tracker knows, as bytes: stored with the messages, taken up again after a restart. Pure.

One record per group of legs. References between legs are their channel ids.
A record that can't be read (another version's, a damaged one) is refused with
an Unreadable and costs only itself: reconciliation finds the channels again.
"""

from __future__ import annotations

import msgspec

from daemon.calls.call import Attempt, Call, Digit, Group, Leg
from daemon.calls.channel import parse_name

VERSION = 1


class Unreadable(ValueError):
    """These bytes are no record of this version."""


class _Attempt(msgspec.Struct):
    peer: str
    began: int
    answered: int | None
    ended: int | None
    status: str


class _Leg(msgspec.Struct, omit_defaults=True):
    """The fields of a Leg; see there."""

    id: str
    name: str
    created: int
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
    parent: str | None = None
    parent_at: int = 0
    twin: str | None = None
    linkedids: list[str] = []
    reconciled: bool = False
    ended_unseen: bool = False
    redirected: bool = False
    attempts: list[_Attempt] = []
    partners: dict[str, int] = {}
    recordings: dict[str, int] = {}


class _Call(msgspec.Struct, omit_defaults=True):
    """The fields of a Call; waits are not kept, they begin again."""

    origin: str
    held: bool = False
    recovered: bool = False
    seq: int = 0
    announced: bool = False
    answer_told: bool = False
    ended: bool = False
    answertime: int | None = None
    answered_by: str | None = None
    agent_answertime: int | None = None
    joined_at: int | None = None


class _Digit(msgspec.Struct):
    leg: str
    digit: str
    at: int
    duration_ms: int


class _Group(msgspec.Struct):
    version: int
    key: str
    last_at: int
    legs: list[_Leg]
    calls: list[_Call]
    links: list[tuple[str, str, int]]
    digits: list[_Digit]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Group).decode
_PLAIN = tuple(
    name
    for name in _Leg.__struct_fields__
    if name not in ("name", "parent", "twin", "attempts", "linkedids", "partners", "recordings")
)
_CALL = tuple(name for name in _Call.__struct_fields__ if name != "origin")


def dump(group: Group, last_at: int) -> bytes:
    """The group as JSON. `last_at` (ms) is until when all events were seen."""
    return _encode(
        _Group(
            VERSION,
            group.key,
            last_at,
            [_dump_leg(leg) for leg in group.legs.values()],
            [_Call(call.origin.id, **{name: getattr(call, name) for name in _CALL}) for call in group.calls],
            [(one, two, at) for (one, two), at in group.links.items()],
            [_Digit(leg.id, digit.digit, digit.at, digit.duration_ms) for _, leg, digit in group.digits],
        )
    )


def load(data: bytes, now: float) -> tuple[Group, int]:
    """A group out of `dump`'s bytes, and its `last_at`; its waits begin at `now` (s). Raises Unreadable."""
    try:
        stored = _decode(data)
        if stored.version != VERSION:
            raise Unreadable(f"version {stored.version}, not {VERSION}")
        return _load(stored, now), stored.last_at
    except (msgspec.MsgspecError, KeyError) as error:
        raise Unreadable(str(error)) from error


def _dump_leg(leg: Leg) -> _Leg:
    return _Leg(
        name=str(leg.name),
        parent=leg.parent.id if leg.parent is not None else None,
        twin=leg.twin.id if leg.twin is not None else None,
        linkedids=leg.linkedids,
        attempts=[
            _Attempt(peer, attempt.began, attempt.answered, attempt.ended, attempt.status)
            for peer, attempt in leg.attempts.items()
        ],
        partners=leg.partners,
        recordings=leg.recordings,
        **{name: getattr(leg, name) for name in _PLAIN},
    )


def _load(stored: _Group, now: float) -> Group:
    group = Group(stored.key, changed=now)
    for each in stored.legs:
        leg = Leg(each.id, parse_name(each.name), each.created, group, now)
        for name in _PLAIN[2:]:
            setattr(leg, name, getattr(each, name))
        leg.linkedids, leg.partners, leg.recordings = each.linkedids, each.partners, each.recordings
        group.legs[leg.id] = leg
    for each in stored.legs:
        leg = group.legs[each.id]
        leg.parent = group.legs[each.parent] if each.parent is not None else None
        leg.twin = group.legs[each.twin] if each.twin is not None else None
        for attempt in each.attempts:
            leg.attempts[attempt.peer] = Attempt(
                group.legs[attempt.peer], attempt.began, attempt.answered, attempt.ended, attempt.status
            )
    for call in stored.calls:
        origin = group.legs[call.origin]
        origin.call = Call(origin, **{name: getattr(call, name) for name in _CALL})
        group.calls.append(origin.call)
    group.links = {(one, two): at for one, two, at in stored.links}
    group.digits = [
        (now, group.legs[each.leg], Digit(each.digit, each.at, each.duration_ms)) for each in stored.digits
    ]
    return group
