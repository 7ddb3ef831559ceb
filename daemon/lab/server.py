"""The lab's Asterisk: plays recorded calls over a real websocket, at the pace of life. Service.

    player -> events that are due -> each application that wants them -> its websocket
           -> channels, bridges   -> GET /ari/channels, /ari/bridges

It listens on 127.0.0.1 only. It is no Asterisk: it answers what a monitor
asks (see `ari`), and nothing it says happened.
"""

from __future__ import annotations

import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event
from typing import Final

from daemon.ari.address import basic_authorization
from daemon.errors import FatalError
from daemon.lab.ari import Application, Ari
from daemon.lab.connection import BadRequest, HttpConnection, Request, WebSocket
from daemon.lab.player import Player, describe

log = logging.getLogger("arimonitor.lab")

_MOST_CLIENTS: Final = 64
_TICK: Final = 0.1  # seconds between looks at the clock
_AT_ONCE: Final = 200  # events between two looks at everything else
_PATIENCE: Final = 10.0  # seconds after which the calls begin without anybody listening
_GOODBYE: Final = 1.0  # seconds for the websockets to close


class LabServer:
    """HTTP and websocket server on 127.0.0.1:`port` (0: any free one, once `open`)."""

    def __init__(
        self,
        port: int,
        player: Player,
        username: str,
        password: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = "lab"
        self.port = port
        self._player = player
        self._authorization = basic_authorization(username, password).encode()
        self._started = clock()
        self._ari = Ari(player, self._started)
        self._lock = threading.Lock()  # of player, ari and sessions
        self._sessions: dict[WebSocket, Application] = {}
        self._clients: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._events = 0
        # Asterisk's clock does not jump while calls go on.
        self._offset = self._started - time.monotonic()

    def open(self) -> None:
        """Listen, so that `port` is known and connections wait. Raises FatalError."""
        if self._listener is not None:
            return
        try:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        except OSError as error:
            raise FatalError(
                f"the lab can't listen on 127.0.0.1:{self.port} ({error.strerror}): give it another port"
            ) from error
        self.port = int(self._listener.getsockname()[1])

    def status(self) -> Mapping[str, object]:
        """What is being played, and to how many."""
        with self._lock:
            return {
                "port": self.port,
                "connections": len(self._sessions),
                "events": self._events,
                **describe(self._player),
            }

    def run(self, stop: Event) -> None:
        """Play until `stop`; then say goodbye to the clients."""
        self.open()
        listener = self._listener
        assert listener is not None
        threading.Thread(target=self._accept, args=(listener,), name="lab-accept", daemon=True).start()
        log.info("LAB: recorded calls are played on 127.0.0.1:%d; nothing of it is real", self.port)
        began = time.monotonic()
        try:
            while not stop.is_set():
                stop.wait(self._play(alone=time.monotonic() - began > _PATIENCE))
        finally:
            self._close(listener)

    # -- playing ----------------------------------------------------------------

    def _now(self) -> float:
        return time.monotonic() + self._offset

    def _play(self, *, alone: bool) -> float:
        """Send what is due. How long (seconds) until the next look."""
        with self._lock:
            if alone or self._ari.subscribed:
                self._player.begin(self._now())
            events = self._player.take(self._now(), _AT_ONCE)
            sessions = list(self._sessions.items())
            due = self._player.next_due()
            self._events += len(events)
        for websocket, application in sessions:
            for event in events:
                if application.wants(event.type) and not websocket.send(event.to(application.name)):
                    log.warning("LAB: %s reads too slowly and was cut off", application.name)
                    break
        return _TICK if due is None else min(_TICK, max(0.001, due - self._now()))

    # -- clients ----------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                if listener.fileno() < 0 or self._listener is not listener:
                    return  # closed: the end
                time.sleep(0.5)  # out of file descriptors
                continue
            if len(self._clients) >= _MOST_CLIENTS:
                client.close()
                continue
            self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), name="lab-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        connection = HttpConnection(client)
        try:
            # Small events one by one, as Asterisk sends them: no waiting for more.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = connection.read()
            if request is not None:
                self._answer(connection, request)
        except BadRequest as bad:
            with suppress(OSError):  # it may be gone already
                connection.answer(bad.status, {"message": str(bad)})
        except OSError as error:
            log.debug("LAB: a client left: %s", error)
        finally:
            self._clients.discard(client)
            client.close()

    def _answer(self, connection: HttpConnection, request: Request) -> None:
        if not request.path.startswith("/ari/"):
            connection.answer(404, {"message": "Not found: the lab has ARI only, below /ari"})
        elif not hmac.compare_digest(request.authorization.encode("latin-1"), self._authorization):
            connection.answer(401, {"message": "Authentication required"})
        elif request.path == "/ari/events":
            self._websocket(connection, request)
        else:
            with self._lock:
                status, value = self._ari.answer(
                    request.method,
                    request.path.removeprefix("/ari"),
                    request.query,
                    request.body,
                    self._now(),
                )
            connection.answer(status, value)

    def _websocket(self, connection: HttpConnection, request: Request) -> None:
        name = request.query.get("app", "")
        if not request.upgrade:
            raise BadRequest(426, "Upgrade required: /ari/events is a websocket")
        if not name or len(name) > 80 or not name.isprintable():
            raise BadRequest(400, "HTTP request is missing param: [app]")
        # Known before the client is: its REST calls may be faster than we are.
        application = self._register(name, everything=request.query.get("subscribeAll") == "true")
        if application is None:
            raise BadRequest(503, "Too many applications")
        try:
            websocket = connection.upgrade(request)
        except BaseException:
            self._forget(application)
            raise
        with self._lock:
            self._sessions[websocket] = application
        log.info("LAB: %s listens", name)
        writer = threading.Thread(target=websocket.write, name="lab-writer", daemon=True)
        writer.start()
        try:
            websocket.read()
        finally:
            self._forget(application, websocket)
            writer.join(_GOODBYE)
            websocket.end()
            log.info("LAB: %s has gone", name)

    def _register(self, name: str, *, everything: bool) -> Application | None:
        """Enter an application; a session that it has already is told, and closed."""
        with self._lock:
            others = [session for session, app in self._sessions.items() if app.name == name]
            for other in others:
                del self._sessions[other]
            application = self._ari.register(name, everything=everything)
        for other in others:
            other.send(json.dumps({"type": "ApplicationReplaced", "application": name}))
            other.close(1000, "another client took the application")
        return application

    def _forget(self, application: Application, websocket: WebSocket | None = None) -> None:
        with self._lock:
            if websocket is not None:
                self._sessions.pop(websocket, None)
            self._ari.forget(application)

    def _close(self, listener: socket.socket) -> None:
        """Refuse connections, close the websockets, end what is left."""
        self._listener = None
        with suppress(OSError):  # not all systems shut a listening socket down
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            sessions = list(self._sessions)
        for websocket in sessions:
            websocket.close(1001, "the lab ends")
        until = time.monotonic() + _GOODBYE
        while self._clients and time.monotonic() < until:
            time.sleep(0.01)
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
