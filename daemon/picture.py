"""The snapshot and the counters, filled from what the services say of themselves. Root."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from daemon import __version__
from daemon.brokers import OWN
from daemon.console.views import CallRow
from daemon.directory.loader import FILES
from daemon.electing import Cluster
from daemon.machines.mirror import Mirror
from daemon.outbox.publisher import Publisher
from daemon.requests import Requests
from daemon.runtime.hubwatch import HubWatch
from daemon.runtime.supervisor import Supervisor
from daemon.settings import Settings
from daemon.snapshot import (
    AsteriskStatus,
    BrokerStatus,
    HaStatus,
    HubStatus,
    NodeStatus,
    Problem,
    ServiceStatus,
    Snapshot,
)
from daemon.watching import Watched
from ha.model import View

_OF_AN_ASTERISK = (
    "events active_calls malformed reconnects queue_events overflowed tracker_errors unstored "
    "gaps gap_seconds"
).split()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the picture comes from. `started` is on the monotonic clock (s)."""

    settings: Callable[[], Settings]
    watched: Callable[[], Sequence[Watched]]
    publishers: Callable[[], Mapping[str, Publisher]]
    waiting: Callable[[], Mapping[str, int]]
    supervisor: Supervisor
    hub: HubWatch
    outbox: Callable[[], Mapping[str, Any]]
    log_path: Callable[[], str | None]
    cluster: Cluster
    lab: bool
    started: float
    requests: Requests | None = None


def snapshot(sources: Sources) -> Snapshot:
    """The whole daemon at this moment."""
    settings = sources.settings()
    hub = sources.hub.status()
    view = sources.cluster.view()
    return Snapshot(
        node=settings.node.name,
        role=view.role,
        epoch=view.epoch,
        version=__version__,
        uptime_s=round(time.monotonic() - sources.started, 1),
        asterisk=tuple(_asterisk(each) for each in sources.watched()),
        brokers=tuple(_brokers(sources)),
        ha=_ha(view, ZoneInfo(settings.node.timezone)),
        mail=sources.requests.mail_status() if sources.requests is not None else None,
        queue=sources.requests.queue_status() if sources.requests is not None else None,
        lab=sources.lab,
        shadow=settings.node.shadow,
        services=tuple(_services(sources.supervisor)),
        hub=HubStatus(float(hub["p50_ms"]), float(hub["p99_ms"]), float(hub["max_ms"])),  # type: ignore[arg-type]
        log=sources.log_path(),
        notices=tuple(_notices(sources)),
        advice=tuple(Problem("ha", sentence) for sentence in view.advice),
    )


def counters(sources: Sources) -> dict[str, int | float]:
    """Numbers by dotted name, for `stats` and `get`; "events" and "active_calls" are over all Asterisks."""
    numbers: dict[str, int | float] = {"events": 0, "active_calls": 0, "uptime_s": 0}
    for each in sources.watched():
        name = each.settings.name
        gaps = {"gaps": each.reconciler.gaps, "gap_seconds": round(each.reconciler.gap_seconds, 1)}
        status = {**each.monitor.status(), **gaps}
        numbers["events"] += _number(status["events"])
        numbers["active_calls"] += _number(status["active_calls"])
        for key in _OF_AN_ASTERISK:
            numbers[f"asterisk.{name}.{key}"] = _number(status[key])
    for publisher in sources.publishers().values():
        said = publisher.status()
        for key in (
            "outbox",
            "oldest_s",
            "published",
            "returned",
            "nacked",
            "sent_again",
            "in_flight",
            "parked",
        ):
            numbers[f"broker.{said['name']}.{key}"] = _number(said[key])
    for key, value in sources.outbox().items():
        if isinstance(value, int | float):
            numbers[f"outbox.{key}"] = value
    for key, value in sources.hub.status().items():
        numbers[f"hub.{key}"] = _number(value)
    numbers.update(sources.cluster.counters())
    if sources.requests is not None:
        numbers.update(sources.requests.counters())
    numbers["uptime_s"] = round(time.monotonic() - sources.started, 1)
    return numbers


def event_counts(watched: Iterable[Watched]) -> dict[str, Mapping[str, int]]:
    """Events received by Asterisk and type."""
    found: dict[str, Mapping[str, int]] = {}
    for each in watched:
        by_type = each.monitor.status()["events_by_type"]
        found[each.settings.name] = by_type if isinstance(by_type, Mapping) else {}
    return found


def endpoint_counts(watched: Iterable[Watched]) -> dict[str, Mapping[str, int]]:
    """How many endpoints are in which state, by Asterisk."""
    return {each.settings.name: Counter(view.state for view in each.endpoints.views()) for each in watched}


