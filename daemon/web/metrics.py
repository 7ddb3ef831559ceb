"""The picture for Prometheus, read when it is scraped. Adapter of prometheus_client.

Nothing is kept here but which labels were given out: the numbers are those of
the snapshot, the counters and the call statistics. Names and meanings are in
docs/http.md. A number that the root does not provide has no series.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from daemon.calls.statistics import OTHER, CallStatistics, Labels
from daemon.jobs.statistics import RequestStatistics
from daemon.snapshot import HaStatus, Snapshot, health
from daemon.web.figures import OF_ASTERISK, OF_BROKER, OF_CLUSTER, OF_NODE, Figure
from daemon.web.sources import Sources

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_EVENT_TYPES = 80
MAX_ENDPOINT_STATES = 10

Row = tuple[Sequence[str], float]


class Metrics:
    """The text of /metrics, from a registry of our own: nothing global is in it."""

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Picture(sources))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Prometheus' text format 0.0.4, UTF-8."""
        return generate_latest(self._registry)


class _Picture(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._event_types = Labels(MAX_EVENT_TYPES)
        self._endpoint_states = Labels(MAX_ENDPOINT_STATES)

    def collect(self) -> Iterable[Metric]:
        now, counters = self._sources.snapshot(), self._sources.counters()
        yield from _of_node(now, counters)
        yield from _of_calls(self._sources.statistics)
        if self._sources.answered is not None:
            yield from _of_requests(self._sources.answered)
        asterisks = [each.name for each in now.asterisk]
        yield _gauge(
            "arimonitor_websocket_connected",
            "1 if the event websocket is connected.",
            ("server",),
            [((each.name,), each.connected) for each in now.asterisk],
        )
        yield from _figures(OF_ASTERISK, "asterisk", "server", asterisks, counters)
        yield _gauge(
            "arimonitor_last_event_age_seconds",
            "Seconds since the last event; no series before the first.",
            ("server",),
            [((each.name,), each.last_event_s) for each in now.asterisk if each.last_event_s is not None],
        )
        yield _counter(
            "arimonitor_events_total",
            f"Events received; types beyond {MAX_EVENT_TYPES} are {OTHER}.",
            ("server", "type"),
            _bounded(self._sources.event_counts(), self._event_types),
        )
        yield _gauge(
            "arimonitor_endpoints",
            "Endpoints by state, as Asterisk says it.",
            ("server", "state"),
            _bounded(self._sources.endpoints(), self._endpoint_states),
        )
        yield _gauge(
            "arimonitor_broker_connected",
            "1 if the broker is connected.",
            ("broker",),
            [((each.name,), each.connected) for each in now.brokers],
        )
        yield from _figures(OF_BROKER, "broker", "broker", [each.name for each in now.brokers], counters)


def _of_node(now: Snapshot, counters: Mapping[str, int | float]) -> Iterator[Metric]:
    build = {"version": now.version, "node": now.node, "python": ".".join(map(str, sys.version_info[:3]))}
    yield InfoMetricFamily("arimonitor_build", "What runs here.", value=build)
    yield _gauge("arimonitor_problems", "What /health finds wrong.", (), [((), len(health(now)))])
    yield _gauge("arimonitor_master", "1 if this node is master.", (), [((), now.role == "master")])
    yield _gauge("arimonitor_epoch", "Grows with every election.", (), [((), now.epoch)])
    if now.ha is not None:
        yield _gauge(
            "arimonitor_ha_connected",
            "1 if the election's store is reachable.",
            ("backend",),
            [((now.ha.backend,), now.ha.connected)],
        )
        yield from _of_election(now.ha)
    if now.queue is not None:
        folders = ("pending", "processing", "completed", "failed")
        yield _gauge(
            "arimonitor_queue_requests",
            "Requests by folder of the queue.",
            ("folder",),
            [((folder,), getattr(now.queue, folder)) for folder in folders],
        )
    yield _gauge(
        "arimonitor_service_up",
        "1 while the service runs.",
        ("service",),
        [((each.name,), each.state in ("starting", "running")) for each in now.services],
    )
    yield _counter(
        "arimonitor_service_deaths_total",
        "Times the service died and was started again.",
        ("service",),
        [((each.name,), each.restarts) for each in now.services],
    )
    for figure in (*OF_NODE, *OF_CLUSTER):
        if figure.key in counters:
            yield _family(figure.name, figure.text, (), [((), counters[figure.key] * figure.unit)])


def _of_election(ha: HaStatus) -> Iterator[Metric]:
    if ha.lease_left_s is not None:
        yield _gauge(
            "arimonitor_lease_seconds",
            "Seconds that this node's lease counts if it is not renewed.",
            (),
            [((), ha.lease_left_s)],
        )
    if ha.nodes:
        here = sum(node.here for node in ha.nodes)
        yield _gauge(
            "arimonitor_nodes",
            "Nodes, as this one sees them.",
            ("state",),
            [(("here",), here), (("away",), len(ha.nodes) - here)],
        )


def _of_calls(statistics: CallStatistics) -> Iterator[Metric]:
    yield _counter(
        "arimonitor_calls_total",
        "Calls by what they reached (received, answered, ended) and the origin's TYPE.",
        ("status", "origin_type"),
        [(key, number) for key, number in sorted(statistics.calls.items())],
    )
    yield _counter(
        "arimonitor_calls_ended_total",
        "Ended calls by disposition.",
        ("disposition",),
        [((disposition,), number) for disposition, number in statistics.endings.items()],
    )
    yield HistogramMetricFamily(
        "arimonitor_call_duration_seconds",
        "Ended calls by how long they lasted, from the first channel to the last hangup.",
        buckets=statistics.durations,
        sum_value=statistics.seconds,
    )


def _of_requests(statistics: RequestStatistics) -> Iterator[Metric]:
    yield _counter(
        "arimonitor_requests_total",
        "Answered requests by command and outcome (done, nothing, failed, refused, help).",
        ("command", "outcome"),
        [(key, number) for key, number in sorted(statistics.requests.items())],
    )
    yield _counter(
        "arimonitor_mails_ignored_total",
        "Mails that were left alone, by why.",
        ("why",),
        [((why,), number) for why, number in sorted(statistics.left_alone.items())],
    )
    yield _counter("arimonitor_mails_aside_total", "Mails put aside.", (), [((), statistics.aside)])
    yield HistogramMetricFamily(
        "arimonitor_request_seconds",
        "Seconds from the acceptance of a request to its answer.",
        buckets=statistics.durations,
        sum_value=statistics.seconds,
    )


def _figures(
    figures: Sequence[Figure],
    prefix: str,
    label: str,
    names: Sequence[str],
    counters: Mapping[str, int | float],
) -> Iterator[Metric]:
    for figure in figures:
        keys = [(name, f"{prefix}.{name}.{figure.key}") for name in names]
        rows = [((name,), counters[key] * figure.unit) for name, key in keys if key in counters]
        if rows:
            yield _family(figure.name, figure.text, (label,), rows)


def _bounded(counts: Mapping[str, Mapping[str, int]], labels: Labels) -> list[Row]:
    """(server, value) rows; what has no label of its own is summed up as "other"."""
    sums: dict[tuple[str, str], int] = {}
    for server, by_value in counts.items():
        for value, number in by_value.items():
            key = (server, labels.of(value))
            sums[key] = sums.get(key, 0) + number
    return list(sums.items())


def _family(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    return (_counter if name.endswith("_total") else _gauge)(name, text, labels, rows)


def _counter(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family
