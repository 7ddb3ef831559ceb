"""A small fake Asterisk: ARI's websocket and the REST calls that a monitor makes.

It behaves like Asterisk until told otherwise: `faults` make it refuse, hang,
drop or lie. Plain sockets and threads (greenlets where patched), so it can
send what no websocket library would.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE, wait_until

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def frame(payload: bytes, opcode: int = TEXT, *, final: bool = True) -> bytes:
    """One unmasked frame, as servers send them."""
    first = (0x80 if final else 0) | opcode
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", first, size)
    elif size < 65536:
        head = struct.pack(">BBH", first, 126, size)
    else:
        head = struct.pack(">BBQ", first, 127, size)
    return head + payload


def encoded(event: object) -> bytes:
    """JSON as Asterisk writes it."""
    return json.dumps(event, separators=(",", ":")).encode()


@dataclass
class Faults:
    """`handshake`: ok, an HTTP status as text, hang, garbage, drop, drip. `rest`: the same by resource.

    `deaf`: the sessions that begin now get no events, and nothing says so.
    """

    handshake: str = "ok"
    rest: dict[str, str] = field(default_factory=dict)
    pong: bool = True
    deaf: bool = False
    prefix: str = ""


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Session:
    """One websocket client."""

    def __init__(self, server: FakeAri, sock: socket.socket, request: Request) -> None:
        self.server = server
        self.sock = sock
        self.request = request
        self.app = request.query["app"]
        self.received: list[tuple[int, bytes]] = []
        self.deaf = server.faults.deaf
        self.closed = threading.Event()

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def send(self, *events: object) -> None:
        """Send events, all in one write."""
        self.raw(b"".join(frame(event if isinstance(event, bytes) else encoded(event)) for event in events))

    def close(self, code: int = 1000, reason: bytes = b"") -> None:
        """Close properly: a close frame, then the connection once the client answered it."""
        self.raw(frame(struct.pack(">H", code) + reason, CLOSE))

    def abort(self) -> None:
        """Reset the connection, as a crash does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()

    def end(self) -> None:
        """End the connection without a close frame."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def serve(self) -> None:
        """Read the client's frames until it goes."""
        reader = self.sock.makefile("rb")
        try:
            while head := reader.read(2):
                opcode, size = head[0] & 0xF, head[1] & 0x7F
                if size == 126:
                    size = int.from_bytes(reader.read(2), "big")
                elif size == 127:
                    size = int.from_bytes(reader.read(8), "big")
                assert head[1] & 0x80, "a client's frames must be masked"
                mask, data = reader.read(4), reader.read(size)
                payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
                self.received.append((opcode, payload))
                if opcode == PING and self.server.faults.pong:
                    self.raw(frame(payload, PONG))
                if opcode == CLOSE:
                    with suppress(OSError):
                        self.raw(frame(payload, CLOSE))
                    break
        except OSError:
            pass
        finally:
            self.end()
            self.closed.set()


