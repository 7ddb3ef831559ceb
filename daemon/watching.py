"""One Asterisk's chain, built: listener, inbox, monitor, tracker, definitions. Root."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.ari.address import Address
from daemon.ari.inbox import Inbox, Looked, Mark, Opened
from daemon.ari.listener import Listener
from daemon.ari.monitor import HEARD, Monitor, Told
from daemon.ari.observer import Observer, calls_only, known_endpoints
from daemon.ari.reconciler import Checker, Reconciler
from daemon.ari.rest import AriCalls, AriRest
from daemon.ari.server import LEFT, QUEUE_BYTES, QUEUE_EVENTS, Left, ServerListener
from daemon.ari.session import ListenerOptions
from daemon.calls.messages import Context, render, render_endpoint, render_gap
from daemon.calls.model import Fact, Gap
from daemon.calls.recorded import Recorded
from daemon.calls.statistics import CallStatistics
from daemon.calls.tracker import Tracker, all_digits
from daemon.calls.words import sentence
from daemon.directory.ami import ami_of
from daemon.directory.endpoints import EndpointChange, EndpointTable
from daemon.directory.loader import DirectoryHolder
from daemon.directory.looker import AmiSource, CliSource, Looker, local_cli
from daemon.directory.looks import Looks
from daemon.directory.recorded import recorded_since
from daemon.errors import ConfigurationError, PermanentError, TransientError
from daemon.machines.mirror import Mirror
from daemon.machines.reach import place_of
from daemon.outbox.message import Message
from daemon.settings import AsteriskSettings, Settings, is_loopback, split_address

log = logging.getLogger("arimonitor.ari")
calls_log = logging.getLogger("arimonitor.calls")

_MIRROR_TIMEOUT = 5.0  # seconds for each step of a connection: a reconciliation waits for it


@dataclass(slots=True)
class Watched:
    """Everything about one Asterisk. `mirror` fetches its files where they are on another machine."""

    settings: AsteriskSettings
    holder: DirectoryHolder
    tracker: Tracker
    listener: Listener
    monitor: Monitor
    reconciler: Reconciler
    checker: Checker
    inbox: Inbox
    endpoints: EndpointTable
    looks: Looks
    mirror: Mirror | None = None

    def left(self) -> Mapping[str, bytes | None]:
        """State that says, after the services ended, whether everything that came is stored."""
        listener = self.listener
        whole = not (self.inbox.events or self.monitor.status()["unstored"] or self.reconciler.undone)
        if not isinstance(listener, ServerListener) or listener.left is None or not whole:
            return {}
        return {LEFT: listener.left.dump()}


def watch(
    settings: Settings,
    asterisk: AsteriskSettings,
    store: Callable[[Sequence[Message], Mapping[str, bytes | None]], object],
    known: Callable[[Sequence[str]], set[str]],
    state: Mapping[str, bytes],
    statistics: CallStatistics,
    offload: Callable[..., Any],
    reread: Callable[[str], object],
    *,
    played: bool,
) -> Watched:
    """Build the chain of one `[[asterisk]]`; nothing runs yet but the definitions are read.

    `state` is what an earlier process stored: its calls and endpoints, and under
    the keys HEARD and LEFT how it ended. `known` says which message ids were
    stored before; `offload` calls a function in a native thread; `reread` is
    called with its name when definition files were fetched anew.
    """
    mirror = mirror_of(settings, asterisk, reread)
    holder = DirectoryHolder(asterisk.name, asterisk.definitions if mirror is None else mirror.folder)
    holder.start()

    def is_endpoint(name: str) -> bool:
        return all_digits(name) or name in holder.current.endpoints

    def ids_of(fact: Fact) -> set[str]:
        """Its id, and those of the seconds around it: a file's word for when a call began may be one off."""
        seconds = (replace(fact, created=fact.created + 1000 * away) for away in (0, -1, 1))
        return {message.id for each in seconds if (message := render(each, context())) is not None}

    def untold(facts: Sequence[Fact]) -> Sequence[Fact]:
        ids = [ids_of(fact) for fact in facts]
        told = known(list(set().union(*ids)))
        return [fact for fact, its in zip(facts, ids, strict=True) if told.isdisjoint(its)]

    def on_mark(mark: Mark) -> Sequence[Told]:
        if isinstance(mark, Looked):
            endpoints.take(mark.look, time.time())
            return ()
        if isinstance(mark, Opened):
            looks.want()
        return reconciler.on_mark(mark)

    records = dict(state)
    heard, left = records.pop(HEARD, None), records.pop(LEFT, None)
    context = contexts(settings, asterisk.name, holder)
    tracker = Tracker(asterisk.name, is_endpoint=is_endpoint)
    endpoints = EndpointTable(asterisk.name, known=known_endpoints(records))
    listener = listener_of(settings, asterisk, Left.load(left))
    inbox = listener.inbox
    looks = Looks(looker_of(asterisk, listener, played=played), lambda look: inbox.hand(Looked(look)))
    rest = rest_of(asterisk, listener)
    reconciler = Reconciler(
        asterisk.name,
        tracker,
        rest,
        cdr_of(asterisk, mirror),
        recorded_of(asterisk, mirror, offload),
        is_endpoint,
        untold,
    )
    checker = Checker(asterisk.name, inbox)
    monitor = Monitor(
        asterisk.name,
        inbox,
        Observer(tracker, endpoints),
        renderer(asterisk.name, holder, context, statistics),
        store,
        on_mark=on_mark,
        gap_since=lambda: reconciler.since,
    )
    reconciler.restore(calls_only(records), float(heard or 0) or None)
    return Watched(
        asterisk,
        holder,
        tracker,
        listener,
        monitor,
        reconciler,
        checker,
        inbox,
        endpoints,
        looks,
        mirror,
    )


