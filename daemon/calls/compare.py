"""Compares our messages with another system's, by call and field. Pure.

Both sides are messages as decoded JSON, in the v3 form (`data`, with `call`
and `version`) or in an older one (`payload`, or `data` without them). Messages
are gathered into calls, calls are matched, and what differs is listed:

- calls: by `call` where both sides have it, else by origin, destiny and a
  creation time within a second, the nearest first;
- types: how many messages of each type a call has. Where the other side is in
  the old form, types that form never had count only if it sent some;
- fields: between two v3 messages all of them, else those of the older form.
  Times are compared as moments, whatever their offset: to the millisecond
  between two v3 messages, else within a second. `duration` and `billsec` are
  equal within a second, `recordings` in any order.

What two copies of one fact may differ in is not compared: `timestamp`, `seq`,
`recovered`, the node. Neither is `server` (a trace is one Asterisk's), nor
`id`, but between two v3 messages of one server. Left out on both sides: copies
(the same id again), and the types that no call event tells of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeGuard

from daemon.calls.messages import V27_TYPES

NEAR_MS = 1000
"""Two creation times within this many milliseconds may be one call's."""

NOT_OF_CALL_EVENTS = frozenset(
    {"recording-ready", "recording-failed", "click-to-call-result", "endpoint-status", "monitor-gap"}
)
"""Types that a replay of call events can't produce, so that they are not missed."""

_TIMES = frozenset({"creationtime", "answertime", "endtime", "agent_answertime"})
_SECONDS = frozenset({"duration", "billsec"})
_UNORDERED = frozenset({"recordings"})


class NotAMessage(ValueError):
    """What was read is no call message; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message, ready to be compared. `created` is in ms since the epoch, None where unknown."""

    type: str
    id: str | None
    server: str | None
    v3: bool
    call: str | None
    origin: str | None
    destiny: str | None
    created: int | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: `call` names the call, `what` is the rest of the sentence."""

    call: str
    what: str

    def __str__(self) -> str:
        return f"{self.call}: {self.what}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it: `calls` were found on both sides."""

    calls: int
    differences: tuple[Difference, ...]

    @property
    def exit_code(self) -> int:
        """0: nothing differs; 1: something does."""
        return 1 if self.differences else 0

    def lines(self) -> list[str]:
        """One line for each difference, and one that sums up."""
        found = f"{self.calls} calls on both sides, {len(self.differences)} differences"
        return [*map(str, self.differences), found]


@dataclass(slots=True)
class _Call:
    call: str | None
    origin: str | None
    destiny: str | None
    created: int | None
    messages: list[Said] = field(default_factory=list)

    def __str__(self) -> str:
        when = "time unknown" if self.created is None else _written(self.created)
        name = f"call {self.call}" if self.call else "call"
        return f"{name} ({self.origin or '?'} -> {self.destiny or '?'}, {when})"

    def types(self) -> set[str]:
        return {message.type for message in self.messages}


def understand(message: object, zone: tzinfo = UTC) -> Said:
    """One decoded message. `zone` is that of times which name none. Raises NotAMessage."""
    if not isinstance(message, Mapping):
        raise NotAMessage("it is no JSON object")
    operation = message.get("operation")
    if not isinstance(operation, Mapping) or not isinstance(operation.get("type"), str):
        raise NotAMessage("it has no operation with a type")
    fields = message.get("data", message.get("payload"))
    if not isinstance(fields, Mapping):
        raise NotAMessage("it has neither data nor payload")
    call = _text(fields.get("call"))
    return Said(
        type=operation["type"],
        id=_text(operation.get("id")),
        server=_text(operation.get("server")),
        v3=operation.get("version") == 3 and "data" in message and call is not None,
        call=call,
        origin=_text(fields.get("origin")),
        destiny=_text(fields.get("destiny")),
        created=moment(fields.get("creationtime"), zone),
        fields=fields,
    )


