"""A console with commands and a stream of its own on a real socket, and who asks it, for the tests."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from daemon.console.registry import Command, CommandError, Item, Registry, Result, SessionInfo, Sink
from daemon.console.server import ConsoleServer
from daemon.errors import PermanentError
from tests.servers.waiting import DEADLINE

PROMPT = b"ARIMONITOR> "


class Source:
    """A stream with a handle: `emit` pushes to all who follow."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.begun = Event()
        self.ended = Event()

    def subscribe(self, sink: Sink) -> Callable[[], None]:
        self.sinks.append(sink)
        self.begun.set()

        def end() -> None:
            self.sinks.remove(sink)
            self.ended.set()

        return end

    def emit(self, text: str) -> None:
        for sink in tuple(self.sinks):
            sink(Item({"type": text}, text))


def commands(source: Source) -> Registry:
    def status(args: Sequence[str], info: SessionInfo) -> Result:
        return Result({"node": "AUDIO2", "args": list(args)}, "All is well.")

    def fail(args: Sequence[str], info: SessionInfo) -> Result:
        match args[0]:
            case "bug":
                raise ZeroDivisionError
            case "refused":
                raise PermanentError("not here")
            case _:
                raise CommandError("not-found", "nothing there")

    def big(args: Sequence[str], info: SessionInfo) -> Result:
        return Result({"size": int(args[0])}, "x" * int(args[0]))

    def follow(args: Sequence[str], info: SessionInfo) -> Result:
        return Result({"following": True}, "Following.", stream=source.subscribe)

    def leave(args: Sequence[str], info: SessionInfo) -> Result:
        return Result({"bye": True}, "Bye.", close=True)

    return Registry(
        Command(name, "System", "a test's", (name,), handler)
        for name, handler in (
            ("status", status),
            ("fail", fail),
            ("big", big),
            ("events", follow),
            ("quit", leave),
        )
    )


class Running:
    """A server in a helper thread, stopped at the end."""

    def __init__(self, **options: object) -> None:
        self.source = Source()
        listen = str(options.pop("listen", "127.0.0.1:0"))
        self.server = ConsoleServer(
            listen,
            commands(self.source),
            banner=lambda: "Hello.",
            **options,  # type: ignore[arg-type]
        )
        self.server.open()
        self.address = self.server.address
        self.stop = Event()
        self.thread = Thread(target=self.server.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        sock = socket.create_connection((host.strip("[]"), int(port)), DEADLINE)
        sock.settimeout(DEADLINE)
        return sock

    def end(self) -> None:
        self.stop.set()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()

    def status(self, key: str) -> object:
        return self.server.status()[key]


@contextmanager
def running(**options: object) -> Iterator[Running]:
    console = Running(**options)
    try:
        yield console
    finally:
        console.end()


@pytest.fixture
def console() -> Iterator[Running]:
    with running() as one:
        yield one


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = sock.recv(65536)
        assert piece, f"closed after {data[-200:]!r}, before {end!r}"
        data += piece
    return data


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def ask(sock: socket.socket, command: str, *args: str) -> dict[str, object]:
    sock.sendall(json.dumps({"command": command, "args": args}).encode() + b"\n")
    answer: dict[str, object] = json.loads(read_until(sock, b"\n"))
    return answer


# -- the password


def guarded_address() -> str:
    """An address of this machine that is not its loopback, or skip."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback")
        return str(probe.getsockname()[0])
