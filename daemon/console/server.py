"""The manager port: a TCP server around `Session`, for telnet and for programs.

Each connection has a reader (this file's `_Connection`) and a writer (its
outlet's pump). Stop is the mirror of start: first the listener closes, then
the sessions are told and end, each within the deadline.

Not on the loopback: the manager password is asked for, by who connects, not by
where we listen; without a password such an address is not listened on at all.
"""

from __future__ import annotations

import itertools
import logging
import socket
import time
from collections.abc import Callable, Mapping
from threading import Condition, Event, Thread

from daemon.console.dialogue import Dialogue
from daemon.console.outlet import Outlet
from daemon.console.registry import Registry
from daemon.console.session import Session
from daemon.errors import FatalError
from daemon.runtime.listening import listening, place_of
from daemon.settings.base import is_loopback, split_address

log = logging.getLogger("arimonitor.console")

GREETING_DELAY = 0.4
"""Seconds in which a program may send its first line, and is then never greeted."""

PASSWORD_TIMEOUT = 30.0
SEND_DEADLINE = 30.0
LINGER = 1.0
STOP_DEADLINE = 5.0
MAX_REFUSALS = 8
_BACKLOG = 64
_PIECE = 16 * 1024
"""Bytes read at a time: a flood of empty lines in one piece holds the hub up for under 50 ms."""

Spawn = Callable[[str, Callable[[], None]], object]


def spawn_thread(name: str, work: Callable[[], None]) -> None:
    """A helper of its own; with the patched standard library a greenlet."""
    Thread(target=work, name=name, daemon=True).start()


class ConsoleServer:
    """The service that listens on `listen` ("HOST:PORT"; port 0 is any free one).

    `banner()` greets people; `password` is the manager's; `idle` are the
    seconds after which a session without a line ends; `pause` waits so many
    seconds after a wrong password. FatalError from `open` or `run`: the address
    can't be listened on.
    """

    def __init__(
        self,
        listen: str,
        registry: Registry,
        *,
        banner: Callable[[], str],
        password: str | None = None,
        max_connections: int = 32,
        idle: float = 900.0,
        spawn: Spawn = spawn_thread,
        name: str = "console",
    ) -> None:
        self.name = name
        self.registry = registry
        self.banner = banner
        self.password = password
        self.idle = idle
        self._listen = listen
        self._max = max_connections
        self._spawn = spawn
        self._listener: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._changed = Condition()
        self._connections: set[_Connection] = set()
        self._refusing = 0
        self._accepted = 0
        self._refused = 0
        self._commands = 0
        self._failures = 0

    @property
    def address(self) -> str:
        """HOST:PORT that is listened on; before `open`, the configured one."""
        if self._listener is None:
            return self._listen
        return place_of(self._listener)

    def open(self) -> None:
        """Begin to listen; `run` does it too. FatalError where that can't be."""
        if self._listener is not None:
            return
        try:
            host, port = split_address(self._listen)
        except ValueError as error:
            raise FatalError(f"[manager] listen = {self._listen!r}: {error}") from error
        if self.password is None and not is_loopback(host):
            raise FatalError(
                f"the console must not listen on {self._listen} without a password: "
                "set [manager] password, or listen on 127.0.0.1"
            )
        self._listener = listening("the console", "[manager] listen", host, port, _BACKLOG)

    def run(self, stop: Event) -> None:
        """Serve until `stop` is set."""
        self.open()
        listener = self._listener
        if listener is None:
            raise FatalError(f"the console does not listen on {self._listen}")
        log.info("the console listens on %s", self.address)
        self._spawn(f"{self.name}-stop", lambda: _close_on(stop, listener))
        try:
            self._accept(listener, stop)
        finally:
            self._listener = None
            listener.close()
            self._end_sessions()

    def status(self) -> Mapping[str, object]:
        """Numbers for the snapshot."""
        return {
            "address": self.address,
            "sessions": len(self._connections),
            "accepted": self._accepted,
            "refused": self._refused,
            "commands": self._commands + sum(one.dialogue.commands for one in self._connections),
            "failures": self._failures + sum(one.dialogue.failures for one in self._connections),
        }

    def _accept(self, listener: socket.socket, stop: Event) -> None:
        while not stop.is_set():
            try:
                sock, peer = listener.accept()
            except OSError as error:
                if stop.is_set():
                    return
                # No descriptors left, or a client gone before we looked: others may be served later.
                log.warning("the console can't accept a connection: %s", error)
                stop.wait(1.0)
                continue
            self._accepted += 1
            self._take(sock, str(peer[0]), int(peer[1]))

    def _take(self, sock: socket.socket, host: str, port: int) -> None:
        number = next(self._numbers)
        if len(self._connections) < self._max:
            try:
                connection = _Connection(self, sock, host, port)
            except OSError as error:
                log.warning("the console session of %s could not begin: %s", host, error)
                sock.close()
                return
            self._connections.add(connection)
            self._spawn(f"{self.name}-{number}-writer", connection.outlet.pump)
            self._spawn(f"{self.name}-{number}", lambda: self._serve(connection))
            return
        self._refused += 1
        if self._refused == 1 or self._refused % 100 == 0:
            log.warning("%d console connections refused: %d are open", self._refused, self._max)
        if self._refusing >= MAX_REFUSALS:
            sock.close()
        else:
            self._refusing += 1
            self._spawn(f"{self.name}-{number}-refusal", lambda: self._refuse(sock))

    def _serve(self, connection: _Connection) -> None:
        try:
            connection.serve()
        except OSError as error:
            log.debug("the console session of %s ended: %s", connection.peer, error)
        finally:
            connection.close()
            with self._changed:
                self._connections.discard(connection)
                self._commands += connection.dialogue.commands
                self._failures += connection.dialogue.failures
                self._changed.notify_all()

    def _refuse(self, sock: socket.socket) -> None:
        line = f"Too many connections: at most {self._max}. End one and try again.\r\n"
        try:
            sock.settimeout(LINGER)
            sock.sendall(line.encode())
            _linger(sock)
        except OSError as error:
            log.debug("a refused console client did not wait for the reason: %s", error)
        finally:
            sock.close()
            self._refusing -= 1

    def _end_sessions(self) -> None:
        for connection in tuple(self._connections):
            connection.end("The daemon stops.")
        with self._changed:
            if not self._changed.wait_for(lambda: not self._connections, STOP_DEADLINE):
                log.warning("%d console sessions did not end in time", len(self._connections))
        for connection in tuple(self._connections):
            connection.close()


