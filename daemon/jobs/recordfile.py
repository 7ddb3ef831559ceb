"""The one-host store of records, over its SQLite file. Adapter: what `recordtable` does, off the hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import msgspec

from daemon.jobs.model import FINAL, Record, State
from daemon.jobs.records import Deposed, Fenced
from daemon.jobs.recordtable import Old, Row, Stale, Table

P = ParamSpec("P")
R = TypeVar("R")

_MOST = 100_000  # records that a listing gives
_OPEN: tuple[State, ...] = ("accepted", "assigned", "running", "produced", "replying", "replied")
_IN_LINE = "queued_at, accepted_at, id"
_NEWEST = "changed_at DESC, id"
_TURN = 30.0  # seconds for one call; SQLite itself waits 5 for another process


class Offloaded(Protocol):
    """`Offload.call` of a pool with one thread: the table has one caller at a time."""

    def __call__(self, fn: Callable[..., R], *data: Any, timeout: float | None = None) -> R:
        """`fn(*data)` in a native thread."""


class RecordFile:
    """A RecordStore in one file. `over_limit` are the failures that `warned` asks for."""

    def __init__(self, path: Path, call: Offloaded, *, over_limit: Sequence[str] = ()) -> None:
        self._table = Table(path)
        self._call = call
        self._over_limit = tuple(sorted(over_limit))
        self._paused: bool | None = None

    def open(self, epoch: int) -> None:
        """Open or make the file; a lower epoch is fenced from now on. Raises FatalError, TransientError."""
        self._guarded(self._table.open, epoch)

    def close(self) -> None:
        """Close the file."""
        self._guarded(self._table.close)

    def create(self, record: Record) -> bool:
        """As RecordStore says."""
        return self._guarded(self._table.create, _row(record), record.epoch)

    def read(self, request_id: str) -> Record | None:
        """As RecordStore says."""
        body = self._guarded(self._table.body, request_id)
        return None if body is None else _record(body)

    def change(self, new: Record, expected: int, *, as_master: bool = False) -> Record:  # noqa: ARG002
        """As RecordStore says; the epoch counts here always."""
        changed = msgspec.structs.replace(new, version=expected + 1)
        self._guarded(self._table.change, _row(changed), expected, new.epoch)
        return changed

    def listing(self, *states: State) -> Sequence[Record]:
        """As RecordStore says."""
        bodies = self._guarded(self._table.bodies, states or _OPEN, _IN_LINE, _MOST)
        return [_record(body) for body in bodies]

    def latest(self, most: int, *states: State) -> Sequence[Record]:
        """As RecordStore says."""
        bodies = self._guarded(self._table.bodies, states or (*_OPEN, *FINAL), _NEWEST, most)
        return [_record(body) for body in bodies]

    def counts(self) -> dict[State, int]:
        """As RecordStore says."""
        found = self._guarded(self._table.counts)
        return {state: found.get(state, 0) for state in (*_OPEN, "done", "failed")}

    def known(self, request_id: str) -> bool:
        """As RecordStore says."""
        return self._guarded(self._table.body, request_id) is not None

    def recent(self, sender: str, since: datetime) -> int:
        """As RecordStore says."""
        return self._guarded(self._table.count_since, sender, since.timestamp())

    def recent_all(self, since: datetime) -> int:
        """As RecordStore says."""
        return self._guarded(self._table.count_since, None, since.timestamp())

    def warned(self, sender: str, since: datetime) -> bool:
        """As RecordStore says."""
        return self._guarded(self._table.failed_with, sender, since.timestamp(), self._over_limit)

    def forget(self, before: float, keep: Sequence[str] | None, epoch: int) -> Sequence[str]:
        """As RecordStore says; a thousand at a time."""
        return self._guarded(self._table.forget, before, None if keep is None else list(keep), 1000, epoch)

    def attempt(self, uid: str) -> int:
        """As RecordStore says."""
        return self._guarded(self._table.attempt, uid)

    def attempted(self, uid: str) -> None:
        """As RecordStore says."""
        self._guarded(self._table.attempted, uid)

    def paused(self) -> bool:
        """As RecordStore says; nobody but this process changes it."""
        if self._paused is None:
            self._paused = bool(self._guarded(self._table.fact, "paused"))
        return self._paused

    def pause(self, on: bool) -> None:
        """As RecordStore says."""
        self._guarded(self._table.remember, "paused", int(on))
        self._paused = on

    def subscribe(self, changed: Callable[[], None]) -> None:
        """As RecordStore says: there is no other node."""

    def _guarded(self, fn: Callable[..., R], *data: Any) -> R:
        try:
            return self._call(fn, *data, timeout=_TURN)
        except Stale as error:
            raise Fenced(str(error)) from error
        except Old as error:
            raise Deposed(str(error)) from error


def _row(record: Record) -> Row:
    return (
        record.request.request_id,
        record.version,
        record.state,
        record.kind,
        record.request.from_email.lower(),
        record.failure.code if record.failure is not None else "",
        record.uid,
        record.accepted_at,
        record.queued_at,
        record.changed_at,
        msgspec.json.encode(record),
    )


def _record(body: bytes) -> Record:
    return msgspec.json.decode(body, type=Record)
