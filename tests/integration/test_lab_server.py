"""The lab's server with the daemon's own ARI client."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from daemon.ari.address import Address
from daemon.ari.events import parse
from daemon.ari.inbox import Batch, Inbox, Opened
from daemon.ari.listener import Listener
from daemon.ari.rest import AriRefused, AriRest
from daemon.ari.session import ListenerOptions
from daemon.ari.socket import EventSocket
from daemon.ari.wire import ConnectError, Disconnected
from daemon.calls.model import Ended, Fact
from daemon.calls.tracker import Tracker
from daemon.directory.loader import load as load_definitions
from daemon.errors import FatalError
from daemon.lab import scenery
from daemon.lab.people import companies
from daemon.lab.player import Player
from daemon.lab.server import LabServer
from tests.servers.waiting import DEADLINE, wait_until


@dataclass
class Running:
    server: LabServer
    stop: threading.Event
    thread: threading.Thread

    @property
    def address(self) -> Address:
        return Address.parse(f"http://127.0.0.1:{self.server.port}")

    def rest(self, password: str = "lab") -> AriRest:
        return AriRest(self.address, "lab", password)

    def connect(self, app: str = "test", *, everything: bool = False) -> EventSocket:
        return EventSocket.connect(self.address, "lab", "lab", app, subscribe_all=everything)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


@pytest.fixture
def lab() -> Iterator[Running]:
    definitions = Path(scenery.__file__).parent / "definitions"
    people = companies(load_definitions(definitions).directory)
    server = LabServer(0, Player(scenery.stories(), people, Random(5), speed=20), "lab", "lab")
    server.open()
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,), daemon=True)
    thread.start()
    running = Running(server, stop, thread)
    yield running
    running.end()


def read(socket: EventSocket, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []

    def done() -> bool:
        events.extend(json.loads(frame) for frame in socket.read_batch(0.2))
        return enough(events)

    wait_until(done, "enough events")
    return events


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
        return answer


def test_the_listener_gets_calls_that_the_tracker_understands(lab: Running) -> None:
    inbox, tracker = Inbox(), Tracker("lab")
    listener = Listener("lab", ListenerOptions(lab.address, "lab", "lab", "arimonitor-LAB"), inbox)
    thread = threading.Thread(target=listener.run, args=(lab.stop,), daemon=True)
    thread.start()
    facts: list[Fact] = []
    types: set[str] = set()

    def ended() -> bool:
        item = inbox.get(0.1)
        if isinstance(item, Batch):
            for frame in item.frames:
                event = parse(frame)
                assert event.application == "arimonitor-LAB"
                types.add(event.type)
                facts.extend(tracker.apply(event, item.received_at))
        elif item is not None:
            assert isinstance(item, Opened)
        facts.extend(tracker.tick(time.time()))
        return sum(isinstance(fact, Ended) for fact in facts) >= 3

    wait_until(ended, "three calls that ended")
    assert not any(fact.recovered for fact in facts)
    assert "DeviceStateChanged" not in types
    assert listener.status()["reconnects"] == 0
    lab.end()
    thread.join(DEADLINE)


def test_nothing_is_sent_before_a_subscription_and_the_filter_is_honoured(lab: Running) -> None:
    events = lab.connect()
    assert events.read_batch(0.2) == []
    lab.rest().set_event_filter("test", ["ChannelCreated", "ChannelDestroyed"], ["ChannelDestroyed"])
    application = lab.rest().subscribe("test", ("channel:", "bridge:"))
    assert application["channel_ids"]
    assert application["bridge_ids"]
    came = read(events, lambda events: len(events) >= 5)
    assert {event["type"] for event in came} == {"ChannelCreated"}
    events.close()
    wait_until(lambda: lab.rest().application("test") is None, "the application is forgotten")


def test_rest_says_what_is_being_played(lab: Running) -> None:
    events, rest = lab.connect(everything=True), lab.rest()
    came = read(events, lambda events: any(event["type"] == "ChannelEnteredBridge" for event in events))
    assert "DeviceStateChanged" in {event["type"] for event in came}
    wait_until(lambda: rest.channels() and rest.bridges(), "channels and bridges")
    wait_until(lambda: any(endpoint["channel_ids"] for endpoint in rest.endpoints()), "a busy endpoint")
    assert "LAB" in rest.get_info()["system"]["version"]
    assert rest.ping().endswith("+0000")
    assert lab.server.status()["connections"] == 1
    events.close()


def test_a_wrong_password_is_refused(lab: Running) -> None:
    with pytest.raises(AriRefused) as refused:
        lab.rest("wrong").channels()
    assert refused.value.status == 401
    with pytest.raises(ConnectError) as no_socket:
        EventSocket.connect(lab.address, "lab", "wrong", "test")
    assert no_socket.value.status == 401


def test_a_second_client_takes_the_application(lab: Running) -> None:
    first = lab.connect("same")
    second = lab.connect("same")
    assert json.loads(first.read_batch(DEADLINE)[0]) == {"type": "ApplicationReplaced", "application": "same"}
    with pytest.raises(Disconnected) as gone:
        first.read_batch(DEADLINE)
    assert gone.value.code == 1000
    first.close()
    assert lab.rest().application("same") is not None
    second.close()


def test_a_ping_is_answered(lab: Running) -> None:
    events = lab.connect()
    before = events.heard_at
    events.ping()
    wait_until(lambda: events.read_batch(0.01) == [] and events.heard_at > before, "the pong")
    events.close()


def test_at_the_end_the_websockets_are_closed_properly(lab: Running) -> None:
    events = lab.connect()
    began = time.monotonic()
    lab.stop.set()
    with pytest.raises(Disconnected) as gone:
        events.read_batch(DEADLINE)
    assert gone.value.code == 1001
    events.close()
    lab.end()
    assert time.monotonic() - began < 30
    with pytest.raises(ConnectError):
        lab.connect()


def test_a_restarted_service_listens_at_the_same_port(lab: Running) -> None:
    port = lab.server.port
    lab.end()
    stop = threading.Event()
    again = threading.Thread(target=lab.server.run, args=(stop,), daemon=True)
    again.start()
    events = wait_until(lambda: _try(lab.connect), "a connection")
    assert lab.server.port == port
    events.close()
    stop.set()
    again.join(DEADLINE)
    assert not again.is_alive()


def _try(connect: Callable[[], EventSocket]) -> EventSocket | None:
    try:
        return connect()
    except ConnectError:
        return None


BASIC = "Authorization: Basic " + base64.b64encode(b"lab:lab").decode()
WRONG = [
    (b"garbage\r\n\r\n", b" 400 "),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b" 404 "),
    (f"GET /ari/nothing HTTP/1.1\r\nHost: x\r\n{BASIC}\r\n\r\n".encode(), b" 404 "),
    (f"GET /ari/events?app=a HTTP/1.1\r\nHost: x\r\n{BASIC}\r\n\r\n".encode(), b" 426 "),
    (
        f"GET /ari/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n{BASIC}\r\n\r\n".encode(),
        b" 400 ",
    ),
    (
        f"GET /ari/events?app=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n{BASIC}\r\n\r\n".encode(),
        b" 400 ",
    ),
    (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, b" 431 "),
    (
        b"PUT /ari/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
        b" 413 ",
    ),
    (bytes(range(256)), b" 400 "),
    (b"", b""),
]


@pytest.mark.parametrize(("request_", "status"), WRONG, ids=range(len(WRONG)))
def test_what_is_no_request_is_refused(lab: Running, request_: bytes, status: bytes) -> None:
    assert status in raw(lab.server.port, request_).partition(b"\r\n")[0]
    assert lab.rest().application("a") is None
    assert lab.rest().get_info()


def test_a_connection_is_closed_after_its_answer(lab: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", lab.server.port, timeout=DEADLINE)
    connection.request("GET", "/ari/channels")
    response = connection.getresponse()
    assert response.status == 401
    assert response.headers["Connection"] == "close"
    assert "LAB" in response.headers["Server"]
    connection.close()


def test_a_taken_port_is_said(lab: Running) -> None:
    second = LabServer(lab.server.port, lab.server._player, "lab", "lab")
    with pytest.raises(FatalError, match="give it another port"):
        second.open()
