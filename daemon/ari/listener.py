"""Listens to one Asterisk for ever: connect, subscribe, read, and again.

    connect -> filter -> subscribe -> [Opened] -> read ... -> [Lost] -> wait -+
       ^                                                                     |
       +---------------------------------------------------------------------+

What is read goes on the inbox at once, with the time it came; parsing and
everything else is the monitor's. Sources are subscribed to one by one rather
than by subscribeAll, whose device states can lock Asterisk's ARI up for good
(asterisk/asterisk issue 2170 is a sibling).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from threading import Event
from typing import Final

from daemon.ari.connection_state import Outage, Replaced, Step, liveness, pause
from daemon.ari.inbox import Batch, Inbox, Lost, Opened
from daemon.ari.rest import AriRefused, AriRest, AriUnavailable
from daemon.ari.session import ListenerOptions, Session
from daemon.ari.socket import EventSocket
from daemon.ari.wire import ConnectError, Disconnected
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.ari")

_TICK: Final = 0.25  # seconds between looks at `stop` on a silent socket
_DEAF: Final = 3  # connections without an event after which an Asterisk is believed to give no sign at all
_STEADY: Final = 5.0  # a connection that lasted this long resets the backoff
_SHORT_EVENT: Final = 500  # ApplicationReplaced, which carries no channel, is shorter


class Listener:
    """The service that feeds `inbox` from one Asterisk. `name` is the Asterisk's."""

    def __init__(
        self,
        name: str,
        options: ListenerOptions,
        inbox: Inbox,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"ari-{name}"
        self.asterisk = name
        self.inbox = inbox
        self._options = options
        self._backoff = backoff or Backoff(first=0.2, factor=2.0, cap=4.0, jitter=0.5)
        self._clock = clock
        self._outage = Outage()
        self._replaced = Replaced(first=options.replaced_pause)
        self._generation = 0
        self._deaf = 0
        self._connected = False
        self._state = "not connected yet"
        self._since = clock()
        self._heard = 0.0
        self._reconfigured = False
        self._varset_kept = True
        self._stuck_said = False

    def reconfigure(self, options: ListenerOptions) -> None:
        """Use other options: the connection is closed properly and made anew."""
        self._options = options
        self._reconfigured = True

    def status(self) -> Mapping[str, object]:
        """`state` is one sentence; times are seconds since the epoch."""
        return {
            "connected": self._connected,
            "state": self._state,
            "since": self._since,
            "url": str(self._options.address),
            "app": self._options.app,
            "generation": self._generation,
            "reconnects": max(0, self._generation - 1),
            "attempts": self._outage.attempts,
            "last_heard": self._heard,
            "varset": self._varset_kept,
            "queue_events": self.inbox.events,
            "queue_bytes": self.inbox.bytes,
            "overflowed": self.inbox.overflowed,
        }

    def run(self, stop: Event) -> None:
        """Keep a connection until `stop`; nothing that happens to it ends this."""
        while not stop.is_set():
            options = self._options
            rest = AriRest(
                options.address, options.username, options.password, timeout=options.connect_timeout
            )
            self._reconfigured = False
            try:
                session = self._connect(options, rest)
            except (ConnectError, AriUnavailable, AriRefused, Disconnected) as error:
                self._not_connected(error)
                stop.wait(self._pause(error))
                continue
            session.asks_for_signs = self._deaf < _DEAF
            self._stay(session, stop)
            self._deaf = self._deaf + 1 if session.deaf else 0
            if session.replaced:
                self._leave_the_name(options, rest, stop)
            elif not stop.is_set() and not self._reconfigured:
                if session.age() >= _STEADY:
                    self._backoff.reset()
                if session.age() >= self._replaced.cap:
                    self._replaced.times = 0
                stop.wait(self._backoff.next())

    # -- connecting ------------------------------------------------------------

    def _connect(self, options: ListenerOptions, rest: AriRest) -> Session:
        socket = EventSocket.connect(
            options.address,
            options.username,
            options.password,
            options.app,
            subscribe_all=options.subscribe == "all",
            timeout=options.connect_timeout,
        )
        try:
            session = Session(options, rest, socket, self.asterisk)
            # The filter first: it is gone with the last connection (22) or may be an old one (16).
            session.set_filter(keep_varset=options.filter_varset != "drop")
            if options.subscribe == "sources":
                session.subscribe()
        except BaseException:
            socket.close()
            raise
        return session

    def _not_connected(self, error: Exception) -> None:
        sentence = self._outage.failed(str(error), time.monotonic())
        self._set_state(False, str(error))
        if sentence:
            log.warning("not connected to %s: %s", self.asterisk, sentence)

    def _pause(self, error: Exception) -> float:
        refused = isinstance(error.__cause__, ConnectionRefusedError)
        return pause(self._backoff.next(), getattr(error, "status", None), refused=refused)

    # -- connected -------------------------------------------------------------

    def _stay(self, session: Session, stop: Event) -> None:
        """Read until the connection ends, in whatever way; always closed, always marked."""
        self._generation += 1
        self._heard = self._clock()
        self.inbox.mark(Opened(self._heard, self._generation))
        after = f" after {self._outage.attempts} failed attempts" if self._outage.attempts else ""
        self._outage.over()
        self._stuck_said = False
        self._set_state(True, f"connected as {session.options.app}")
        log.info(
            "listening to %s at %s as %s%s (connection %d)",
            self.asterisk, session.options.address, session.options.app, after, self._generation,
        )  # fmt: skip
        reason = "the listener itself failed"
        try:
            reason = self._read(session, stop)
        except Disconnected as gone:
            reason = gone.reason
        finally:
            session.socket.close()
            self.inbox.mark(Lost(self._clock(), reason, self._heard))
            self._set_state(False, reason)
            level = logging.INFO if stop.is_set() else logging.WARNING
            log.log(level, "lost %s after %.0f s: %s", self.asterisk, session.age(), reason)

    def _read(self, session: Session, stop: Event) -> str:
        """The reader's loop. Returns why it ended; raises Disconnected."""
        socket, inbox, clock = session.socket, self.inbox, self._clock
        while not stop.is_set():
            frames = socket.read_batch(_TICK)
            now = clock()
            if not frames:
                inbox.settle(now)
                self._when_silent(session)
                if self._reconfigured:
                    return "the configuration changed"
                continue
            self._heard = now
            frames = session.note(frames)
            if not frames:
                continue
            sizes = list(map(len, frames))
            dropping = inbox.overflowing
            if inbox.put(Batch(now, frames), sum(sizes)):
                if dropping:
                    log.warning("the events of %s fit into the queue again", self.asterisk)
            elif not dropping:
                log.error(
                    "the queue of %s is full (%d events, %d bytes): events are dropped until half is done",
                    self.asterisk, inbox.events, inbox.bytes,
                )  # fmt: skip
            if min(sizes) < _SHORT_EVENT and self._is_replaced(session, frames):
                return f"another client took the application name {session.options.app}"
            self._varset_kept = session.adapt_filter(frames)
            if self._reconfigured:
                return "the configuration changed"
            time.sleep(0)  # with events always waiting, recv never gives way by itself
        return "stopping"

    def _when_silent(self, session: Session) -> None:
        now, options, socket = time.monotonic(), session.options, session.socket
        step = liveness(
            now, socket.heard_at, session.pinged_at,
            ping_after=options.ping_after, pong_within=options.pong_within,
        )  # fmt: skip
        if step is Step.PING:
            session.pinged_at = now
            socket.ping()
        elif step is Step.GIVE_UP:
            raise Disconnected(
                f"nothing came for {now - socket.heard_at:.0f} s and a ping was not answered: "
                f"the network or Asterisk hangs"
            )
        if session.is_deaf(now):
            session.deaf = True
            raise Disconnected(
                f"Asterisk knows the application {options.app} and sends it no events "
                f"(the last session's clean-up came after this one had begun)"
            )
        if session.check_is_due(now):
            self._check(session)

    def _check(self, session: Session) -> None:
        """Is the silence a quiet PBX's? After an abrupt close Asterisk may forget the next session's app."""
        try:
            session.check()
        except AriUnavailable as error:
            if not self._stuck_said:
                self._stuck_said = True
                log.warning("the websocket of %s is open but its REST calls fail: %s", self.asterisk, error)
            return
        if self._stuck_said:
            self._stuck_said = False
            log.info("the REST calls of %s work again", self.asterisk)

    def _is_replaced(self, session: Session, frames: list[bytes]) -> bool:
        for frame in frames:
            if len(frame) < _SHORT_EVENT and b'"ApplicationReplaced"' in frame:
                session.replaced = True
                return True
        return False

    def _leave_the_name(self, options: ListenerOptions, rest: AriRest, stop: Event) -> None:
        """Don't fight: wait until the name is free, or long (Asterisk 16 never frees it)."""
        seconds = self._replaced.pause()
        self._set_state(False, f"another client uses the application name {options.app}")
        log.error(
            "another client uses the application name %s on %s: give each node a name of its own; "
            "trying again in %.0f s, or as soon as the name is free",
            options.app, self.asterisk, seconds,
        )  # fmt: skip
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stop.wait(min(5.0, seconds / 4)) and not self._reconfigured:
            try:
                if rest.application(options.app) is None:
                    return
            except (AriUnavailable, AriRefused) as error:
                log.debug("cannot ask %s for the application: %s", self.asterisk, error)

    def _set_state(self, connected: bool, state: str) -> None:
        if (connected, state) != (self._connected, self._state):
            self._connected, self._state, self._since = connected, state, self._clock()