class FakeAri:
    """The server. `url` is what a configuration would say."""

    def __init__(
        self, username: str = "monitor", password: str = "secret", tls: ssl.SSLContext | None = None
    ) -> None:
        self.faults = Faults()
        self.tls = tls
        self.username, self.password = username, password
        self.sessions: list[Session] = []
        self.requests: list[Request] = []
        self.applications: dict[str, dict[str, Any]] = {}
        self.replies: dict[str, Any] = {"/channels": [], "/bridges": [], "/endpoints": []}
        self.on_session: Callable[[Session], None] | None = None
        self._listener: socket.socket | None = None
        self.port = free_port()

    def start(self) -> FakeAri:
        """Listen, on the same port each time."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Refuse connections from now on, and end those there are."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for session in self.sessions:
            session.end()
        self.applications.clear()

    def __enter__(self) -> FakeAri:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """For `[[asterisk]] url`."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}{self.faults.prefix}"

    def session(self, number: int, deadline: float = DEADLINE) -> Session:
        """The websocket connection with this number, from 1; waits for it."""
        wait_until(lambda: len(self.sessions) >= number, f"websocket connection {number}", deadline)
        return self.sessions[number - 1]

    def asked(self, method: str, part: str) -> list[Request]:
        """The requests so far with that method and `part` in their path."""
        return [r for r in list(self.requests) if r.method == method and part in r.path]

    def broadcast(self, *events: dict[str, Any], app: str = "") -> None:
        """Send events to every application, or to one, as far as its subscription and filter allow."""
        for session in [each for each in self.sessions if app in ("", each.app)]:
            known = self.applications.get(session.app)
            if session.closed.is_set() or session.deaf or known is None or not known["channel_ids"]:
                continue
            allowed = {rule["type"] for rule in known["events_allowed"]}
            with suppress(OSError):  # its client was killed
                session.send(
                    *(
                        {**event, "application": session.app}
                        for event in events
                        if not allowed or event["type"] in allowed
                    )
                )

    # -- HTTP -----------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            request = _read_request(sock)
            if request is not None:
                self.requests.append(request)
                self._route(sock, request)
        except OSError:
            pass
        finally:
            sock.close()

    def _route(self, sock: socket.socket, request: Request) -> None:
        root = self.faults.prefix + "/ari"
        expected = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if not request.path.startswith(root + "/"):
            _answer(sock, 404, b"<html>Not Found</html>", "text/html")
            return
        resource = request.path[len(root) :]
        websocket = resource == "/events"
        fault = self.faults.handshake if websocket else self.faults.rest.get(resource, "ok")
        if fault != "ok":
            _misbehave(sock, fault)
        elif request.headers.get("authorization") != expected:
            _answer(sock, 401, encoded({"message": "Authentication required"}))
        elif websocket:
            self._websocket(sock, request)
        else:
            status, answer = self._rest(request, resource)
            _answer(sock, status, encoded(answer))

    def _websocket(self, sock: socket.socket, request: Request) -> None:
        app = request.query.get("app", "")
        if not app:
            _answer(sock, 400, b"<html>HTTP request is missing param: [app]</html>", "text/html")
            return
        accept = hashlib.sha1(
            (request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
        ).digest()
        everything = request.query.get("subscribeAll") == "true"
        for other in self.sessions:
            if other.app == app and not other.closed.is_set():
                with suppress(OSError):
                    other.send({"type": "ApplicationReplaced", "application": app})
        self.applications[app] = {
            "name": app,
            "channel_ids": ["__AST_CHANNEL_ALL_TOPIC"] if everything else [],
            "bridge_ids": ["__AST_BRIDGE_ALL_TOPIC"] if everything else [],
            "events_allowed": [],
            "events_disallowed": [],
        }
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )
        session = Session(self, sock, request)
        self.sessions.append(session)
        try:
            if self.on_session is not None:
                self.on_session(session)
            session.serve()
        finally:
            session.closed.set()
        if not any(s.app == app and not s.closed.is_set() for s in self.sessions):
            self.applications.pop(app, None)

    def _rest(self, request: Request, resource: str) -> tuple[int, Any]:
        parts = [unquote(part) for part in resource.split("/")[1:]]
        if parts[0] == "applications":
            app = self.applications.get(parts[1])
            if app is None:
                return 404, {"message": "Application not found"}
            if parts[2:] == ["eventFilter"]:
                app["events_allowed"] = request.body.get("allowed", [])
                app["events_disallowed"] = request.body.get("disallowed", [])
            elif parts[2:] == ["subscription"]:
                sources = request.query["eventSource"].split(",")
                app["channel_ids"] = ["__AST_CHANNEL_ALL_TOPIC"] if "channel:" in sources else []
                app["bridge_ids"] = ["__AST_BRIDGE_ALL_TOPIC"] if "bridge:" in sources else []
            return 200, app
        if parts[:2] == ["events", "user"]:
            event = {"type": "ChannelUserevent", "eventname": parts[2], "userevent": {}}
            self.broadcast(event, app=request.query["application"])
            return 204, None
        if resource == "/asterisk/info":
            return 200, {
                "system": {"version": "22.0.0"},
                "status": {"startup_time": "2026-11-20T16:05:45.034+0000"},
            }
        if resource == "/asterisk/ping":
            return 200, {"ping": "pong", "timestamp": "2026-11-20T16:05:45.034+0000"}
        if resource in self.replies:
            return 200, self.replies[resource]
        return 404, {"message": "Channel not found"}


def _read_request(sock: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, body = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += sock.recv(65536)
    url = urlsplit(target)
    query = {k: v[0] for k, v in parse_qs(url.query).items()}
    return Request(method, url.path, query, headers, json.loads(body) if body else None)


def _answer(sock: socket.socket, status: int, body: bytes, kind: str = "application/json") -> None:
    sock.sendall(
        f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def _misbehave(sock: socket.socket, fault: str) -> None:
    if fault.isdecimal():
        _answer(sock, int(fault), encoded({"message": "as told"}))
    elif fault == "garbage":
        sock.sendall(bytes(range(256)) * 64)
    elif fault == "endless":
        while True:
            sock.sendall(b"x" * 65536)
    elif fault == "drip":  # one byte at a time, each well within any timeout of one read
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 1000:
            sock.sendall(bytes([byte]))
            time.sleep(0.05)
    elif fault == "hang":
        while sock.recv(65536):
            pass
    elif fault == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