def moment(value: object, zone: tzinfo = UTC) -> int | None:
    """A time as milliseconds since the epoch, None where it is none.

    Understood: ISO 8601 (without an offset it is in `zone`), and numbers,
    seconds or milliseconds since the epoch.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        milliseconds = value * 1000 if abs(value) < 1e11 else value
        return round(milliseconds) if abs(milliseconds) < 1e15 else None
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(value)
        return round((when if when.tzinfo else when.replace(tzinfo=zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def compare(
    ours: Iterable[Said],
    theirs: Iterable[Said],
    *,
    ignore: frozenset[str] = frozenset(),
    zone: tzinfo = UTC,
) -> Comparison:
    """What differs. `ignore` names fields that are not compared; `zone` is that of times without one."""
    ours, theirs = _comparable(ours), _comparable(theirs)
    counted = _counted_types(ours, theirs)
    pairs, extra, missing = _match(_calls(ours), _calls(theirs))
    found: list[Difference] = []
    for calls, sentence in (
        (missing, "we do not have it; they have"),
        (extra, "they do not have it; we have"),
    ):
        for call in calls:
            if counted is None or call.types() & counted:
                found.append(Difference(str(call), f"{sentence} {_listed(call)}"))
    for our, their in pairs:
        found += _differences(our, their, counted, ignore, zone)
    return Comparison(len(pairs), tuple(found))


def _comparable(messages: Iterable[Said]) -> list[Said]:
    kept: list[Said] = []
    seen: set[tuple[str, str]] = set()
    for message in messages:
        if message.type in NOT_OF_CALL_EVENTS:
            continue
        if message.id is not None:
            if (message.type, message.id) in seen:
                continue
            seen.add((message.type, message.id))
        kept.append(message)
    return kept


def _counted_types(ours: list[Said], theirs: list[Said]) -> set[str] | None:
    """The types that count, None for all: a side in the old form is not asked for what that never had."""
    if all(m.v3 for m in ours) and all(m.v3 for m in theirs):
        return None
    old = [side for side in (ours, theirs) if not all(m.v3 for m in side)]
    return set(V27_TYPES).union(*({m.type for m in side} for side in old))


class _Nearby:
    """Calls by origin, destiny and creation time: a load test has thousands between the same two."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str | None, str | None, int | None], list[_Call]] = defaultdict(list)

    def add(self, call: _Call) -> None:
        slot = None if call.created is None else call.created // NEAR_MS
        self._calls[call.origin, call.destiny, slot].append(call)

    def to(self, one: _Call | Said) -> list[_Call]:
        """Those with its origin and destiny, begun within NEAR_MS of it."""
        if one.created is None:
            return self._calls.get((one.origin, one.destiny, None), [])
        slot = one.created // NEAR_MS
        return [
            call
            for near_slot in (slot - 1, slot, slot + 1)
            for call in self._calls.get((one.origin, one.destiny, near_slot), ())
            if _apart(call.created, one.created) <= NEAR_MS
        ]


def _calls(messages: list[Said]) -> list[_Call]:
    """The calls of one side, in the order in which they first appear."""
    calls: list[_Call] = []
    by_call: dict[str, _Call] = {}
    nearby = _Nearby()
    for message in messages:
        if message.call is not None:
            home = by_call.get(message.call)
        else:
            # One call has a type once, digits apart: a second one is another call so soon after.
            near = [
                call
                for call in nearby.to(message)
                if message.type not in V27_TYPES or message.type not in call.types()
            ]
            home = min(near, key=lambda call: _apart(call.created, message.created), default=None)
        if home is None:
            home = _Call(message.call, message.origin, message.destiny, message.created)
            calls.append(home)
            if message.call is not None:
                by_call[message.call] = home
            else:
                nearby.add(home)
        home.messages.append(message)
    return calls


def _match(
    ours: list[_Call], theirs: list[_Call]
) -> tuple[list[tuple[_Call, _Call]], list[_Call], list[_Call]]:
    """Pairs, in our order; then what only we have; then what only they have."""
    their_by_call = {call.call: call for call in theirs if call.call is not None}
    partner: dict[int, _Call] = {}
    taken: set[int] = set()
    for our in ours:
        their = their_by_call.get(our.call) if our.call is not None else None
        if their is not None:
            partner[id(our)] = their
            taken.add(id(their))
    nearby = _Nearby()
    for their in theirs:
        if id(their) not in taken:
            nearby.add(their)
    near = [
        (_apart(our.created, their.created), position, our, their)
        for position, our in enumerate(ours)
        if id(our) not in partner
        for their in nearby.to(our)
        if our.call is None or their.call is None
    ]
    for _, _, our, their in sorted(near, key=lambda found: found[:2]):
        if id(our) not in partner and id(their) not in taken:
            partner[id(our)] = their
            taken.add(id(their))
    pairs = [(our, partner[id(our)]) for our in ours if id(our) in partner]
    extra = [our for our in ours if id(our) not in partner]
    return pairs, extra, [their for their in theirs if id(their) not in taken]