def call_rows(watched: Iterable[Watched]) -> list[CallRow]:
    """The running calls, oldest first."""
    rows = []
    for each in watched:
        directory = each.holder.current
        for view in each.tracker.calls():
            client = directory.client_of(view.origin) or directory.client_of(view.destiny)
            rows.append(
                CallRow(
                    server=each.settings.name,
                    call=view.call,
                    origin=view.origin,
                    destiny=view.destiny,
                    client=client,
                    status=view.status,
                    since=view.since,
                    legs=len(view.legs),
                )
            )
    return sorted(rows, key=lambda row: (row.since, row.call))


def _asterisk(watched: Watched) -> AsteriskStatus:
    monitor, listener = watched.monitor.status(), watched.listener.status()
    last = _number(monitor["last_event"])
    connected = bool(listener["connected"])
    return AsteriskStatus(
        name=watched.settings.name,
        connected=connected,
        events=int(_number(monitor["events"])),
        active_calls=int(_number(monitor["active_calls"])),
        url=str(listener["url"]),
        last_event_s=round(time.time() - last, 1) if last else None,
        backlog=int(_number(monitor["queue_events"])),
        gaps=watched.reconciler.gaps,
        error=None if connected else str(listener["state"]),
    )


def _ha(view: View, zone: ZoneInfo) -> HaStatus:
    def moment(at: float) -> str | None:
        return datetime.fromtimestamp(at, zone).isoformat(timespec="milliseconds") if at else None

    return HaStatus(
        backend=view.backend,
        connected=view.connected,
        master=view.master,
        mode=view.mode,
        reason=view.reason,
        since=moment(view.since),
        lease_left_s=None if view.lease_left is None else round(view.lease_left, 3),
        nodes=tuple(
            NodeStatus(
                seen.member.name, seen.here, seen.member.mode, seen.member.priority, moment(seen.since)
            )
            for seen in view.members
        ),
    )


def _brokers(sources: Sources) -> Iterable[BrokerStatus]:
    publishers = sources.publishers()
    slave = not sources.cluster.alone and sources.cluster.view().role == "slave"
    for broker, publisher in publishers.items():
        status = _broker(publisher, sources.settings())
        if slave and not broker.startswith(OWN):
            status = replace(status, connected=False, error=None, standby=True)
        yield status
    for name, count in sources.waiting().items():
        if count > 0 and name not in publishers:
            error = "no way out: this message server is in no __MQSERVERS__.DEF any more"
            yield BrokerStatus(name or "mq", connected=False, outbox=count, oldest_s=0.0, error=error)


def _broker(publisher: Publisher, settings: Settings) -> BrokerStatus:
    said = publisher.status()
    default_file = said["name"] == "file" and settings.mq.backend == "file"
    trouble = said["blocked"] or (said["last_error"] if not said["connected"] or said["parked"] else "")
    return BrokerStatus(
        name=str(said["name"]),
        connected=bool(said["connected"]),
        outbox=int(_number(said["outbox"])),
        oldest_s=_number(said["oldest_s"]),
        backend="file" if default_file else "rabbitmq",
        confirmed=int(_number(said["published"])),
        stuck=int(_number(said["parked"])),
        error=str(trouble) if trouble else None,
    )


def _services(supervisor: Supervisor) -> Iterable[ServiceStatus]:
    for status in supervisor.status():
        error = status["last_error"]
        yield ServiceStatus(
            name=str(status["name"]),
            state=str(status["state"]),
            restarts=int(_number(status["deaths"])),
            error=str(error) if error else None,
        )


def _notices(sources: Sources) -> Iterable[Problem]:
    for each in sources.watched():
        name = each.settings.name
        if len(each.holder.loaded.missing) == len(FILES):
            what = f"no definition files in {each.settings.definitions}: clients and GUIDs are not known"
            yield Problem(f"definitions {name}", what)
        if each.looks.looker.stuck:
            yield Problem(f"pjsip {name}", each.looks.looker.problem)
        if each.mirror is not None and each.mirror.problem:
            yield Problem(f"files {name}", _unfetched(each.mirror, has_cdr=each.settings.cdr is not None))
    yield from sources.cluster.notices()
    degraded = sources.outbox().get("degraded")
    if degraded:
        yield Problem("outbox", str(degraded))
    if sources.requests is not None:
        yield from sources.requests.notices()


def _unfetched(mirror: Mirror, *, has_cdr: bool) -> str:
    """What can't be fetched, and what depends on it."""
    age = mirror.status()["age_s"]
    since = "of an earlier run" if age is None else f"of {_number(age):.0f} s ago"
    cdr = ", and calls missed entirely can't be looked up" if has_cdr and mirror.away else ""
    return f"{mirror.problem}: the definitions {since} stay in force{cdr}"


def _number(value: object) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value
