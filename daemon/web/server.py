"""The service that answers HTTP: gevent.pywsgi on each configured address, under limits.

pywsgi is not made for hostile networks: it belongs on the loopback, behind the
site's own web server.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING

from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from daemon.errors import FatalError
from daemon.runtime.listening import listening, place_of
from daemon.settings.base import is_loopback, split_address
from daemon.web.handler import DEADLINE, IDLE, LimitedHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger("arimonitor.web")

STOP_DEADLINE = 2.0
_BACKLOG = 128


class _Log:
    """pywsgi's two logs as one of ours, at level DEBUG."""

    def write(self, text: str) -> None:
        log.debug("%s", text.rstrip())

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is held back."""


class Connections:
    """Who is connected, and who of them asks nothing. The oldest of those makes room for a new one."""

    def __init__(self, most: int) -> None:
        self.pool = Pool(most)
        self.requests = 0
        self.ended = 0
        self._idle: dict[LimitedHandler, None] = {}  # in the order in which they became so

    def idle(self, handler: LimitedHandler) -> None:
        """It waits for a request."""
        self._idle[handler] = None
        if self.pool.full():
            self.ended += 1
            self._end_oldest()

    def busy(self, handler: LimitedHandler) -> None:
        """It waits no more."""
        self._idle.pop(handler, None)

    def forget(self, handler: LimitedHandler) -> None:
        """It is gone."""
        self._idle.pop(handler, None)

    def end_idle(self) -> None:
        """End all that ask nothing."""
        while self._idle:
            self._end_oldest()

    def _end_oldest(self) -> None:
        oldest = next(iter(self._idle))
        del self._idle[oldest]
        oldest.hang_up()


class _Server(WSGIServer):  # type: ignore[misc]  # gevent has no types
    handler_class = LimitedHandler

    def __init__(
        self,
        listener: socket.socket,
        application: WSGIApplication,
        connections: Connections,
        idle: float,
        deadline: float,
    ) -> None:
        host, port = listener.getsockname()[:2]
        # Without a name here pywsgi asks the DNS for one.
        names = {"SERVER_NAME": host, "SERVER_PORT": str(port)}
        pages_log = _Log()
        super().__init__(
            listener,
            application,
            spawn=connections.pool,
            log=pages_log,
            error_log=pages_log,
            environ=names,
        )
        self.connections = connections
        self.idle = idle
        self.deadline = deadline


class WebServer:
    """The service on `listen` (each "HOST:PORT"; port 0 is any free one); all serve the same `app`.

    `idle`: seconds a connection may ask nothing. `deadline`: seconds for a
    request and its answer. FatalError from `open` or `run`: an address can't be
    listened on.
    """

    name = "web"

    def __init__(
        self,
        listen: Sequence[str],
        app: WSGIApplication,
        *,
        max_connections: int = 128,
        idle: float = IDLE,
        deadline: float = DEADLINE,
    ) -> None:
        self._listen = tuple(listen)
        self._app = app
        self._connections = Connections(max_connections)
        self._idle = idle
        self._deadline = deadline
        self._listeners: list[socket.socket] = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """HOST:PORT of each that is listened on; before `open`, the configured ones."""
        if not self._listeners:
            return self._listen
        return tuple(place_of(listener) for listener in self._listeners)

    def open(self) -> None:
        """Begin to listen; `run` does it too. FatalError where that can't be, and then on none."""
        if self._listeners:
            return
        opened: list[socket.socket] = []
        try:
            for address in self._listen:
                opened.append(_listener(address))
        except FatalError:
            for listener in opened:
                listener.close()
            raise
        self._listeners = opened

    def run(self, stop: Event) -> None:
        """Serve until `stop` is set."""
        self.open()
        servers = [
            _Server(listener, self._app, self._connections, self._idle, self._deadline)
            for listener in self._listeners
        ]
        try:
            for server in servers:
                server.start()
            self._say()
            stop.wait()
        finally:
            for server in servers:
                server.close()
            self._listeners = []
            self._connections.end_idle()
            self._connections.pool.join(timeout=STOP_DEADLINE)
            self._connections.pool.kill(timeout=STOP_DEADLINE)

    def status(self) -> Mapping[str, object]:
        """Numbers for the snapshot. `ended`: idle connections closed to make room."""
        return {
            "addresses": ", ".join(self.addresses),
            "connections": len(self._connections.pool),
            "requests": self._connections.requests,
            "ended": self._connections.ended,
        }

    def _say(self) -> None:
        for listener in self._listeners:
            if is_loopback(listener.getsockname()[0]):
                log.info("the web server listens on http://%s", place_of(listener))
            else:
                log.warning(
                    "the web server listens on http://%s: whoever reaches this machine sees calls and state "
                    "without a password; put the site's own web server in front",
                    place_of(listener),
                )


def _listener(address: str) -> socket.socket:
    try:
        host, port = split_address(address)
    except ValueError as error:
        raise FatalError(f"[http] listen = {address!r}: {error}") from error
    listener = listening("the web server", "[http] listen", host, port, _BACKLOG)
    listener.setblocking(False)
    return listener
