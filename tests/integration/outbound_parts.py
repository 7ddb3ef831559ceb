"""Parts for tests of Asterisk's outbound websocket: a listener, a real Asterisk, a client that can lie."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from daemon.ari.address import Address
from daemon.ari.inbox import Batch, Inbox, Lost, Mark, Opened, Overflow
from daemon.ari.server import QUEUE_BYTES, QUEUE_EVENTS, Left, ServerListener
from daemon.ari.server_frames import CLOSE, PING, PONG, TEXT
from daemon.ari.session import ListenerOptions
from tests.servers.asterisk.outbound import PASSWORD, USER, OutboundAsterisk
from tests.servers.asterisk.own import own_asterisk
from tests.servers.asterisk.server import Asterisk
from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE, wait_until

APP = "arimonitor-A"
CHANNELVARS = "CHANNEL(linkedid),MIXMONITOR_FILENAME"
Starter = Callable[..., tuple[OutboundAsterisk, int]]


class Taker:
    """Takes everything off an inbox, in order; `events` is without those about the application."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.events: list[dict[str, Any]] = []
        self.marks: list[Mark] = []
        self.line: list[str] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            item = self.inbox.get(0.05)
            if item is None:
                if self.stopping.is_set():
                    return
            elif isinstance(item, Batch):
                for number, frame in enumerate(item.frames):
                    event = json.loads(frame)
                    if not event["type"].startswith("Application"):
                        self.events.append(event)
                    self.line.append(event["type"])
                    if not number % 100:
                        time.sleep(0)
            else:
                self.marks.append(item)
                self.line.append(type(item).__name__)

    def count(self, kind: str) -> int:
        return sum(event["type"] == kind for event in list(self.events))

    def opened(self) -> list[Opened]:
        return [mark for mark in self.marks if isinstance(mark, Opened)]

    def lost(self) -> list[Lost]:
        return [mark for mark in self.marks if isinstance(mark, Lost)]

    def overflows(self) -> int:
        return sum(mark.count for mark in self.marks if isinstance(mark, Overflow))

    def whole_calls(self) -> int:
        """Channels that were seen from the first event to the last, in that order."""
        types: dict[str, list[str]] = {}
        for event in self.events:
            if "channel" in event:
                types.setdefault(event["channel"]["id"], []).append(event["type"])
        return sum(seen[0] == "ChannelCreated" and seen[-1] == "ChannelDestroyed" for seen in types.values())

    def repeated(self) -> list[str]:
        """Channels that began or ended more than once."""
        seen = Counter(
            (event["type"], event["channel"]["id"])
            for event in self.events
            if event["type"] in ("ChannelCreated", "ChannelDestroyed")
        )
        return [str(what) for what, times in seen.items() if times > 1]


@contextmanager
def serving(
    port: int = 0,
    left: Left | None = None,
    password: str = PASSWORD,
    path: str = "",
    request_timeout: float = DEADLINE,
    **choice: Any,
) -> Iterator[tuple[ServerListener, Taker]]:
    """A listener at work on 127.0.0.1:`port`."""
    options = ListenerOptions(Address.parse("http://127.0.0.1:1"), USER, password, APP, **choice)
    inbox = Inbox(QUEUE_EVENTS, QUEUE_BYTES)
    listener = ServerListener(
        "pbx",
        options,
        inbox,
        listen=("127.0.0.1", port),
        left=left,
        path=path,
        request_timeout=request_timeout,
    )
    listener.open()
    taker, stop = Taker(inbox), threading.Event()
    died: list[BaseException] = []

    def run() -> None:
        try:
            listener.run(stop)
        except BaseException as error:
            died.append(error)
            raise

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener, taker
    finally:
        stop.set()
        thread.join(DEADLINE)
        taker.stopping.set()
        taker.thread.join(DEADLINE)
        assert not thread.is_alive()
        assert not died


def connected(listener: ServerListener) -> None:
    wait_until(lambda: listener.status()["connected"], "the connection")


