"""One Asterisk's chain, built: listener, inbox, monitor, tracker, definitions. Root."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from daemon.ari.address import Address
from daemon.ari.gather import gather
from daemon.ari.inbox import Inbox, Lost, Mark, Opened
from daemon.ari.listener import Listener
from daemon.ari.monitor import Monitor
from daemon.ari.rest import AriRefused, AriRest, AriUnavailable
from daemon.ari.session import ListenerOptions
from daemon.calls.messages import Context, render
from daemon.calls.model import Fact
from daemon.calls.statistics import CallStatistics
from daemon.calls.tracker import Tracker, all_digits
from daemon.calls.words import sentence
from daemon.directory.loader import DirectoryHolder
from daemon.outbox.message import Message
from daemon.settings import AsteriskSettings, Settings

log = logging.getLogger("arimonitor.ari")
calls_log = logging.getLogger("arimonitor.calls")

_RECONCILE_TRIES = 3


@dataclass(slots=True)
class Watched:
    """Everything about one Asterisk. `listener` and `monitor` are its services."""

    settings: AsteriskSettings
    holder: DirectoryHolder
    tracker: Tracker
    listener: Listener
    monitor: Monitor
    reconciliation: Reconciliation


@dataclass(slots=True)
class Reconciliation:
    """After a lost connection: which of the channels that were alive still are (GET /channels)."""

    asterisk: AsteriskSettings
    tracker: Tracker
    clock: Callable[[], float] = time.time
    gaps: int = 0
    gap_seconds: float = 0.0
    pending: bool = False
    _lost_at: float | None = None
    _rest: AriRest = field(init=False)

    def __post_init__(self) -> None:
        self.configure(self.asterisk)

    def configure(self, asterisk: AsteriskSettings) -> None:
        """Use other settings from now on."""
        self.asterisk = asterisk
        self._rest = AriRest(
            Address.parse(asterisk.url),
            asterisk.username,
            _password(asterisk),
            timeout=asterisk.request_timeout,
        )

    def on_mark(self, mark: Mark) -> Sequence[Fact]:
        """What the monitor meets in line with the events."""
        if not isinstance(mark, Opened):
            self.gaps += 1
            self._lost_at = self._lost_at or mark.since
            self.tracker.lost(mark.at)
            self.pending = True
        if isinstance(mark, Lost):
            return ()
        first = isinstance(mark, Opened) and mark.generation == 1
        return self.now() if self.pending or first else ()

    def restore(self, records: Iterable[bytes]) -> None:
        """Take up what an earlier process knew; the first connection reconciles it."""
        useless = self.tracker.restore(records, self.clock())
        if useless:
            log.warning("%d stored calls of %s are of no use: another version's", useless, self.asterisk.name)
        if self.tracker.size:
            self.pending = True
            log.info("%s: %d calls are known from before", self.asterisk.name, self.tracker.active)

    def now(self) -> Sequence[Fact]:
        """Reconcile, in line with the events. Facts already told are not told again."""
        for attempt in range(1, _RECONCILE_TRIES + 1):
            try:
                live = gather(self._rest, round(self.clock() * 1000))
            except (AriUnavailable, AriRefused) as error:
                log.warning(
                    "%s can't be asked which channels exist (try %d of %d): %s",
                    self.asterisk.name,
                    attempt,
                    _RECONCILE_TRIES,
                    error,
                )
                continue
            self.pending = False
            if self._lost_at is not None:
                self.gap_seconds += max(0.0, self.clock() - self._lost_at)
                self._lost_at = None
            facts = self.tracker.resync(live, self.clock())
            log.info("%s was reconciled: %d channels are alive", self.asterisk.name, len(live.channels))
            return facts
        log.error("calls of %s that ended unseen stay open until the next connection", self.asterisk.name)
        return ()


def watch(
    settings: Settings,
    asterisk: AsteriskSettings,
    store: Callable[[Sequence[Message], Mapping[str, bytes | None]], object],
    statistics: CallStatistics,
) -> Watched:
    """Build the chain of one `[[asterisk]]`; nothing runs yet but the definitions are read."""
    holder = DirectoryHolder(asterisk.name, asterisk.definitions)
    holder.start()

    def is_endpoint(name: str) -> bool:
        return all_digits(name) or name in holder.current.endpoints

    tracker = Tracker(asterisk.name, is_endpoint=is_endpoint)
    inbox = Inbox()
    listener = Listener(asterisk.name, options(settings, asterisk), inbox)
    reconciliation = Reconciliation(asterisk, tracker)
    monitor = Monitor(
        asterisk.name,
        inbox,
        tracker,
        renderer(settings, asterisk.name, holder, statistics),
        store,
        on_mark=reconciliation.on_mark,
    )
    return Watched(asterisk, holder, tracker, listener, monitor, reconciliation)


def renderer(
    settings: Settings, asterisk: str, holder: DirectoryHolder, statistics: CallStatistics
) -> Callable[[Fact], Message | None]:
    """Facts to messages, by the tables in force at that moment.

    Called once for each fact, which is also a line of the calls' log and counted.
    """
    node = settings.node.name
    zone = ZoneInfo(settings.node.timezone)
    message_format = settings.mq.message_format

    def to_message(fact: Fact) -> Message | None:
        calls_log.info("%s call=%s server=%s", sentence(fact), fact.call, asterisk)
        entry = holder.current.endpoints.get(fact.origin or "")
        statistics.see(fact, entry.type if entry is not None else None)
        context = Context(
            server=asterisk,
            node=node,
            directory=holder.current,
            timezone=zone,
            message_format=message_format,
            now_ms=round(time.time() * 1000),
        )
        return render(fact, context)

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


def _password(asterisk: AsteriskSettings) -> str:
    return asterisk.password.get_secret_value() if asterisk.password is not None else ""
