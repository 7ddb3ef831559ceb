"""The outbound websocket of a client that does what a real Asterisk can't be made to do."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from daemon.ari.rest import AriRefused, AriUnavailable
from daemon.ari.server import Left
from daemon.ari.server_frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from daemon.errors import FatalError
from tests.integration.outbound_parts import FakeOutbound, connected, masked, serving
from tests.servers.waiting import DEADLINE, wait_until


def event(number: int, size: int = 0) -> dict[str, Any]:
    return {"type": "ChannelVarset", "value": f"{number}", "padding": "x" * size}


def test_a_port_that_is_taken() -> None:
    said = r"cannot listen on 127\.0\.0\.1:\d+ for the websocket of pbx"
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(FatalError, match=said):
        serving(other.getsockname()[1]).__enter__()


def test_the_answers_to_strangers() -> None:
    def status(request: str) -> str:
        with socket.create_connection(("127.0.0.1", listener.door.port), DEADLINE) as sock:
            sock.sendall(request.replace("\n", "\r\n").encode())
            return sock.makefile("rb").readline().decode().strip()

    websocket = (
        "Host: x\nAuthorization: Basic bm9kZTpvdXRib3VuZC1zZWNyZXQ=\n"
        "Upgrade: websocket\nConnection: Upgrade\n"
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: 0W29fAAAAACEBhJLAAAAAA==\n"
    )
    with serving(path="/pbx") as (listener, taker):
        assert status("GET /pbx HTTP/1.1\nHost: x\n\n") == "HTTP/1.1 401 Refused"
        assert status("GET /pbx HTTP/1.1\nHost: x\nAuthorization: Basic x\n\n") == "HTTP/1.1 401 Refused"
        assert status(f"GET /other HTTP/1.1\n{websocket}Sec-WebSocket-Protocol: ari\n\n").endswith(
            "404 Refused"
        )
        assert status(f"GET /pbx HTTP/1.1\n{websocket}\n").endswith("400 Refused")
        assert status(f"POST /pbx HTTP/1.1\n{websocket}\n").endswith("400 Refused")
        assert status(f"GET /pbx HTTP/1.1\n{websocket.replace('13', '12')}\n").endswith("400 Refused")
        plain = websocket.replace("Upgrade: websocket\n", "")
        assert status(f"GET /pbx HTTP/1.1\n{plain}\n") == "HTTP/1.1 426 Refused"
        assert status("\x16\x03\x01\x02\x00\x01\n\n") == "HTTP/1.1 400 Refused"
        assert status("GET /" + "x" * 20_000 + " HTTP/1.1\n") == "HTTP/1.1 400 Refused"
        assert status(f"GET /pbx HTTP/1.1\n{websocket}Sec-WebSocket-Protocol: ari\n\n").startswith(
            "HTTP/1.1 101 "
        )
        assert taker.events == []


def test_slow_handshakes_hold_nobody_up() -> None:
    with serving(connect_timeout=3.0) as (listener, _):
        slow = [socket.create_connection(("127.0.0.1", listener.door.port), DEADLINE) for _ in range(10)]
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nX-A: ")
        fake = FakeOutbound(listener.door.port)
        connected(listener)
        until = time.monotonic() + DEADLINE
        for sock in slow:  # one byte now and then does not help
            sock.settimeout(0.1)
            closed = False
            while not closed:
                assert time.monotonic() < until
                try:
                    sock.sendall(b"x")
                    closed = sock.recv(10) == b""
                except TimeoutError:
                    continue
                except OSError:
                    closed = True
            sock.close()
        assert listener.status()["connected"]
        fake.end()


@pytest.mark.parametrize(
    ("nonsense", "code", "said"),
    [
        (b"\x81\x05Hello", 1002, "not masked"),
        (bytes(range(200, 256)) * 50, 1002, "reserved"),
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big"), 1009, "1099511627776 bytes"),
        (masked(b"x", CONTINUATION), 1002, "without a beginning"),
        (masked(b"x", TEXT, final=False) + masked(b"yz", TEXT), 1002, "inside another"),
    ],
)
def test_what_is_no_frame_ends_the_connection(nonsense: bytes, code: int, said: str) -> None:
    with serving() as (listener, taker):
        fake = FakeOutbound(listener.door.port)
        connected(listener)
        fake.send(event(1))
        fake.sock.sendall(nonsense)
        wait_until(lambda: taker.lost(), "the loss")
        assert said in taker.lost()[0].reason
        wait_until(lambda: fake.close_code, "the close frame")
        assert fake.close_code == code
        assert taker.events == [event(1)]
        fake.end()
        again = FakeOutbound(listener.door.port)
        wait_until(lambda: len(taker.opened()) == 2, "the next connection")
        assert taker.opened()[1].complete is False
        again.end()


def test_rare_frames() -> None:
    with serving() as (listener, taker):
        fake = FakeOutbound(listener.door.port)
        connected(listener)
        big = event(2, 300_000)
        whole = json.dumps(event(3)).encode()
        fake.send(event(1), big)
        fake.sock.sendall(
            masked(whole[:10], TEXT, final=False)
            + masked(b"hello", PING)
            + masked(whole[10:], CONTINUATION)
            + masked(json.dumps(event(4)).encode(), BINARY)
        )
        for byte in masked(json.dumps(event(5)).encode()):
            fake.sock.sendall(bytes([byte]))
        wait_until(lambda: len(taker.events) == 5, "five events")
        assert taker.events == [event(1), big, event(3), event(4), event(5)]
        fake.sock.sendall(masked(b"\x03\xe8bye", CLOSE))
        wait_until(lambda: taker.lost(), "the loss")
        assert taker.lost()[0].reason == "Asterisk closed the websocket (1000: bye)"
        assert listener.left == Left("then", clean=True)
        fake.end()


def test_an_event_that_looks_like_an_answer_is_an_event() -> None:
    with serving() as (listener, taker):
        fake = FakeOutbound(listener.door.port)
        connected(listener)
        odd = {"variable": "RESTResponse", "type": "ChannelVarset"}
        late = {"type": "RESTResponse", "request_id": "99", "status_code": 200}
        fake.send(odd, late, event(1))
        wait_until(lambda: len(taker.events) == 2, "two events")
        assert taker.events == [odd, event(1)]
        fake.end()


def test_a_queue_of_69_000_events_comes_before_the_answer() -> None:
    """As Asterisk sends it: first the queue, then what it was asked."""
    text = json.dumps({"type": "ChannelVarset", "channel": {"id": "1", "name": "x" * 500}, "n": 10_000})
    queued = b"".join(masked(text.replace("10000", str(number)).encode()) for number in range(10_000, 79_000))
    with serving() as (listener, taker):
        fake = FakeOutbound(listener.door.port, queued=queued)
        began = time.monotonic()
        connected(listener)
        taken = time.monotonic() - began
        wait_until(lambda: len(taker.events) == 69_000, "all events", 60)
        assert [e["n"] for e in taker.events] == list(range(10_000, 79_000))
        assert taker.overflows() == 0
        # What is alive is asked after all that had happened.
        assert taker.line == ["ChannelVarset"] * 69_000 + ["Opened"]
        print(f"{69_000 / taken:.0f} events/s")
        fake.end()


def test_a_queue_that_breaks_off_is_used_as_far_as_it_came() -> None:
    with serving() as (listener, taker):
        frames = [masked(json.dumps(event(number)).encode()) for number in range(1000)]
        fake = FakeOutbound(listener.door.port, queued=b"".join(frames)[:-10], silent=True)
        wait_until(lambda: fake.requests, "the first request")
        fake.end()
        wait_until(lambda: taker.lost(), "the loss")
        assert taker.line == ["ChannelVarset"] * 999 + ["Opened", "Lost"]
        wait_until(taker.opened, "the mark")
        assert taker.opened()[0].complete is False


def test_a_newer_connection_counts_and_the_older_one_is_read_out() -> None:
    with serving() as (listener, taker):
        first = FakeOutbound(listener.door.port)
        connected(listener)
        first.answer = lambda request: None
        first.send(*(event(number) for number in range(500)))
        second = FakeOutbound(listener.door.port, startup="later")
        wait_until(lambda: len(taker.opened()) == 2, "the newer connection")
        second.send(event(500))
        wait_until(lambda: len(taker.events) == 501, "the events of both")
        assert [e["value"] for e in taker.events] == [str(number) for number in range(501)]
        assert "a newer connection" in taker.lost()[0].reason
        assert first.closed.wait(DEADLINE)
        assert listener.status()["peer"] == "127.0.0.1:" + str(second.sock.getsockname()[1])
        first.end()
        second.end()


def test_one_that_never_answers_is_listened_to_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.ari.server._FIRST_ANSWER", 0.5)
    with serving() as (listener, taker):
        fake = FakeOutbound(listener.door.port, silent=True)
        wait_until(lambda: taker.opened(), "the connection")
        wait_until(taker.opened, "the mark")
        assert taker.opened()[0].complete is False
        assert listener.status()["connected"] is False
        assert "REST requests fail" in str(listener.status()["state"])
        fake.send(event(1))
        wait_until(lambda: taker.events == [event(1)], "the event")
        assert listener.status()["connected"] is True
        fake.end()


def test_odd_answers() -> None:
    with serving() as (listener, _):
        fake = FakeOutbound(listener.door.port)
        connected(listener)
        answers: list[tuple[int, Any] | None] = [
            (403, {"message": "Forbidden"}), (500, {"message": "no"}), (200, "text"), (503, None)
        ]  # fmt: skip
        fake.answer = lambda request: answers.pop(0)
        with pytest.raises(AriRefused, match="read_only = no"):
            listener.rest.channels()
        with pytest.raises(AriUnavailable, match=r"answered 500 \(no\)"):
            listener.rest.channels()
        with pytest.raises(AriUnavailable, match="something else than the list"):
            listener.rest.channels()
        with pytest.raises(AriUnavailable, match="503"):
            listener.rest.channels()
        fake.answer = lambda request: fake.end()
        with pytest.raises(AriUnavailable, match="is gone"):  # at once: not "did not answer within 60 s"
            listener.rest.channels()
