"""One client of the lab's Asterisk: HTTP (h11), then perhaps a websocket (wsproto). Adapter.

Everything has a bound: bytes of a request, seconds to send it, events that
wait for a slow reader. As Asterisk does, a slow reader is cut off.
"""

from __future__ import annotations

import json
import queue
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import ProtocolError

_REQUEST_SECONDS: Final = 10.0
_SEND_SECONDS: Final = 10.0
_MOST_HEAD: Final = 16 * 1024
_MOST_BODY: Final = 64 * 1024
_MOST_WAITING: Final = 20_000  # events that a reader may be behind
_AT_ONCE: Final = 200  # events in one write
_SERVER: Final = b"Asterisk/22 (ARIMONITOR LAB)"


class BadRequest(Exception):
    """What came is no request that is answered. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """`query`: the last of each name. `upgrade`: a websocket is asked for."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: str
    body: bytes
    upgrade: bool
    headers: list[tuple[bytes, bytes]]
    target: bytes


class HttpConnection:
    """One request, one answer, and the connection is closed; unless it becomes a websocket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD)

    def read(self) -> Request | None:
        """The request; None: the client left. Raises BadRequest, OSError (TimeoutError: too slow)."""
        until = time.monotonic() + _REQUEST_SECONDS
        head: h11.Request | None = None
        body = b""
        try:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    self.sock.settimeout(max(0.001, until - time.monotonic()))
                    self._http.receive_data(self.sock.recv(65536))
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > _MOST_BODY:
                        raise BadRequest(413, "Request body too large")
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    return _request(head, body)
                else:
                    return None
        except h11.RemoteProtocolError as error:
            raise BadRequest(error.error_status_hint, "Bad request") from error

    def answer(self, status: int, value: object) -> None:
        """Answer with JSON. Raises OSError."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        headers = [
            (b"Server", _SERVER),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            (b"Connection", b"close"),
        ]
        if status == 401:
            headers.append((b"WWW-Authenticate", b'Basic realm="Asterisk REST Interface (LAB)"'))
        if status == 426:
            headers.append((b"Upgrade", b"websocket"))
        data = self._http.send(h11.Response(status_code=status, headers=headers)) or b""
        data += self._http.send(h11.Data(data=body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        self.sock.settimeout(_SEND_SECONDS)
        self.sock.sendall(data)

    def upgrade(self, request: Request) -> WebSocket:
        """Shake hands for a websocket. Raises BadRequest, OSError."""
        protocol = WSConnection(ConnectionType.SERVER)
        try:
            protocol.initiate_upgrade_connection(request.headers, request.target)
            list(protocol.events())
            answer = protocol.send(AcceptConnection(extra_headers=[(b"Server", _SERVER)]))
        except ProtocolError as error:
            raise BadRequest(400, "Bad websocket handshake") from error
        self.sock.settimeout(_SEND_SECONDS)
        self.sock.sendall(answer)
        return WebSocket(self.sock, protocol, self._http.trailing_data[0])


class WebSocket:
    """A connected websocket: `read` and `write` are loops, each for a thread of its own."""

    def __init__(self, sock: socket.socket, protocol: WSConnection, received: bytes) -> None:
        self._sock = sock
        self._protocol = protocol
        self._received = received
        self._waiting: queue.Queue[Event | None] = queue.Queue(_MOST_WAITING)
        self._closing = False

    def send(self, text: str) -> bool:
        """Send a text message soon; False: the reader is too slow, and was cut off."""
        if self._closing:
            return True
        try:
            self._waiting.put_nowait(TextMessage(data=text))
        except queue.Full:
            self.end()
            return False
        return True

    def close(self, code: int, reason: str) -> None:
        """Close properly, behind what is still to be sent: `read` ends when the client agrees."""
        if not self._closing:
            self._last(CloseConnection(code=code, reason=reason))

    def end(self) -> None:
        """End the connection at once; twice is no error."""
        self._closing = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other side was faster
            pass
        finally:
            self._sock.close()

    def read(self) -> None:
        """Answer pings and the close frame until the client goes."""
        data = self._received
        try:
            while True:
                if data:
                    self._protocol.receive_data(data)
                    for event in self._protocol.events():
                        if isinstance(event, Ping):
                            self._waiting.put_nowait(event.response())
                        elif isinstance(event, CloseConnection):
                            if not self._closing:
                                self._last(event.response())
                            return
                try:
                    data = self._sock.recv(65536)
                except TimeoutError:  # the timeout is the writer's; a silent client is well
                    data = b""
                    continue
                if not data:
                    return
        except (OSError, ProtocolError, queue.Full):
            return
        finally:
            self._last(None)

    def write(self) -> None:
        """Send what waits until `read` is through; then end the connection."""
        going = True
        try:
            while going:
                events = [self._waiting.get()]
                while len(events) < _AT_ONCE and not self._waiting.empty():
                    events.append(self._waiting.get_nowait())
                going = None not in events
                data = b"".join(self._protocol.send(event) for event in events if event is not None)
                self._sock.sendall(data)
        except (OSError, ProtocolError):
            return
        finally:
            self.end()

    def _last(self, event: Event | None) -> None:
        """Queue what nothing but the end may follow; where there is no room, the connection just ends."""
        self._closing = True
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self.end()


def _request(head: h11.Request, body: bytes) -> Request:
    url = urlsplit(head.target.decode("latin-1"))
    headers = [(bytes(name), bytes(value)) for name, value in head.headers]
    by_name = {name.decode("latin-1"): value.decode("latin-1").strip() for name, value in headers}
    return Request(
        head.method.decode("ascii"), url.path, dict(parse_qsl(url.query)), by_name.get("authorization", ""),
        body, "websocket" in by_name.get("upgrade", "").lower(), headers, head.target,
    )  # fmt: skip
