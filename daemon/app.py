"""The composition root: a Daemon from Settings, in the order in which an event flows through it. Root.

    Asterisk --> listener --> monitor (tracker) --> outbox --> publisher --> RabbitMQ or file
                                   \\-> console, snapshot
    mailbox --> requests (daemon/requests.py) --> answers

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

from daemon import __version__, brokers, picture
from daemon.ari.reconciler import ask
from daemon.ari.server import LEFT
from daemon.calls.statistics import CallStatistics
from daemon.console.live import Feed
from daemon.console.registry import Registry
from daemon.console.server import ConsoleServer
from daemon.console.status import banner
from daemon.console.terminal import Terminal
from daemon.console.views import Reloaded
from daemon.desk import Wires, commands
from daemon.directory.model import MessageServer
from daemon.errors import ConfigurationError, FatalError, TransientError
from daemon.following import Follower
from daemon.logs import LogSystem
from daemon.outbox.keeper import Keeper
from daemon.outbox.message import Message
from daemon.outbox.publisher import Publisher
from daemon.outbox.store import Outbox
from daemon.performance import Performance
from daemon.requests import build
from daemon.runtime.hubwatch import HubWatch
from daemon.runtime.offload import Offload
from daemon.runtime.service import Service
from daemon.runtime.signals import Signals, dump_greenlets
from daemon.runtime.supervisor import Supervisor
from daemon.runtime.systemd import Notifier, Watchdog
from daemon.settings import AsteriskSettings, Settings
from daemon.settings.keys import changes, live_part, restart_needed, secrets
from daemon.snapshot import Snapshot
from daemon.starting import elected, refuse_what_is_not_here
from daemon.watching import Watched, fetch, looker_of, options, rest_of, watch
from daemon.web.pages import application
from daemon.web.server import WebServer
from daemon.web.sources import Sources as WebSources
from ha.lockfile import LockfileLease

log = logging.getLogger("arimonitor")

_RECOVERY_PATIENCE = 20.0  # seconds that the console waits for one Asterisk


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
        refuse_what_is_not_here(settings)
        self.settings = settings
        self.logs = logs
        self._extras = extras
        self._started = time.monotonic()
        self._publishes = not settings.node.shadow and settings.node.mode != "slave"
        self._notifier = Notifier.from_environ(os.environ)
        self._lease = LockfileLease(settings.node.data_dir)
        self._epoch = elected(self._lease, settings)
        self._offload = Offload(2)
        self._outbox = Outbox(settings.node.data_dir / "outbox.sqlite", self._offload.call)
        self._hub = HubWatch(emergency=logs.emergency)
        self._supervisor = Supervisor()
        self._keeper = Keeper(self._outbox)
        self._feed = Feed()
        self._watched: dict[str, Watched] = {}
        self._publishers: dict[str, Publisher] = {}
        self._servers: dict[str, MessageServer] = {}  # as their publishers know them
        self._requests = build(
            lambda: self.settings,
            self._epoch,
            environ,
            self.snapshot,
            lambda: [each.holder.current for each in self._watched.values()],
        )
        self._sources = picture.Sources(
            settings=lambda: self.settings,
            watched=lambda: tuple(self._watched.values()),
            publishers=lambda: self._publishers,
            waiting=self._outbox.counts,
            supervisor=self._supervisor,
            hub=self._hub,
            outbox=self._keeper.status,
            log_path=lambda: str(logs.path) if logs.path else None,
            epoch=self._epoch,
            lab=extras.lab,
            started=self._started,
            requests=self._requests,
        )
        registry = Registry(
            commands(
                Wires(
                    settings=lambda: self.settings,
                    apply=self.apply,
                    reload=self.reload,
                    snapshot=self.snapshot,
                    counters=self.counters,
                    recover=self._recover,
                    watched=self._sources.watched,
                    log_lines=logs.tail,
                    feed=self._feed,
                    timezone=ZoneInfo(settings.node.timezone),
                    requests=self._requests,
                )
            )
        )
        manager = settings.manager
        self.console = ConsoleServer(
            manager.listen,
            registry,
            banner=self._banner,
            password=manager.password.get_secret_value() if manager.password is not None else None,
            max_connections=manager.max_connections,
        )
        self._registry = registry
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
            self._supervisor.spawn("reload on SIGHUP", self._reload_on, signals.reload)
            log.info(
                "arimonitor %s runs as %s, process %d, epoch %d%s",
                __version__,
                self.settings.node.name,
                os.getpid(),
                self._epoch,
                ", LAB: nothing here is real" if self._extras.lab else "",
            )
            self._notifier.ready(f"watching {len(self._watched)} Asterisk")
            self._supervisor.run_until(signals.stop)
        finally:
            self._notifier.stopping("storing what came in")
            self._supervisor.stop()
            self._remember_how_left()
            self._outbox.close()
            if self._requests is not None:
                self._requests.close()
            self._offload.close()
            self._lease.release()
        log.info("arimonitor ended")

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
        settings, add = self.settings, self._supervisor.add
        add(self._hub)
        add(self._watchdog)
        for service in self._extras.services:
            add(service)
        add(self._keeper)
        for asterisk in settings.asterisk:
            store = partial(self._store, asterisk.name)
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
                self._reread,
                played=self._extras.lab,
            )
        if self._publishes:
            self._add_publisher(
                brokers.DEFAULT, brokers.default_publisher(settings, self._outbox, self._offload.call)
            )
            self._add_server_publishers()
        for watched in self._watched.values():
            add(watched.monitor)
            add(watched.listener)
            add(watched.looks)
            add(watched.checker)
            if watched.mirror is not None:
                add(watched.mirror)
            add(Follower(watched.monitor, self._feed))
        for part in self._requests.services() if self._requests is not None else ():
            add(part)
        add(Performance(self.counters))
        add(self.console)
        if self._web is not None:
            add(self._web)
        if self._extras.terminal and self.logs.terminal is not None:
            add(Terminal(self._registry, sys.stdin, self.logs.terminal, banner=self._banner))

    def _remember_how_left(self) -> None:
        """For an Asterisk that keeps events for us: does the next process have everything before them?"""
        for name, watched in self._watched.items():
            if how := watched.left():
                try:
                    self._store(name, (), how)
                except TransientError as error:
                    log.warning("calls of %s will be reconciled at the next start: %s", name, error)

    def _store(self, asterisk: str, messages: Sequence[Message], state: Mapping[str, bytes | None]) -> None:
        kept = () if self.settings.node.shadow else messages
        self._outbox.store(kept, {(asterisk, key): data for key, data in state.items()})

    def _add_publisher(self, broker: str, publisher: Publisher) -> None:
        self._publishers[broker] = publisher
        self._supervisor.add(publisher)

    def _add_server_publishers(self) -> list[str]:
        """A publisher for each message server that is new or has moved; their names."""
        tables = [(name, each.holder.current) for name, each in self._watched.items()]
        fresh = brokers.new_or_moved(self._servers, brokers.message_servers(tables))
        for server in fresh:
            self.logs.add_secrets((server.password,))
            if server.name in self._publishers:
                self._supervisor.remove(self._publishers[server.name].name)
            self._add_publisher(server.name, brokers.server_publisher(self.settings, server, self._outbox))
        return [server.name for server in fresh]

    # -- what the console asks for -----------------------------------------
    def snapshot(self) -> Snapshot:
        """The picture of this moment."""
        return picture.snapshot(self._sources)

    def counters(self) -> Mapping[str, int | float]:
        """Numbers by dotted name."""
        return picture.counters(self._sources)

    def apply(self, new: Settings) -> list[str]:
        """Put in force what may change while running; the names of the keys that changed."""
        old, new = self.settings, live_part(self.settings, new)
        changed = changes(old, new)
        self.settings = new
        self.logs.add_secrets(secrets(new))
        self.logs.set_level(new.log.level)
        self.logs.set_keep_days(new.log.keep_days)
        self.logs.set_debug("verbose" if new.log.debug_verbose else "on" if new.log.debug else "off")
        by_name: dict[str, AsteriskSettings] = {each.name: each for each in new.asterisk}
        for name, watched in self._watched.items():
            if by_name[name] != watched.settings:
                watched.settings = by_name[name]
                watched.reconciler.rest = rest_of(by_name[name], watched.listener)
                watched.looks.looker = looker_of(by_name[name], watched.listener, played=self._extras.lab)
                watched.listener.reconfigure(options(new, by_name[name]))
        for name in changed:
            log.info("the setting %s was changed", name)
        return changed

    def reload(self, what: str | None) -> list[Reloaded]:
        """Read the definition files or the configuration again, or (None) both."""
        done: list[Reloaded] = []
        if what in (None, "config"):
            done.append(self._reload_configuration())
        if what != "config":
            done += self._reload_definitions(what or "all")
        return done

    def _reload_configuration(self) -> Reloaded:
        try:
            new = self._extras.reread()
        except ConfigurationError as error:
            for problem in error.problems:
                log.error("the configuration is not read again: %s", problem)
            return Reloaded("config", "", False, "the old configuration stays in force", error.problems)
        later = restart_needed(changes(self.settings, new))
        problems = tuple(f"{name} changes at the next start only" for name in later)
        try:
            changed = self.apply(new)
        except ConfigurationError as error:  # a live key that needs one of those
            problems += error.problems
            return Reloaded("config", "", False, "the old configuration stays in force", problems)
        finally:
            for problem in problems:
                log.warning("the configuration is read again: %s", problem)
        return Reloaded("config", "", True, f"{len(changed)} keys changed", problems)

    def _reload_definitions(self, which: str) -> list[Reloaded]:
        done = []
        for name, watched in self._watched.items():
            unreached = fetch(watched)
            result = watched.holder.reload(which)
            problems = (*unreached, *(str(line) for line in result.bad_lines))
            what = "definitions" if which == "all" else which
            done.append(Reloaded(what, name, result.ok and not unreached, result.sentence, problems))
        self._look_for_message_servers(which)
        return done

    def _reread(self, name: str) -> None:
        """The definition files of an Asterisk were fetched anew."""
        self._watched[name].holder.reload("all")
        self._look_for_message_servers("all")

    def _look_for_message_servers(self, which: str) -> None:
        if which in ("all", "mqservers") and self._publishes:
            for added in self._add_server_publishers():
                log.info("message server %s is new or has moved: its messages go there from now on", added)

    def _recover(self, since: float | None) -> dict[str, str]:
        """Have every Asterisk reconciled now; a sentence for each."""
        found = {}
        for name, watched in self._watched.items():
            try:
                found[name] = ask(watched.inbox, since, _RECOVERY_PATIENCE)
            except TransientError as error:
                found[name] = str(error)
        return found

    # -- small loops of the root -------------------------------------------
    def _reload_on(self, wanted: Event) -> None:
        while True:
            wanted.wait()
            wanted.clear()
            self._notifier.reloading()
            for done in self.reload(None):
                log.log(
                    logging.INFO if done.ok else logging.ERROR,
                    "reload of %s: %s",
                    f"{done.what} of {done.where}" if done.where else done.what,
                    done.detail,
                )
            self._notifier.ready()

    def _makes_progress(self) -> bool:
        """For the watchdog: no service is given up on. That this runs at all shows that the hub does."""
        return all(state.value != "fatal" for state in self._supervisor.state_by_name().values())

    def _banner(self) -> str:
        return banner(self.snapshot())
