"""The composition root: a Daemon from Settings, in the order in which an event flows through it. Root.

    Asterisk --> listener --> monitor (tracker) --> outbox --> publisher --> RabbitMQ or file
                                   \\-> console, snapshot
    mailbox --> requests (daemon/requests.py) --> answers
    election (daemon/electing.py) --> roles (daemon/roles.py): which of these run now

Stop is the mirror of start: the supervisor ends the services in reverse, so
that what came in is stored before the way out closes.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from zoneinfo import ZoneInfo

from daemon import __version__, picture
from daemon.ari.server import LEFT
from daemon.brokers import Brokers
from daemon.calls.statistics import CallStatistics
from daemon.changing import Changing
from daemon.console.live import Feed
from daemon.console.registry import Registry
from daemon.console.server import ConsoleServer
from daemon.console.status import banner
from daemon.console.terminal import Terminal
from daemon.desk import Wires, commands
from daemon.electing import Cluster
from daemon.errors import FatalError, TransientError
from daemon.following import Follower
from daemon.logs import LogSystem
from daemon.outbox.keeper import Keeper
from daemon.outbox.message import Message
from daemon.outbox.store import Outbox
from daemon.performance import Performance
from daemon.requests import build
from daemon.roles import Roles
from daemon.runtime import native
from daemon.runtime.hubwatch import HubWatch
from daemon.runtime.offload import Offload
from daemon.runtime.service import Service
from daemon.runtime.signals import Signals, dump_greenlets
from daemon.runtime.supervisor import Supervisor
from daemon.runtime.systemd import Notifier, Watchdog
from daemon.settings import AsteriskSettings, Settings
from daemon.snapshot import Snapshot
from daemon.watching import Watched, watch
from daemon.web.pages import application
from daemon.web.server import WebServer
from daemon.web.sources import Sources as WebSources
from ha.deadman import Deadman
from ha.lease import spelled

log = logging.getLogger("arimonitor")

_FAREWELL = 8.0  # seconds to give up the role in good order


@dataclass(frozen=True, slots=True)
class Extras:
    """What a run has beyond its settings.

    `reread` reads the configuration again; `terminal` gives the console on the
    process's own terminal; `services` are the lab's, started first.
    """

    reread: Callable[[], Settings]
    terminal: bool = False
    lab: bool = False
    services: Sequence[Service] = ()


class Daemon:
    """Everything that runs. Built by `__init__`, run by `run`; nothing is global."""

    def __init__(
        self, settings: Settings, logs: LogSystem, environ: Mapping[str, str], extras: Extras
    ) -> None:
        self.logs = logs
        self._extras = extras
        self._started = time.monotonic()
        self._notifier = Notifier.from_environ(os.environ)
        self._watched: dict[str, Watched] = {}
        self._changing = Changing(settings, logs, extras.reread, self._watched, played=extras.lab)
        self._cluster = Cluster(settings)
        self._offload = Offload(2)
        self._outbox = Outbox(settings.node.data_dir / "outbox.sqlite", self._offload.call)
        self._hub = HubWatch(emergency=logs.emergency)
        self._supervisor = Supervisor()
        self._keeper = Keeper(self._outbox)
        self._feed = Feed()
        self._roles = Roles(
            self._supervisor,
            self._cluster,
            valid=self._cluster.valid,
            retired=self._cluster.retired,
        )
        deadman = Deadman(lambda: self._hub.ticks, native.start_thread, native.sleep, logs.emergency)
        self._cluster.join(self._roles, deadman)
        self._cluster.works_over(self._outbox, lambda: self._brokers.publishers)
        self._brokers = Brokers(
            settings,
            self._outbox,
            self._offload.call,
            may=self._cluster.valid,
            told=self._cluster.published,
            epoch=None if self._cluster.alone else lambda: self._cluster.lease.epoch,
            keep=self._roles.keep,
            forget=self._roles.forget,
            secret=lambda password: logs.add_secrets((password,)),
        )
        if self._publishes:
            self._changing.brokers = self._brokers
        self._requests = build(
            lambda: self.settings,
            self._cluster,
            environ,
            self.snapshot,
            lambda: [each.holder.current for each in self._watched.values()],
        )
        self._sources = picture.Sources(
            settings=lambda: self.settings,
            watched=lambda: tuple(self._watched.values()),
            publishers=lambda: self._brokers.publishers,
            waiting=self._outbox.counts,
            supervisor=self._supervisor,
            hub=self._hub,
            outbox=self._keeper.status,
            log_path=lambda: str(logs.path) if logs.path else None,
            cluster=self._cluster,
            lab=extras.lab,
            started=self._started,
            requests=self._requests,
        )
        self._registry = Registry(
            commands(
                Wires(
                    settings=lambda: self.settings,
                    apply=self._changing.apply,
                    reload=self._changing.reload,
                    snapshot=self.snapshot,
                    counters=self.counters,
                    recover=self._changing.recover,
                    watched=self._sources.watched,
                    log_lines=logs.tail,
                    feed=self._feed,
                    timezone=ZoneInfo(settings.node.timezone),
                    cluster=self._cluster,
                    requests=self._requests,
                )
            )
        )
        manager = settings.manager
        self.console = ConsoleServer(
            manager.listen,
            self._registry,
            banner=self._banner,
            password=manager.password.get_secret_value() if manager.password is not None else None,
            max_connections=manager.max_connections,
        )
        self._statistics = CallStatistics()
        self._all_started = Event()
        self._web: WebServer | None = WebServer(
            settings.http.listen,
            application(
                WebSources(
                    snapshot=self.snapshot,
                    counters=self.counters,
                    calls=lambda: picture.call_rows(self._watched.values()),
                    event_counts=lambda: picture.event_counts(self._watched.values()),
                    statistics=self._statistics,
                    timezone=ZoneInfo(settings.node.timezone),
                    started=self._all_started.is_set,
                    endpoints=lambda: picture.endpoint_counts(self._watched.values()),
                    **(self._requests.for_the_web() if self._requests is not None else {}),
                ),
                *(self._requests.routes() if self._requests is not None else ()),
            ),
        )
        self._watchdog = Watchdog.from_environ(self._notifier, self._makes_progress, environ)

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._changing.settings

    @property
    def _publishes(self) -> bool:
        one_host_slave = self._cluster.alone and self.settings.node.mode == "slave"
        return not self.settings.node.shadow and not one_host_slave

    # -- a run -------------------------------------------------------------
    def run(self, signals: Signals) -> None:
        """Run until `signals.stop` is set. Raises FatalError when the process must end."""
        try:
            self._outbox.open()
            if self._requests is not None:
                self._requests.open()
            self.console.open()
            self._open_web()
            self._add_services()
            self._supervisor.start()
            self._all_started.set()
            self._supervisor.spawn("greenlet dump", dump_greenlets, signals.dump)
            self._supervisor.spawn(
                "reload on SIGHUP", self._changing.reload_on, signals.reload, self._notifier
            )
            log.info(
                "arimonitor %s runs as %s, process %d, %s%s",
                __version__,
                self.settings.node.name,
                os.getpid(),
                f"epoch {spelled(epoch)}" if (epoch := self._cluster.lease.epoch) else "no epoch seen yet",
                ", LAB: nothing here is real" if self._extras.lab else "",
            )
            self._notifier.ready(f"watching {len(self._watched)} Asterisk")
            self._supervisor.run_until(signals.stop, farewell=self._farewell)
        finally:
            self._notifier.stopping("storing what came in")
            self._supervisor.stop()
            self._remember_how_left()
            self._outbox.close()
            if self._requests is not None:
                self._requests.close()
            self._offload.close()
            self._cluster.close()
        log.info("arimonitor ended")

    def _farewell(self) -> None:
        """The other node is to go on at once, not when all of this one has ended."""
        if not self._cluster.alone:
            self._roles.leave(_FAREWELL)
            self._supervisor.remove(self._cluster.agent.name)

    def _open_web(self) -> None:
        """Ports that somebody configured must be free; without the default ones it goes on."""
        if self._web is None:
            return
        try:
            self._web.open()
        except FatalError as error:
            if "listen" in self.settings.http.model_fields_set:
                raise
            log.warning("no HTTP (health, metrics) until the next start: %s", error)
            self._web = None

    def _add_services(self) -> None:
        settings, add = self.settings, self._roles.add
        add(self._hub)
        add(self._watchdog)
        for service in self._extras.services:
            add(service)
        add(self._keeper)
        for asterisk in settings.asterisk:
            store = partial(self._store, asterisk)
            state = self._outbox.state(asterisk.name)
            store((), {LEFT: None})  # it counts once: a process that is killed leaves nothing
            self._watched[asterisk.name] = watch(
                settings,
                asterisk,
                store,
                self._outbox.known,
                state,
                self._statistics,
                self._offload.call,
                self._changing.fetched,
                played=self._extras.lab,
            )
        if self._publishes:
            self._brokers.begin(self._changing.directories())
        for watched in self._watched.values():
            add(watched.monitor)
            add(watched.listener)
            add(watched.looks)
            add(watched.checker)
            if watched.mirror is not None:
                add(watched.mirror)
            add(Follower(watched.monitor, self._feed))
        if self._requests is not None:
            self._requests.begin(self._roles)
        add(Performance(self.counters))
        self._cluster.begin(self._roles, self._watched)
        add(self.console)
        if self._web is not None:
            add(self._web)
        if self._extras.terminal and self.logs.terminal is not None:
            add(Terminal(self._registry, sys.stdin, self.logs.terminal, banner=self._banner))

    def _remember_how_left(self) -> None:
        """For an Asterisk that keeps events for us: does the next process have everything before them?"""
        for watched in self._watched.values():
            if how := watched.left():
                try:
                    self._store(watched.settings, (), how)
                except TransientError as error:
                    log.warning(
                        "calls of %s will be reconciled at the next start: %s", watched.settings.name, error
                    )

    def _store(
        self, asterisk: AsteriskSettings, messages: Sequence[Message], state: Mapping[str, bytes | None]
    ) -> None:
        kept = () if self.settings.node.shadow else self._brokers.addressed(asterisk, messages)
        self._outbox.store(kept, {(asterisk.name, key): data for key, data in state.items()})

    # -- what the console asks for -----------------------------------------
    def snapshot(self) -> Snapshot:
        """The picture of this moment."""
        return picture.snapshot(self._sources)

    def counters(self) -> Mapping[str, int | float]:
        """Numbers by dotted name."""
        return picture.counters(self._sources)

    def _makes_progress(self) -> bool:
        """For the watchdog: no service is given up on. That this runs at all shows that the hub does."""
        return all(state.value != "fatal" for state in self._supervisor.state_by_name().values())

    def _banner(self) -> str:
        return banner(self.snapshot())
