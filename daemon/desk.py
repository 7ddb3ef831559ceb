"""The console's commands, wired to the daemon. Root.

Each group takes just what it uses; here is the only place that knows both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from zoneinfo import ZoneInfo

from daemon import __version__, picture
from daemon.console.commands.calls import calls_commands
from daemon.console.commands.endpoints import Asked, endpoints_commands
from daemon.console.commands.failover import failover_commands
from daemon.console.commands.queue import queue_commands
from daemon.console.commands.recovery import recovery_commands
from daemon.console.commands.settings import settings_commands
from daemon.console.commands.system import system_commands
from daemon.console.commands.transfers import transfers_command
from daemon.console.live import Feed
from daemon.console.registry import Command, CommandError
from daemon.console.views import EndpointState, Reloaded
from daemon.directory.model import Directory
from daemon.electing import Cluster
from daemon.errors import PermanentError, TransientError
from daemon.jobs.policy import NotAllowed
from daemon.jobs.records import Deposed
from daemon.requests import Requests
from daemon.settings import Settings
from daemon.settings.keys import get, keys, with_value
from daemon.snapshot import Snapshot
from daemon.watching import Watched


@dataclass(frozen=True, slots=True)
class Wires:
    """What the commands are given of the daemon, and nothing else."""

    settings: Callable[[], Settings]
    apply: Callable[[Settings], object]
    reload: Callable[[str | None], Sequence[Reloaded]]
    snapshot: Callable[[], Snapshot]
    counters: Callable[[], Mapping[str, int | float]]
    recover: Callable[[float | None], Mapping[str, str]]
    watched: Callable[[], Sequence[Watched]]
    log_lines: Callable[[int], Sequence[str]]
    feed: Feed
    timezone: ZoneInfo
    cluster: Cluster
    requests: Requests | None = None


def commands(daemon: Wires) -> tuple[Command, ...]:
    """Every command of this version."""

    def apply(new: Settings) -> None:
        daemon.apply(new)

    knobs = settings_commands(
        settings=daemon.settings,
        get=get,
        with_value=with_value,
        apply=apply,
        counters=daemon.counters,
        names=lambda: [key.name for key in keys(daemon.settings())],
    )
    system = system_commands(
        snapshot=daemon.snapshot,
        counters=daemon.counters,
        versions=_versions(),
        reload=daemon.reload,
        log_lines=daemon.log_lines,
        knobs=knobs,
    )
    calls = calls_commands(
        calls=lambda: picture.call_rows(daemon.watched()),
        event_counts=lambda: picture.event_counts(daemon.watched()),
        feed=daemon.feed,
        timezone=daemon.timezone,
        now=time.time,
    )
    endpoints = endpoints_commands(
        directories=lambda: _directories(daemon),
        states=partial(_state, daemon),
        timezone=daemon.timezone,
        ask=partial(_ask_endpoints, daemon),
    )
    recovery = recovery_commands(recover=daemon.recover, timezone=daemon.timezone, now=time.time)
    failover = failover_commands(
        view=daemon.cluster.view,
        switchover=daemon.cluster.switchover,
        set_mode=daemon.cluster.set_mode,
        requeue=partial(_requeue, daemon),
        adopt=daemon.cluster.adopt,
        timezone=daemon.timezone,
    )
    return (*system, *calls, *recovery, *endpoints, *_queue(daemon), *failover)


def _requeue(daemon: Wires, node: str) -> str:
    if daemon.requests is None:
        raise CommandError("refused", "no queue runs on this node")
    try:
        return daemon.requests.takeover.requeue(node)
    except (NotAllowed, Deposed) as error:
        raise CommandError("refused", str(error)) from error
    except TransientError as error:
        raise CommandError("failed", str(error)) from error


def _queue(daemon: Wires) -> tuple[Command, ...]:
    if daemon.requests is None:
        return ()
    office, book = daemon.requests.office, daemon.requests.book
    commands = queue_commands(
        folders=book.folders,
        rows=office.rows,
        show=office.show,
        retry=office.retry,
        cancel=office.cancel,
        pause=office.pause,
        timezone=daemon.timezone,
        several=not daemon.cluster.alone,
    )
    return (*commands, transfers_command(daemon.requests.traffic.view))


def _directories(daemon: Wires) -> Mapping[str, Directory]:
    return {each.settings.name: each.holder.current for each in daemon.watched()}


def _state(daemon: Wires, server: str, endpoint: str) -> EndpointState | None:
    for each in daemon.watched():
        if each.settings.name == server:
            view = each.endpoints.view(endpoint)
            return EndpointState(view.state, view.address, view.since) if view is not None else None
    return None


def _ask_endpoints(daemon: Wires) -> list[Asked]:
    """Every Asterisk is looked at now; where that fails, what is known of it and why."""
    answers = []
    for each in daemon.watched():
        error, views = "", each.endpoints.views()
        try:
            views = each.endpoints.views_after(each.looks.look())
        except (TransientError, PermanentError) as failure:
            error = str(failure)
        states = {view.endpoint: EndpointState(view.state, view.address, view.since) for view in views}
        answers.append(Asked(each.settings.name, states, error, each.looks.looker.problem))
    return answers


def _versions() -> Mapping[str, str]:
    return {
        "arimonitor": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "gevent": metadata.version("gevent"),
    }