def masked(payload: bytes, opcode: int = TEXT, *, final: bool = True) -> bytes:
    """One frame, as clients send them."""
    key, size = os.urandom(4), len(payload)
    head = struct.pack(">B", (0x80 if final else 0) | opcode)
    if size < 126:
        head += struct.pack(">B", 0x80 | size)
    elif size < 65536:
        head += struct.pack(">BH", 0x80 | 126, size)
    else:
        head += struct.pack(">BQ", 0x80 | 127, size)
    words = int.from_bytes((key * (size // 4 + 1))[:size], "big") ^ int.from_bytes(payload, "big")
    return head + key + words.to_bytes(size, "big")


class FakeOutbound:
    """Connects as Asterisk 22 does. Answers REST requests, unless `answer` says otherwise."""

    def __init__(
        self,
        port: int,
        *,
        password: str = PASSWORD,
        queued: bytes = b"",
        startup: str = "then",
        silent: bool = False,
    ) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
        word = base64.b64encode(f"{USER}:{password}".encode()).decode()
        self.sock.sendall(
            f"GET /any HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Basic {word}\r\n"
            "Sec-WebSocket-Protocol: ari\r\nSec-WebSocket-Key: 0W29fAAAAACEBhJLAAAAAA==\r\n\r\n".encode()
        )
        self.stream = self.sock.makefile("rb")
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n") and (line := self.stream.readline()):
            self.head += line
        self.startup = startup
        queued = queued or masked(json.dumps({"type": "ApplicationRegistered"}).encode())
        self.answer: Callable[[dict[str, Any]], tuple[int, Any] | None] = (
            (lambda request: None) if silent else self.usual
        )
        self.requests: list[str] = []
        self.close_code: int | None = None
        self.closed = threading.Event()
        if b" 101 " in self.head:
            threading.Thread(target=self._serve, args=(queued,), daemon=True).start()

    def usual(self, request: dict[str, Any]) -> tuple[int, Any] | None:
        if request["uri"] == "asterisk/info":
            return 200, {"status": {"startup_time": self.startup}}
        if request["uri"] == "channels":
            return 200, []
        return 200, {"name": APP, "channel_ids": ["all"], "bridge_ids": ["all"]}

    def _serve(self, queued: bytes) -> None:
        with suppress(OSError, ValueError), self.stream:
            self.sock.sendall(queued)
            while head := self.stream.read(2):
                opcode, size = head[0] & 15, head[1] & 127
                if size > 125:
                    size = int.from_bytes(self.stream.read(2 if size == 126 else 8), "big")
                self._use(opcode, self.stream.read(size))
        self.closed.set()

    def _use(self, opcode: int, data: bytes) -> None:
        if opcode == CLOSE:
            self.close_code = int.from_bytes(data[:2], "big")
            self.sock.sendall(masked(data[:2], CLOSE))
            self.sock.shutdown(socket.SHUT_WR)
        elif opcode == PING:
            self.sock.sendall(masked(data, PONG))
        elif opcode == TEXT:
            request = json.loads(data)
            self.requests.append(f"{request['method']} {request['uri']}")
            answer = self.answer(request)
            if answer is not None:
                self.send(
                    {
                        "type": "RESTResponse",
                        "request_id": request["request_id"],
                        "status_code": answer[0],
                        "message_body": json.dumps(answer[1]),
                        "application": APP,
                    }
                )

    def send(self, *events: dict[str, Any]) -> None:
        self.sock.sendall(b"".join(masked(json.dumps(e, separators=(",", ":")).encode()) for e in events))

    def abort(self) -> None:
        """Break off, as a crash does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()

    def end(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts an Asterisk that connects to a port of ours; Asterisk and port."""
    with ExitStack() as stack:

        def starter(
            app: str = APP, kind: type[OutboundAsterisk] = OutboundAsterisk, **traits: Any
        ) -> tuple[OutboundAsterisk, int]:
            server = stack.enter_context(own_asterisk("22", tmp_path_factory.mktemp("pbx"), kind))
            for name, value in traits.items():
                setattr(server, name, value)
            port = free_port()
            server.start_towards((port, app), channelvars=CHANNELVARS)
            return server, port

        yield starter


def one_call(server: Asterisk) -> None:
    caller, called = server.register("1013010", "1013015")
    call = caller.dial("1013015")
    called.incoming().answer()
    call.wait("answered")
    call.hangup()
    server.idle()