def mirror_of(
    settings: Settings, asterisk: AsteriskSettings, reread: Callable[[str], object]
) -> Mirror | None:
    """Who fetches its files over SSH; None where they are on this machine."""
    if asterisk.host == "local":
        return None
    server = next((each for each in settings.server if each.name == asterisk.host), None)
    if server is None:
        raise ConfigurationError((f"asterisk.{asterisk.name}.host: no [[server]] has this name",))
    return Mirror(
        asterisk.name,
        place_of(server, _MIRROR_TIMEOUT),
        asterisk.definitions,
        asterisk.cdr,
        settings.node.data_dir / "mirror" / asterisk.name,
        partial(reread, asterisk.name),
    )


def cdr_of(asterisk: AsteriskSettings, mirror: Mirror | None) -> Callable[[], Path] | None:
    """Where its CDR file is, when it is asked for; None: the site keeps none."""
    path = asterisk.cdr
    if path is None:
        return None
    return mirror.cdr if mirror is not None else lambda: path


def recorded_of(
    asterisk: AsteriskSettings, mirror: Mirror | None, offload: Callable[..., Any]
) -> Callable[[int, int], Sequence[Recorded]] | None:
    """Who finds its recordings of a time; None: it has none."""
    spool = asterisk.recordings
    if spool is None:
        return None
    if mirror is not None:
        return partial(mirror.recorded, str(spool))
    return partial(offload, recorded_since, str(spool))


def contexts(settings: Settings, asterisk: str, holder: DirectoryHolder) -> Callable[[], Context]:
    """What messages made now say beside the facts, by the tables in force."""
    zone = ZoneInfo(settings.node.timezone)

    def context() -> Context:
        return Context(
            server=asterisk,
            node=settings.node.name,
            directory=holder.current,
            timezone=zone,
            message_format=settings.mq.message_format,
            now_ms=round(time.time() * 1000),
        )

    return context


def renderer(
    asterisk: str, holder: DirectoryHolder, context: Callable[[], Context], statistics: CallStatistics
) -> Callable[[Told], Message | None]:
    """Facts to messages. Called once for each fact, which is also a line of the calls' log and counted."""

    def to_message(fact: Told) -> Message | None:
        if isinstance(fact, Gap):
            log.warning("events of %s may have been missed: %s", asterisk, fact.reason)
            return render_gap(fact, context())
        if isinstance(fact, EndpointChange):
            return render_endpoint(fact, context())
        calls_log.info("%s call=%s server=%s", sentence(fact), fact.call, asterisk)
        entry = holder.current.endpoints.get(fact.origin or "")
        statistics.see(fact, entry.type if entry is not None else None)
        return render(fact, context())

    return to_message


def options(settings: Settings, asterisk: AsteriskSettings) -> ListenerOptions:
    """How to listen to this Asterisk: the node's name is appended to the application's."""
    return ListenerOptions(
        address=Address.parse(asterisk.url),
        username=asterisk.username,
        password=_password(asterisk),
        app=f"{asterisk.app}-{settings.node.name}",
        subscribe=asterisk.subscribe,
        connect_timeout=asterisk.connect_timeout,
        ping_after=asterisk.ping_interval,
        pong_within=asterisk.ping_interval,
    )


def listener_of(settings: Settings, asterisk: AsteriskSettings, left: Left | None) -> Listener:
    """Who feeds its inbox: we connect to it, or (`websocket = "server"`) it connects to us.

    `left`: how an earlier process left its connection.
    """
    if asterisk.websocket == "client":
        return Listener(asterisk.name, options(settings, asterisk), Inbox())
    return ServerListener(
        asterisk.name,
        options(settings, asterisk),
        Inbox(QUEUE_EVENTS, QUEUE_BYTES),
        listen=split_address(asterisk.listen or ""),
        left=left,
        request_timeout=asterisk.request_timeout,
    )


def looker_of(asterisk: AsteriskSettings, listener: Listener, *, played: bool = False) -> Looker:
    """Who looks at its endpoints: by AMI where that is configured, else by its command line if it is here.

    `played`: it is the lab's, whose command line would be another Asterisk's.
    """
    source: AmiSource | CliSource | None = None
    if (ami := ami_of(asterisk)) is not None:
        source = AmiSource(ami)
    server = isinstance(listener, ServerListener)
    address = split_address(asterisk.listen or "")[0] if server else Address.parse(asterisk.url).host
    here = asterisk.host == "local" and is_loopback(address) and not played
    if source is None and here and (program := local_cli()) is not None:
        source = CliSource(program)
    return Looker(asterisk.name, rest_of(asterisk, listener), source)


def rest_of(asterisk: AsteriskSettings, listener: Listener) -> AriCalls:
    """The REST client of this Asterisk: by HTTP, or over the websocket that it opened."""
    if isinstance(listener, ServerListener):
        return listener.rest
    return AriRest(
        Address.parse(asterisk.url), asterisk.username, _password(asterisk), timeout=asterisk.request_timeout
    )


def _password(asterisk: AsteriskSettings) -> str:
    return asterisk.password.get_secret_value() if asterisk.password is not None else ""


def fetch(watched: Watched) -> tuple[str, ...]:
    """Files on another machine fetched now; why not."""
    if watched.mirror is None:
        return ()
    try:
        watched.mirror.refresh(all_of_them=True)
    except (TransientError, PermanentError) as error:
        return (f"not fetched, the copies here were read: {error}",)
    return ()
