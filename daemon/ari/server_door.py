"""Where Asterisk 22 connects to: listens, reads the handshake, lets in who may. Adapter.

    accept -> HTTP head (h11) -> user and password -> path -> websocket (wsproto) -> `welcome`

Every connection has a thread and a deadline for all of its handshake, and
there are not many at a time: whoever is slow or talks nonsense holds nobody up.
"""

from __future__ import annotations

import hmac
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request
from wsproto.utilities import ProtocolError

from daemon.ari.address import basic_authorization
from daemon.ari.wire import keep_alive
from daemon.errors import FatalError
from daemon.runtime.listening import place
from daemon.settings.base import is_loopback

log = logging.getLogger("arimonitor.ari")

_MOST_HEAD: Final = 16 * 1024
_MOST_GREETED: Final = 16
_TICK: Final = 0.25
_SUBPROTOCOL: Final = "ari"


class Refused(Exception):
    """Who connects is not let in; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Entrance:
    """Who is let in. `path`: the only one; "" is any, since each Asterisk has a port of its own.

    Without a password nobody is asked for one, but only this machine's own
    Asterisk is let in.
    """

    username: str
    password: str = field(repr=False)
    path: str = ""
    timeout: float = 5.0

    def admits(self, authorization: bytes, host: str) -> bool:
        """Is this the user and the password? In constant time."""
        expected = basic_authorization(self.username, self.password).encode()
        if not self.password and not is_loopback(host):
            return False
        if not self.password and not authorization:
            return True
        scheme, _, word = authorization.partition(b" ")
        return hmac.compare_digest(scheme.capitalize() + b" " + word.strip(), expected)


class Refusals:
    """What of many refusals is said: each reason once, then one line in `every` seconds. Pure."""

    def __init__(self, every: float = 300.0, most: int = 50) -> None:
        self.count = 0
        self._every = every
        self._most = most
        self._said: dict[str, tuple[float, int]] = {}

    def refused(self, reason: str, now: float) -> str | None:
        """Count a refusal; the sentence to log, None when it would only repeat."""
        self.count += 1
        if reason not in self._said and len(self._said) >= self._most:
            self._said = {said: at for said, at in self._said.items() if now - at[0] < self._every}
        if reason not in self._said and len(self._said) >= self._most:
            reason = "too many different reasons to name each"
        said_at, unsaid = self._said.get(reason, (0.0, -1))
        if unsaid >= 0 and now - said_at < self._every:
            self._said[reason] = (said_at, unsaid + 1)
            return None
        self._said[reason] = (now, 0)
        return f"{reason} ({unsaid} more in the last {now - said_at:.0f} s)" if unsaid > 0 else reason


class Door:
    """The listening socket of one Asterisk, HOST:`port` (0: any free one, once `open`)."""

    def __init__(
        self,
        asterisk: str,
        host: str,
        port: int,
        entrance: Callable[[], Entrance],
        welcome: Callable[[socket.socket, bytes, str], None],
    ) -> None:
        """`entrance` is asked for each connection; `welcome` gets socket, bytes read beyond, HOST:PORT."""
        self.asterisk = asterisk
        self.host = host
        self.port = port
        self.refusals = Refusals()
        self._entrance = entrance
        self._welcome = welcome
        self._listener: socket.socket | None = None
        self._places = threading.BoundedSemaphore(_MOST_GREETED)

    def __str__(self) -> str:
        return place(self.host, self.port)

    def open(self) -> None:
        """Listen, so that `port` is known and connections wait. Raises FatalError."""
        if self._listener is not None:
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            self._listener = socket.create_server((self.host, self.port), family=family, backlog=16)
        except OSError as error:
            raise FatalError(
                f"cannot listen on {self} for the websocket of {self.asterisk} "
                f"({error.strerror or error}): is another process there? See `listen` of [[asterisk]]"
            ) from error
        self.port = int(self._listener.getsockname()[1])
        entrance = self._entrance()
        if not entrance.password:
            log.warning(
                "%s listens for %s without a password: only an Asterisk of this machine is let in",
                self, self.asterisk,
            )  # fmt: skip

    def close(self) -> None:
        """Listen no more; who is in stays. Twice is no error."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def serve(self, stop: threading.Event) -> None:
        """Let in who may, until `stop`."""
        while not stop.is_set() and (listener := self._listener) is not None:
            listener.settimeout(_TICK)
            try:
                sock, address = listener.accept()
            except TimeoutError:
                continue
            except OSError as error:  # aborted before it was accepted, or no file descriptor is left
                if self._listener is not None:
                    self._say(f"accepting failed ({error.strerror or error})")
                    stop.wait(_TICK)
                continue
            peer = place(address[0], address[1])
            if not self._places.acquire(blocking=False):
                self._say(f"more than {_MOST_GREETED} connections shake hands at once")
                sock.close()
                continue
            name = f"handshake-{self.asterisk}"
            threading.Thread(
                target=self._greet, args=(sock, str(address[0]), peer), name=name, daemon=True
            ).start()

    def _greet(self, sock: socket.socket, host: str, peer: str) -> None:
        entrance = self._entrance()
        try:
            try:
                answer, rest = _shake_hands(sock, entrance, host, time.monotonic() + entrance.timeout)
                if self._listener is None:  # whom we let in now, nobody would read
                    raise Refused(503, "we are stopping (503)")
                sock.settimeout(entrance.timeout)
                sock.sendall(answer)
            except Refused as refused:
                self._say(f"from {host}: {refused}")
                _answer(sock, refused.status)
                return
            except TimeoutError:
                self._say(f"from {host}: its handshake took longer than {entrance.timeout:.0f} s")
                return
            except OSError as error:
                self._say(f"from {host}: it broke off during the handshake ({error.strerror or error})")
                return
            keep_alive(sock)
            self._welcome(sock, rest, peer)
            sock = None  # type: ignore[assignment]  # it is the welcome's now
        finally:
            self._places.release()
            if sock is not None:
                sock.close()

    def _say(self, reason: str) -> None:
        sentence = self.refusals.refused(reason, time.monotonic())
        if sentence:
            log.warning("a connection to %s for %s was refused: %s", self, self.asterisk, sentence)


