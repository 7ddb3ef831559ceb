"""What the web shows, as callables that the root provides. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from daemon.calls.statistics import CallStatistics
from daemon.console.views import CallRow, RequestRow
from daemon.jobs.statistics import RequestStatistics
from daemon.snapshot import Snapshot


def _nothing() -> Mapping[str, Mapping[str, int]]:
    return {}


@dataclass(frozen=True, slots=True)
class Sources:
    """Each is asked anew for every request and must be quick: it runs on the hub.

    `counters` are the console's numbers by dotted name; `event_counts` and
    `endpoints` are by Asterisk's name, then by event type, or by the
    endpoint's state. `started`: everything has been built and begun. `requests`
    (folder or None, how many) and `answered` are None where no queue runs.
    """

    snapshot: Callable[[], Snapshot]
    calls: Callable[[], Sequence[CallRow]]
    counters: Callable[[], Mapping[str, int | float]]
    event_counts: Callable[[], Mapping[str, Mapping[str, int]]]
    statistics: CallStatistics
    timezone: tzinfo
    started: Callable[[], bool]
    endpoints: Callable[[], Mapping[str, Mapping[str, int]]] = _nothing
    requests: Callable[[str | None, int], Sequence[RequestRow]] | None = None
    answered: RequestStatistics | None = None