def _differences(
    our: _Call, their: _Call, counted: set[str] | None, ignore: frozenset[str], zone: tzinfo
) -> list[Difference]:
    found: list[Difference] = []
    name = str(our)
    types = dict.fromkeys(m.type for m in [*their.messages, *our.messages])
    for type_ in types:
        if counted is not None and type_ not in counted:
            continue
        mine = [m for m in our.messages if m.type == type_]
        others = [m for m in their.messages if m.type == type_]
        if len(mine) != len(others):
            word = "missing" if len(mine) < len(others) else "extra"
            found.append(Difference(name, f"{word} {type_}: ours {len(mine)}, theirs {len(others)}"))
        pairs = _paired(mine, others)
        for number, (a, b) in enumerate(pairs, 1):
            where = type_ if len(pairs) == 1 else f"{type_} {number}"
            found += [Difference(name, f"{where}: {what}") for what in _field_differences(a, b, ignore, zone)]
    return found


def _paired(mine: list[Said], others: list[Said]) -> list[tuple[Said, Said]]:
    """Messages of one type in one call: by id, the others in their order."""
    by_id = {m.id: m for m in others if m.id is not None}
    pairs = [(m, by_id[m.id]) for m in mine if m.id in by_id]
    first, second = {id(a) for a, _ in pairs}, {id(b) for _, b in pairs}
    rest = zip(
        (m for m in mine if id(m) not in first), (m for m in others if id(m) not in second), strict=False
    )
    return pairs + list(rest)


_ABSENT = object()


def _field_differences(our: Said, their: Said, ignore: frozenset[str], zone: tzinfo) -> list[str]:
    both_v3 = our.v3 and their.v3
    if our.v3 == their.v3:
        names = dict.fromkeys([*their.fields, *our.fields])
    else:
        names = dict.fromkeys(our.fields if their.v3 else their.fields)
    found = []
    if both_v3 and our.server == their.server and our.id != their.id:
        found.append(f"id: ours {our.id}, theirs {their.id}")
    for name in names:
        mine, other = our.fields.get(name, _ABSENT), their.fields.get(name, _ABSENT)
        if name not in ignore and not _equal(name, mine, other, 0 if both_v3 else NEAR_MS, zone):
            found.append(f"{name}: ours {_shown(mine)}, theirs {_shown(other)}")
    return found


def _equal(name: str, mine: object, other: object, slack_ms: int, zone: tzinfo) -> bool:
    if name in _TIMES:
        a, b = moment(mine, zone), moment(other, zone)
        if a is not None and b is not None:
            return abs(a - b) <= slack_ms
    if name in _SECONDS and _number(mine) and _number(other):
        return abs(mine - other) <= 1
    if name in _UNORDERED and isinstance(mine, (list, tuple)) and isinstance(other, (list, tuple)):
        return sorted(map(repr, mine)) == sorted(map(repr, other))
    # True is 1 in Python, but not in JSON.
    return isinstance(mine, bool) is isinstance(other, bool) and mine == other


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _apart(a: int | None, b: int | None) -> int:
    return 0 if a is None or b is None else abs(a - b)


def _text(value: object) -> str | None:
    """A name or number; other systems write numbers as numbers."""
    return None if value is None or value == "" else str(value)


def _shown(value: object) -> str:
    return "absent" if value is _ABSENT else "null" if value is None else repr(value)


def _written(moment_ms: int) -> str:
    try:
        return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        return f"{moment_ms} ms"


def _listed(call: _Call) -> str:
    return ", ".join(message.type for message in call.messages)
