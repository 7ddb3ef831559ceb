"""Calls counted for the metrics and the minute's line: by status and kind of origin, ends, lengths. Pure.

The root feeds it every fact; nobody else writes. Label values are bounded, and
a value keeps its label for the life of the process, so that counters only grow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from types import MappingProxyType

from daemon.calls.model import Answered, Ended, Fact, Received

UNKNOWN = "unknown"
"""The kind of an origin that is in no definition file, or has no TYPE there."""

OTHER = "other"
"""What everything beyond a bound is counted as."""

DISPOSITIONS = ("ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CANCEL")

BUCKETS = (5, 10, 20, 30, 60, 120, 180, 300, 600, 1200, 1800, 3600, 7200)
"""Upper bounds in seconds: unanswered calls end below one minute, most talks last 1 to 10."""

_LONGEST = 64


class Labels:
    """At most `limit` values of a label, first come first served; all further ones are "other"."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """The label for this value, the same one each time."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit or len(value) > _LONGEST:
            return OTHER
        self._known.add(value)
        return value


class CallStatistics:
    """Counts since the start of the process. `max_types` kinds of origin have a label of their own."""

    def __init__(self, max_types: int = 20) -> None:
        self._types = Labels(max_types)
        self._calls: dict[tuple[str, str], int] = {}
        self._endings = dict.fromkeys(DISPOSITIONS, 0)
        self._durations = [0] * (len(BUCKETS) + 1)
        self._seconds = 0

    def see(self, fact: Fact, origin_type: str | None) -> None:
        """Count one fact. `origin_type`: its origin's TYPE in the definition files, None without one."""
        match fact:
            case Received():
                self._count("received", origin_type)
            case Answered():
                self._count("answered", origin_type)
            case Ended():
                self._count("ended", origin_type)
                disposition = fact.disposition if fact.disposition in DISPOSITIONS else OTHER
                self._endings[disposition] = self._endings.get(disposition, 0) + 1
                self._durations[bisect_left(BUCKETS, fact.duration)] += 1
                self._seconds += max(0, fact.duration)

    @property
    def calls(self) -> Mapping[tuple[str, str], int]:
        """Calls by (status, kind of origin); status: received, answered, ended."""
        return MappingProxyType(self._calls)

    @property
    def endings(self) -> Mapping[str, int]:
        """Ended calls by disposition."""
        return MappingProxyType(self._endings)

    @property
    def durations(self) -> tuple[tuple[str, int], ...]:
        """Ended calls that lasted at most so many seconds: (bound, how many), cumulative, "+Inf" last."""
        rows, total = [], 0
        for bound, number in zip((*map(str, BUCKETS), "+Inf"), self._durations, strict=True):
            total += number
            rows.append((bound, total))
        return tuple(rows)

    @property
    def seconds(self) -> int:
        """Seconds of all ended calls together."""
        return self._seconds

    def _count(self, status: str, origin_type: str | None) -> None:
        kind = (origin_type or "").strip()
        key = (status, self._types.of(kind) if kind and kind != UNKNOWN else UNKNOWN)
        self._calls[key] = self._calls.get(key, 0) + 1