def _shake_hands(sock: socket.socket, entrance: Entrance, host: str, deadline: float) -> tuple[bytes, bytes]:
    """Read the request: the answer that lets it in, and the bytes behind it. Raises Refused, OSError."""
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD)
    try:
        while not isinstance(event := http.next_event(), h11.Request):
            if event is not h11.NEED_DATA:
                raise OSError("closed")
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            sock.settimeout(remaining)
            http.receive_data(sock.recv(4096))
        headers = {bytes(name): bytes(value) for name, value in event.headers}
        if not entrance.admits(headers.get(b"authorization", b""), host):
            raise Refused(
                401, "wrong user name or password (401): compare them with those in websocket_client.conf"
            )
        if b"websocket" not in headers.get(b"upgrade", b"").lower():
            raise Refused(426, "it asked for something else than a websocket (426)")
        path = urlsplit(event.target.decode("latin-1")).path
        if entrance.path and path.rstrip("/") != entrance.path.rstrip("/"):
            raise Refused(404, f"wrong path (404): uri in websocket_client.conf must end in {entrance.path}")
        http.next_event()  # the end of a request without a body
        websocket = WSConnection(ConnectionType.SERVER)
        websocket.initiate_upgrade_connection(
            [(bytes(name), bytes(value)) for name, value in event.headers], event.target.decode("latin-1")
        )
        asked = next(websocket.events())
        if not isinstance(asked, Request) or _SUBPROTOCOL not in asked.subprotocols:
            raise Refused(400, "it does not speak the subprotocol ari (400): protocols = ari is missing")
        answer = websocket.send(AcceptConnection(subprotocol=_SUBPROTOCOL))
    except h11.RemoteProtocolError as error:  # whose text repeats what came
        raise Refused(400, "what it sent is no HTTP request (400)") from error
    except ProtocolError as error:
        raise Refused(400, f"no websocket handshake (400): {str(error)[:80]}") from error
    return answer, http.trailing_data[0]


def _answer(sock: socket.socket, status: int) -> None:
    """Refuse. Whether the other side still listens is not our concern."""
    more = {401: 'WWW-Authenticate: Basic realm="arimonitor"\r\n', 426: "Upgrade: websocket\r\n"}
    try:
        sock.settimeout(1.0)
        sock.sendall(
            f"HTTP/1.1 {status} Refused\r\n{more.get(status, '')}"
            f"Connection: close\r\nContent-Length: 0\r\n\r\n".encode()
        )
    except OSError as error:
        log.debug("a refusal could not be sent: %s", error)
