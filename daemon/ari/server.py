"""Listens to one Asterisk 22 that connects to us (its outbound websocket). Service.

    Asterisk -> door -> [queued events kept] -> asked: who, since when, subscribed? -> [Opened]
                                             -> filter -> read ... -> [Lost] -> next connection

Asterisk queues events while nobody is connected, and sends them first. So a
connection that ends properly costs nothing: what came before the close frame
was read, the rest is queued. Lost are only
 - what was under way as a connection broke (killed, cut, too slow), and
 - the queue of an Asterisk that ended: its startup time is another then.
`Opened.complete` says that neither was the case.

While the queue comes, it must be read as fast as it comes: what Asterisk cannot
write within `websocket_write_timeout` is dropped by it, queue or not.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, Final

from daemon.ari.address import Address
from daemon.ari.breaker import Breaker
from daemon.ari.inbox import Batch, Inbox, Lost, Opened
from daemon.ari.listener import Listener
from daemon.ari.rest import AriRefused, AriUnavailable
from daemon.ari.restcall import Exchange, SocketRest
from daemon.ari.server_door import Door, Entrance
from daemon.ari.server_socket import ServerSocket
from daemon.ari.session import ListenerOptions, Session
from daemon.ari.wire import ConnectError, Disconnected

log = logging.getLogger("arimonitor.ari")

QUEUE_EVENTS: Final = 1_000_000
QUEUE_BYTES: Final = 512 * 1024 * 1024
"""Bounds for the inbox: an Asterisk may have queued hours of events, 600 bytes each."""

_TICK: Final = 0.25
_FIRST_ANSWER: Final = 20.0  # seconds; the first answer comes behind the whole queue
_QUEUE_QUIET: Final = 0.05  # seconds without an event: what it had queued has been sent
_QUEUE_SECONDS: Final = 1.0  # at most, on a PBX that is never quiet
_READY: Final = 2.0  # seconds for its first message, which comes at once
_AGAIN: Final = 0.1  # seconds until an Asterisk that was not booted is asked again
_NOBODY: Final = 30.0  # seconds without a connection after which that is said
_SAY_EVERY: Final = 300.0
_MEND: Final = (
    "was its application's name taken by another client? On Asterisk's console: "
    "'ari show apps', then 'ari shutdown websocket session ID' and 'ari start outbound-websocket ID'"
)


LEFT: Final = "left"
"""Key of the state in which a `Left` is stored."""


@dataclass(frozen=True, slots=True)
class Left:
    """How the last connection was left: the next one is complete only if it was `clean`.

    `startup_time` is Asterisk's own word for it, "" where it did not say.
    """

    startup_time: str
    clean: bool

    def dump(self) -> bytes:
        """For another process; `load` reads it."""
        return f"{'clean' if self.clean else 'broken'} {self.startup_time}".encode()

    @classmethod
    def load(cls, data: bytes | None) -> Left | None:
        """What `dump` wrote; None for None."""
        if data is None:
            return None
        word, _, startup_time = data.decode("utf-8", "replace").partition(" ")
        return cls(startup_time, word == "clean")


class ServerListener(Listener):
    """The service that feeds `inbox` from an Asterisk that connects to `listen` (host, port; 0: any).

    `rest` asks this Asterisk over its websocket, from any thread, while it is
    connected. `left` may be what an earlier process had in `left` at its end
    (and nothing after a crash): then its first connection can be complete too.
    """

    def __init__(
        self,
        name: str,
        options: ListenerOptions,
        inbox: Inbox,
        *,
        listen: tuple[str, int],
        path: str = "",
        left: Left | None = None,
        request_timeout: float = 5.0,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name, options, inbox, clock=clock)
        self.left = left
        self._path = path
        self._request_timeout = request_timeout
        self._exchange = Exchange(name)
        self._breaker = breaker or Breaker()
        self.rest = SocketRest(self._exchange, timeout=request_timeout, breaker=self._breaker)
        self.door = Door(name, *listen, self._entrance, self._let_in)
        self._arrived: queue.SimpleQueue[ServerSocket] = queue.SimpleQueue()
        self._current: ServerSocket | None = None
        self._peer = ""
        self._complete = False
        self._unregistered = False
        self._taken = ""  # startup time of the Asterisk in which our application was taken from us
        self._doubt = ""  # why events may not come although it is connected
        self._nobody_since = time.monotonic()
        self._nobody_said = 0.0

    def open(self) -> None:
        """Listen, so that `door.port` is known and an Asterisk can wait. Raises FatalError."""
        self.door.open()

    def status(self) -> Mapping[str, object]:
        """As a Listener's; `peer` is who is connected, `complete` whether nothing was missed before."""
        return {
            **super().status(),
            "url": f"ws://{self.door}{self._path}",
            "peer": self._peer,
            "complete": self._complete,
            "refused": self.door.refusals.count,
            "rest": self._breaker.status(),
        }

    def run(self, stop: Event) -> None:
        """Serve one connection after the other until `stop`; a newer one ends an older one."""
        self.open()
        closed = Event()
        acceptor = threading.Thread(
            target=self.door.serve, args=(closed,), name=f"accept-{self.asterisk}", daemon=True
        )
        acceptor.start()
        self._set_state(False, f"waits for Asterisk to connect to {self.door}")
        log.info("waiting on %s for the websocket of %s", self.door, self.asterisk)
        try:
            while not stop.is_set():
                try:
                    sock = self._arrived.get(timeout=_TICK)
                except queue.Empty:
                    self._nobody(acceptor)
                    continue
                self._serve(sock, stop)
        finally:
            self.door.close()
            closed.set()
            acceptor.join(2 * _TICK)
            while not self._arrived.empty():
                self._arrived.get().close(0.1)

    # -- connections arrive ------------------------------------------------------

    def _entrance(self) -> Entrance:
        options = self._options
        return Entrance(options.username, options.password, self._path, options.connect_timeout)

    def _let_in(self, sock: socket.socket, received: bytes, peer: str) -> None:
        """Called by a handshake's thread."""
        arrival = ServerSocket(sock, received, peer, self._exchange.deliver, self._at_close)
        self._arrived.put(arrival)
        if (current := self._current) is not None:
            log.warning(
                "%s connects from %s while it is connected from %s: the newer connection counts",
                self.asterisk, peer, current.peer,
            )  # fmt: skip
            current.supersede(f"a newer connection, from {peer}, took its place")

    def _at_close(self, frames: list[bytes]) -> None:
        """Events that still came while the connection was closed."""
        self._heard = self._clock()
        self.inbox.put(Batch(self._heard, frames), sum(map(len, frames)))

    def _nobody(self, acceptor: threading.Thread) -> None:
        if not acceptor.is_alive():
            raise RuntimeError(f"the thread that accepts connections on {self.door} died")
        now = time.monotonic()
        waited = now - self._nobody_since
        if waited > _NOBODY and now - self._nobody_said > _SAY_EVERY:
            self._nobody_said = now
            log.warning(
                "no Asterisk has been connected to %s for %.0f s: %s does not run, cannot reach it, or its "
                "websocket_client.conf and ari.conf do not name it", self.door, waited, self.asterisk,
            )  # fmt: skip

    # -- one connection ------------------------------------------------------------

    def _serve(self, sock: ServerSocket, stop: Event) -> None:
        self._reconfigured = False
        self._unregistered = False
        self._peer = sock.peer
        self._current = sock
        if not self._arrived.empty():
            sock.supersede("a newer connection took its place")
        self._exchange.attach(sock.send_text)
        startup = ""
        reason = "the listener itself failed"
        generation_before = self._generation
        try:
            session, startup = self._welcome(sock, stop)
            self.left = Left(startup, clean=False)
            taken = not self._complete and self._use_queue(sock, session)
            self._open(session)
            reason = "another client took the application" if taken else self._read(session, stop)
        except Disconnected as gone:
            reason = gone.reason
        finally:
            if stop.is_set():
                self.door.close()  # first, or it connects again at once and nobody reads what it queued
            sock.close(0.05 if not self._arrived.empty() else 1.0)
            self._current = None
            self._exchange.detach(reason)
            clean = sock.clean and not self._unregistered
            self.left = Left(startup, clean)
            if self._generation != generation_before:
                self.inbox.mark(Lost(self._clock(), reason, self._heard))
            self._peer = ""
            self._set_state(False, reason)
            self._nobody_since = time.monotonic()
            log.log(
                logging.INFO if stop.is_set() else logging.WARNING,
                "lost %s (%s): %s; %s",
                self.asterisk, sock.peer, reason,
                "it queues what comes" if clean else "what was under way may be lost, it queues the rest",
            )  # fmt: skip

    def _welcome(self, sock: ServerSocket, stop: Event) -> tuple[Session, str]:
        """Ask who that is, subscribe and filter; meanwhile the queued events are kept in `sock`."""
        host, _, port = sock.peer.rpartition(":")
        options = replace(self._options, address=Address(False, host.strip("[]"), int(port), ""))
        began = time.monotonic()

        def wait(answered: Callable[[], bool], deadline: float) -> None:
            sock.collect(lambda: answered() or stop.is_set(), deadline)

        # An application that was taken from us has no queue, and often no answers either.
        patience = self._request_timeout if self._taken else _FIRST_ANSWER
        rest = SocketRest(self._exchange, timeout=patience, breaker=Breaker(threshold=1_000), wait=wait)
        startup, subscribed_before = "", False
        self._doubt = ""
        # What reaches Asterisk 22 right behind the handshake it reads along with it, and then overlooks.
        wait(lambda: sock.spoke, began + _READY)
        try:
            info = self._booted(rest, stop, sock)
            startup = str(info["status"]["startup_time"])
            rest.timeout, rest.breaker = self._request_timeout, self._breaker
            self._breaker.answered()  # another session of Asterisk's, or another Asterisk
            app = self._exchange.application or options.app
            if app != options.app:
                log.warning(
                    "%s connects for the application %s, not %s: apps in its ari.conf should name that",
                    self.asterisk, app, options.app,
                )  # fmt: skip
                options = replace(options, app=app)
            session = self._session(options, rest, sock)
            subscribed_before = self._subscribe(session)
            session.set_filter(keep_varset=options.filter_varset != "drop")
        except (AriUnavailable, AriRefused, ConnectError, KeyError, TypeError) as error:
            rest.timeout, rest.breaker = self._request_timeout, self._breaker
            session = self._session(options, rest, sock)
            if not sock.ended and not stop.is_set():
                self._doubt = f"connected, but its REST requests fail ({error}): {_MEND}"
                log.error("%s is connected, but its REST requests fail (%s): %s", self.asterisk, error, _MEND)
        if startup and startup == self._taken:
            self._doubt = f"connected, but another client had taken its application: {_MEND}"
        known = self.left
        self._complete = (
            bool(startup) and subscribed_before and not self._doubt and known == Left(startup, clean=True)
        )
        if known is not None and known.startup_time and startup and known.startup_time != startup:
            log.warning("%s was restarted (at %s): what it had queued before is lost", self.asterisk, startup)
        log.debug("%s answered and sent its queue within %.2f s", self.asterisk, time.monotonic() - began)
        return session, startup

    def _booted(self, rest: SocketRest, stop: Event, sock: ServerSocket) -> Mapping[str, Any]:
        """GET /asterisk/info; it connects before it is booted, and then answers 503 for a moment."""
        until = time.monotonic() + _FIRST_ANSWER
        while True:
            try:
                return rest.get_info()
            except AriUnavailable as error:
                if error.status != 503 or time.monotonic() > until or stop.is_set():
                    raise
                sock.collect(stop.is_set, time.monotonic() + _AGAIN)

    def _session(self, options: ListenerOptions, rest: SocketRest, sock: ServerSocket) -> Session:
        return _Session(options, rest, sock, self.asterisk, self._on_events)

    def _subscribe(self, session: Session) -> bool:
        """Subscribe where `subscribe_all = yes` is missing; was it subscribed already?"""
        found = session.rest.application(session.options.app)
        if found is not None and found.get("channel_ids") and found.get("bridge_ids"):
            return True
        session.subscribe()
        log.warning(
            "%s queues nothing before we connect: set subscribe_all = yes for the outbound_websocket in its "
            "ari.conf", self.asterisk,
        )  # fmt: skip
        return False

    def _open(self, session: Session) -> None:
        self._generation += 1
        self._heard = self._clock()
        self.inbox.mark(Opened(self._heard, self._generation, self._complete))
        self._stuck_said = bool(self._doubt)
        self._nobody_said = 0.0
        self._set_state(not self._doubt, self._doubt or f"connected as {session.options.app}")
        log.info(
            "%s connected from %s as %s (connection %d): %s",
            self.asterisk, self._peer, session.options.app, self._generation,
            "nothing was missed" if self._complete else "something may have been missed before",
        )  # fmt: skip

    def _use_queue(self, sock: ServerSocket, session: Session) -> bool:
        """Before the mark of an opening after which it is asked what is alive: what it queued is older.

        The answers may overtake the end of it, so it is over at the first quiet moment. Is the
        application taken from us in it?
        """
        taken, until = False, time.monotonic() + _QUEUE_SECONDS
        while sock.kept or time.monotonic() < until:
            try:
                frames = sock.read_batch(_QUEUE_QUIET)
            except Disconnected:  # said again by the next read
                break
            if not frames:
                break
            session.note(frames)
            self.inbox.put(Batch(self._clock(), frames), sum(map(len, frames)))
            taken = self._is_replaced(session, frames) or taken
            self._varset_kept = session.adapt_filter(frames)
        return taken

    def _on_events(self, frames: list[bytes], session: Session) -> None:
        """Events prove that the application is ours."""
        if not self._connected and any(b'"Application' not in frame[:24] for frame in frames):
            self._doubt = self._taken = ""
            self._set_state(True, f"connected as {session.options.app}")

    def _check(self, session: Session) -> None:
        super()._check(session)
        if self._stuck_said and self._connected:
            self._set_state(False, f"connected, but its REST requests fail: {_MEND}")
        elif not self._stuck_said and not self._connected and not self._taken:
            self._set_state(True, f"connected as {session.options.app}")

    def _is_replaced(self, session: Session, frames: list[bytes]) -> bool:
        """Asterisk ends the session on its console's command, or another client takes the name."""
        if any(b'"ApplicationUnregistered"' in frame[:40] for frame in frames):
            self._unregistered, self._taken = True, ""
        if not super()._is_replaced(session, frames):
            return False
        self._taken = self.left.startup_time if self.left is not None else ""
        log.error(
            "another client took the application %s of %s: events do not come any more; %s",
            session.options.app, self.asterisk, _MEND,
        )  # fmt: skip
        return True


class _Session(Session):
    """A session that tells of events. Asterisk itself has made it: there was none before it to clean up."""

    asks_for_signs = False

    def __init__(
        self,
        options: ListenerOptions,
        rest: SocketRest,
        sock: ServerSocket,
        asterisk: str,
        on_events: Callable[[list[bytes], Session], None],
    ) -> None:
        super().__init__(options, rest, sock, asterisk)
        self._on_events = on_events

    def note(self, frames: list[bytes]) -> list[bytes]:
        """As a Session's."""
        self._on_events(frames, self)
        return super().note(frames)
