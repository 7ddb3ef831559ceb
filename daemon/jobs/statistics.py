"""Requests counted for the metrics: how they ended, how long from the mail to the answer. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from types import MappingProxyType

from daemon.jobs.model import NothingFound, Record

BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400)
"""Upper bounds in seconds."""


class RequestStatistics:
    """Counts since the start of the process. Labels are the product's own words: bounded."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], int] = {}
        self._ignored: dict[str, int] = {}
        self._durations = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self.mails = 0
        self.aside = 0

    def answered(self, record: Record, now: float) -> None:
        """The answer of this record went out. `now` in UTC seconds since 1970."""
        key = (record.request.command or record.kind, outcome_of(record))
        self._requests[key] = self._requests.get(key, 0) + 1
        if record.kind == "request":
            seconds = max(0.0, now - record.accepted_at)
            self._durations[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds

    def ignored(self, why: str) -> None:
        """A mail was left alone."""
        self._ignored[why] = self._ignored.get(why, 0) + 1

    @property
    def requests(self) -> Mapping[tuple[str, str], int]:
        """How many by command and outcome."""
        return MappingProxyType(self._requests)

    @property
    def left_alone(self) -> Mapping[str, int]:
        """How many mails by why they were left alone."""
        return MappingProxyType(self._ignored)

    @property
    def durations(self) -> list[tuple[str, float]]:
        """(upper bound, how many so far), as Prometheus wants a histogram."""
        rows, total = [], 0
        for bound, number in zip((*map(str, BUCKETS), "+Inf"), self._durations, strict=True):
            total += number
            rows.append((bound, float(total)))
        return rows

    @property
    def seconds(self) -> float:
        """Sum over all answered requests."""
        return self._seconds


def outcome_of(record: Record) -> str:
    """One word: done, nothing, failed, refused, help."""
    if record.kind != "request":
        return "refused" if record.kind == "refusal" else "help"
    if record.failure is not None:
        return "failed"
    return "nothing" if isinstance(record.outcome, NothingFound) else "done"
