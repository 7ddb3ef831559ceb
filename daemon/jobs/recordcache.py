"""All records as they were last seen, and what is asked of them: in their order, counted, by sender. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import get_args

from daemon.jobs.model import FINAL, Record, State

STATES: tuple[State, ...] = get_args(State)
OPEN: tuple[State, ...] = tuple(state for state in STATES if state not in FINAL)


class RecordCache:
    """Records by id. Open ones are few and looked at all the time; the others are many."""

    def __init__(self) -> None:
        self._by_state: dict[State, dict[str, Record]] = {state: {} for state in STATES}
        self._requests: dict[State, int] = dict.fromkeys(STATES, 0)
        self._state_of: dict[str, State] = {}

    def __len__(self) -> int:
        return len(self._state_of)

    def put(self, record: Record) -> None:
        """It is so now."""
        request_id = record.request.request_id
        self.drop(request_id)
        self._state_of[request_id] = record.state
        self._by_state[record.state][request_id] = record
        self._requests[record.state] += record.kind == "request"

    def drop(self, request_id: str) -> None:
        """It is gone."""
        state = self._state_of.pop(request_id, None)
        if state is not None:
            self._requests[state] -= self._by_state[state].pop(request_id).kind == "request"

    def get(self, request_id: str) -> Record | None:
        """One record."""
        state = self._state_of.get(request_id)
        return None if state is None else self._by_state[state][request_id]

    def listing(self, states: Collection[State]) -> list[Record]:
        """Those in these states, first come first."""
        return sorted(self._in(states or OPEN), key=_turn)

    def latest(self, most: int, states: Collection[State]) -> list[Record]:
        """The last changed first."""
        return sorted(self._in(states or STATES), key=lambda r: (-r.changed_at, r.request.request_id))[:most]

    def oldest(self, states: Collection[State]) -> list[Record]:
        """The last changed last."""
        return sorted(self._in(states), key=lambda r: (r.changed_at, r.request.request_id))

    def counts(self) -> dict[State, int]:
        """Requests by state."""
        return dict(self._requests)

    def recent(self, sender: str | None, since: float) -> int:
        """How many were accepted since then (UTC s), of one sender in lower case, or (None) of all."""
        return sum(
            record.accepted_at >= since and (sender is None or record.request.from_email.lower() == sender)
            for record in self._in(STATES)
        )

    def failed_with(self, sender: str, since: float, codes: Collection[str]) -> bool:
        """Whether a record of the sender since then has one of these failures."""
        return any(
            record.failure is not None
            and record.failure.code in codes
            and record.accepted_at >= since
            and record.request.from_email.lower() == sender
            for record in self._in(STATES)
        )

    def _in(self, states: Iterable[State]) -> Iterable[Record]:
        return [record for state in states for record in self._by_state[state].values()]


def _turn(record: Record) -> tuple[float, float, str]:
    return (record.queued_at, record.accepted_at, record.request.request_id)