class _Connection:
    """One client: reads, and feeds the dialogue."""

    def __init__(self, server: ConsoleServer, sock: socket.socket, host: str, port: int) -> None:
        self.peer = f"{host}:{port}"
        self._idle = server.idle
        self._sock = sock
        # Telnet's synch is sent as urgent data: out of line its last byte would be lost.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Timeouts belong to the socket object: the writer's is another than the reader's.
        self._writer = sock.dup()
        self._writer.settimeout(SEND_DEADLINE)
        self.outlet = Outlet(self._writer.send, lambda: self._shut(socket.SHUT_RDWR))
        password = None if is_loopback(host) else server.password
        self._session = Session(server.banner(), password=password)
        self.dialogue = Dialogue(server.registry, self._session, self.outlet, self.peer, self._pause)
        self._ended = Event()

    def serve(self) -> None:
        """Talk until either side ends it."""
        while not self.dialogue.over:
            self._sock.settimeout(self._patience())
            try:
                data = self._sock.recv(_PIECE)
            except TimeoutError:
                self._on_silence()
                continue
            if not data:
                break
            self.dialogue.feed(data)
        self.dialogue.close()
        if self.outlet.drain(SEND_DEADLINE):
            self.outlet.end()
            _linger(self._sock)

    def end(self, message: str) -> None:
        """End it from our side; `serve` then returns."""
        self._ended.set()
        self.dialogue.end(message)
        self._shut(socket.SHUT_RD)

    def close(self) -> None:
        """Let go of everything."""
        self.dialogue.close()
        self.outlet.abandon()
        self._writer.close()
        self._sock.close()

    def _patience(self) -> float:
        if not self._session.greeted:
            return GREETING_DELAY
        return self._idle if self._session.authorised else min(PASSWORD_TIMEOUT, self._idle)

    def _on_silence(self) -> None:
        if not self._session.greeted:
            self.dialogue.greet()
        elif not self._session.following:
            self.dialogue.end(f"Nothing was typed for {self._patience():.0f} s: the session ends.")

    def _pause(self, tries: int) -> None:
        self._ended.wait(float(tries))

    def _shut(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError as error:
            log.debug("%s was gone already: %s", self.peer, error)


def _linger(sock: socket.socket) -> None:
    """Say that no more comes, and read on a moment.

    Closing with unread bytes resets the connection, and our last line would
    be lost on its way.
    """
    sock.shutdown(socket.SHUT_WR)
    until = time.monotonic() + LINGER
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if not sock.recv(64 * 1024):
                return
        except TimeoutError:
            return


def _close_on(stop: Event, listener: socket.socket) -> None:
    stop.wait()
    try:
        # Wakes accept: of a greenlet by the close, of a thread by the shutdown.
        listener.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("the console's listener was closed already: %s", error)
    listener.close()
