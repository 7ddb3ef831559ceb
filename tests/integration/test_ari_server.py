"""Asterisk's outbound websocket: real Asterisks 22, and a client that does what those can't be made to do."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from daemon.ari.rest import AriRefused, AriUnavailable
from daemon.ari.server import Left
from daemon.ari.server_frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from daemon.ari.session import WANTED
from daemon.errors import FatalError
from tests.integration.outbound_parts import (
    APP,
    PASSWORD,
    USER,
    FakeOutbound,
    Taker,
    connected,
    masked,
    serving,
)
from tests.servers.asterisk.ari import Events
from tests.servers.asterisk.load import Calling, load
from tests.servers.asterisk.outbound import OutboundAsterisk
from tests.servers.asterisk.own import own_asterisk
from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE, wait_until

FRAGMENTS = Path(__file__).parents[2] / "etc/asterisk"
CHANNELVARS = "CHANNEL(linkedid),MIXMONITOR_FILENAME"
Starter = Callable[..., tuple[OutboundAsterisk, int]]


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


def one_call(server: OutboundAsterisk) -> None:
    caller, called = server.register("1013010", "1013015")
    call = caller.dial("1013015")
    called.incoming().answer()
    call.wait("answered")
    call.hangup()
    server.idle()


# -- a real Asterisk ---------------------------------------------------------------


@pytest.mark.asterisk
def test_it_connects_and_calls_arrive(start: Starter) -> None:
    server, port = start()
    with serving(port, path="/pbx") as (listener, taker):
        connected(listener)
        assert taker.line[0] == "ApplicationRegistered"  # queued before we answered
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
        assert taker.whole_calls() == 2
        assert [e["dialstatus"] for e in taker.events if e["type"] == "Dial"] == ["", "RINGING", "ANSWER"]
        assert {e["application"] for e in taker.events} == {APP}
        assert "RESTResponse" not in taker.line
        assert listener.status()["varset"] is False
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 4, "the end of the second call")
        last = max(n for n, event in enumerate(taker.events) if event["type"] == "ChannelVarset")
        assert {e["type"] for e in taker.events[last + 1 :]} <= set(WANTED)
    assert listener.left is not None
    assert listener.left.clean


@pytest.mark.asterisk
def test_rest_over_the_websocket(start: Starter) -> None:
    server, port = start()
    with serving(port) as (listener, _):
        with pytest.raises(AriUnavailable, match="not connected"):
            listener.rest.channels()
        connected(listener)
        rest = listener.rest
        assert str(rest.get_info()["system"]["version"]).startswith("22.")
        assert rest.channels() == []
        assert rest.bridges() == []
        assert {endpoint["resource"] for endpoint in rest.endpoints()} >= {"1013010", "1013015"}
        assert rest.application("nobody") is None
        application = rest.application(APP)
        assert application is not None
        assert application["device_names"] == []  # no locks of device states, in which ARI can hang
        assert rest.channel_variable("1.1", "CHANNEL(linkedid)") is None
        with pytest.raises(AriRefused, match="404"):
            rest.call("GET", "/bridges/none")
        caller, called = server.register("1013010", "1013015")
        call = caller.dial("1013015")
        called.incoming().answer()
        call.wait("answered")
        both = sorted(rest.channels(), key=lambda channel: str(channel["name"]))  # 1013010 calls 1013015
        assert [str(channel["name"])[:14] for channel in both] == ["PJSIP/1013010-", "PJSIP/1013015-"], both
        first = both[0]
        assert rest.channel_variable(first["id"], "CHANNEL(linkedid)") == first["id"]
        found: list[int] = []
        askers = [
            threading.Thread(target=lambda: found.append(len(rest.channels())), daemon=True)
            for _ in range(20)
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(DEADLINE)
        assert found == [2] * 20
        call.hangup()
        server.idle()
    with pytest.raises(AriUnavailable, match="not connected"):
        listener.rest.channels()


@pytest.mark.asterisk
def test_calls_made_while_we_are_away_come_complete_and_in_order(start: Starter) -> None:
    server, port = start()
    one_call(server)  # before the first connection ever
    with serving(port) as (listener, taker):
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the call from before")
        wait_until(taker.opened, "the mark")
        assert taker.opened()[0].complete is False  # who knows what was before this Asterisk
        assert taker.whole_calls() == 2
    left = listener.left
    caller, called = server.register("1013010", "1013015")
    call = caller.dial("1013015")  # begins while we are away, ends when we are back
    called.incoming().answer()
    call.wait("answered")
    with serving(port, left=left) as (listener, taker):
        connected(listener)
        call.hangup()
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
        wait_until(taker.opened, "the mark")
        assert taker.whole_calls() == 2
        assert taker.opened()[0].complete is True
        assert taker.line[0] == "Opened"
    with serving(port, left=None) as (listener, taker):
        connected(listener)
        wait_until(taker.opened, "the mark")
        assert taker.opened()[0].complete is False  # a crash leaves nothing


@pytest.mark.asterisk
def test_leaving_and_coming_back_in_the_middle_of_calls_costs_nothing(start: Starter) -> None:
    server, port = start()
    left, created, destroyed, complete = None, set(), set(), []

    def come(enough: Callable[[Taker], object]) -> None:
        """Be there until it is enough, and leave."""
        nonlocal left
        with serving(port, left=left) as (listener, taker):
            connected(listener)
            wait_until(lambda: taker.opened() and enough(taker), "events")
        left = listener.left
        complete.extend(mark.complete for mark in taker.opened())
        created.update(e["channel"]["id"] for e in taker.events if e["type"] == "ChannelCreated")
        destroyed.update(e["channel"]["id"] for e in taker.events if e["type"] == "ChannelDestroyed")

    with Calling(server, 12) as calling:
        for _ in range(12):
            come(lambda taker: taker.count("ChannelCreated") >= 6)
        calling.finish()
    server.idle()
    calls = len(server.cdr_rows())
    come(lambda taker: len(destroyed) + taker.count("ChannelDestroyed") >= 2 * calls)
    assert complete == [False] + [True] * 12
    assert calls >= 36
    assert len(created) == len(destroyed) == 2 * calls


@pytest.mark.asterisk
def test_a_wrong_password_is_refused_and_said_once(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    _, port = start(password="something-else")
    caplog.set_level(logging.WARNING, "arimonitor.ari")
    with serving(port) as (listener, taker):
        wait_until(lambda: int(str(listener.status()["refused"])) >= 3, "three refusals")
        assert listener.status()["connected"] is False
        assert taker.line == []
    said = [record.getMessage() for record in caplog.records if "password" in record.getMessage()]
    assert len(said) == 1
    assert "from 127.0.0.1: wrong user name or password (401)" in said[0]
    assert PASSWORD not in caplog.text
    assert "something-else" not in caplog.text


@pytest.mark.asterisk
def test_a_crash_of_asterisk_loses_its_queue_and_that_is_known(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server, port = start()
    with serving(port) as (listener, taker):
        connected(listener)
        server.kill()
        wait_until(lambda: not listener.status()["connected"], "the loss")
        assert listener.left is not None
        assert listener.left.clean is False
        server.restart()
        wait_until(lambda: len(taker.opened()) == 2, "the next connection")
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the call after it")
        assert [mark.complete for mark in taker.opened()] == [False, False]
        assert [line for line in taker.line if line in ("Opened", "Lost")] == ["Opened", "Lost", "Opened"]
    assert "was restarted" in caplog.text
    left = listener.left
    server.kill()
    server.restart()  # while we were away, after a clean end
    with serving(port, left=left) as (listener, taker):
        connected(listener)
        wait_until(taker.opened, "the mark")
        assert taker.opened()[0].complete is False


@pytest.mark.asterisk
def test_an_orderly_stop_of_asterisk(start: Starter) -> None:
    server, port = start()
    with serving(port) as (listener, taker):
        connected(listener)
        server.stop()
        wait_until(lambda: taker.lost(), "the loss")
        server.restart()
        wait_until(lambda: len(taker.opened()) == 2, "the next connection")
        assert taker.opened()[1].complete is False


@pytest.mark.asterisk
def test_a_hanging_rest_call_has_a_deadline_and_opens_the_breaker(start: Starter) -> None:
    server, port = start()
    with serving(port, request_timeout=1.0) as (listener, _):
        connected(listener)
        server.freeze()
        try:
            wait_until(lambda: _is_stopped(server), "the signal's arrival")
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(AriUnavailable, match="did not answer GET /channels"):
                    listener.rest.channels()
                assert 0.9 < time.monotonic() - began < 20
            with pytest.raises(AriUnavailable, match="is not asked"):
                listener.rest.channels()
            assert listener.status()["rest"] == {"state": "open", "unanswered": 3, "not_asked": 1}
        finally:
            server.thaw()
        wait_until(lambda: _answers(listener.rest.channels), "the breaker letting a call through")
        rest = listener.status()["rest"]
        assert isinstance(rest, dict)
        assert (rest["state"], rest["unanswered"]) == ("closed", 0)
        assert listener.status()["connected"] is True


def _is_stopped(server: OutboundAsterisk) -> bool:
    assert server.process is not None
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    return all(") T " in (task / "stat").read_text() for task in tasks)


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except AriUnavailable:
        return False
    return True


@pytest.mark.asterisk
def test_a_frozen_asterisk_is_given_up_and_comes_back(start: Starter) -> None:
    server, port = start()
    with serving(port, ping_after=0.3, pong_within=0.5) as (listener, taker):
        connected(listener)
        server.freeze()
        try:
            wait_until(lambda: taker.lost(), "the loss")
        finally:
            server.thaw()
        wait_until(lambda: len(taker.opened()) >= 2, "the next connection")
        assert "ping was not answered" in taker.lost()[0].reason
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "a call after it")


@pytest.mark.asterisk
def test_200_queued_calls_are_taken_in_at_once(start: Starter) -> None:
    server, port = start()
    load(server, 200, 25)
    server.idle()
    began = time.monotonic()
    with serving(port) as (listener, taker):
        connected(listener)
        taken = time.monotonic() - began
        wait_until(lambda: taker.count("ChannelDestroyed") == 400, "the last of 200 calls", 60)
        assert taken < 20
        assert taker.whole_calls() == 400
        assert taker.repeated() == []
        assert taker.overflows() == 0
        assert len(taker.events) > 200 * 60
        assert listener.rest.channels() == []


@pytest.mark.asterisk
def test_two_asterisks_on_one_port(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    _, port = start()
    with serving(port) as (listener, taker):
        connected(listener)
        fake = FakeOutbound(port)
        wait_until(lambda: len(taker.opened()) >= 2, "the newer connection")
        wait_until(lambda: len(taker.opened()) >= 3, "the real one, connecting again")
        assert fake.closed.wait(DEADLINE)
        assert "the newer connection counts" in caplog.text
        connected(listener)
        assert listener.rest.channels() == []
        fake.end()


@pytest.mark.asterisk
def test_another_client_takes_the_application(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    server, port = start()
    with serving(port, request_timeout=5.0) as (listener, taker):
        connected(listener)
        other = Events(server.url, APP)
        wait_until(lambda: "ApplicationReplaced" in taker.line, "the message")
        wait_until(lambda: "another client" in str(listener.status()["state"]), "the alarm")
        assert listener.status()["connected"] is False
        assert "ari shutdown websocket session" in caplog.text
        other.close()
        wait_until(lambda: "connected, but" in str(listener.status()["state"]), "Asterisk, connected in vain")
        assert listener.status()["connected"] is False
        server.cli("ari shutdown websocket session arimonitor-A")
        server.cli("ari start outbound-websocket arimonitor-A")
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "a call after the mend")
        wait_until(lambda: listener.status()["connected"], "the end of the alarm")


@pytest.mark.asterisk
def test_without_subscribe_all_we_subscribe_and_say_so(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server, port = start(subscribe_all=False)
    with serving(port) as (listener, taker):
        connected(listener)
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
    assert "set subscribe_all = yes" in caplog.text
    one_call(server)
    with serving(port, left=listener.left) as (listener, taker):
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the call in between")
        assert taker.opened()[0].complete is True  # the subscription outlives the connection


@pytest.mark.asterisk
def test_another_application_name_is_used_and_said(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    server, port = start(app="something")
    with serving(port) as (listener, taker):
        connected(listener)
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
    assert f"connects for the application something, not {APP}" in caplog.text


@pytest.mark.asterisk
def test_a_reload_of_the_configuration_connects_anew(start: Starter) -> None:
    server, port = start()
    with serving(port) as (listener, taker):
        connected(listener)
        listener.reconfigure(listener._options)
        wait_until(lambda: len(taker.opened()) == 2, "the next connection")
        assert taker.opened()[1].complete is True
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "a call")


class FragmentAsterisk(OutboundAsterisk):
    """Configured by the files that the product ships, their placeholders filled in."""

    def _configure_outbound(self, *nodes: tuple[int, str]) -> None:
        ((port, app),) = nodes
        ari = (FRAGMENTS / "ari.conf").read_text().split(";[arimonitor-audio]")[0]
        self._fill("ari.conf", re.sub(r"(?m)^;(?=\[|\w+ = )", "", ari), {
            "password_format = crypt": "password_format = plain",
            "REPLACE-ME-TOO": "another-secret",
            "REPLACE-ME": "monitor-secret",
            "arimonitor-AUDIO2": app,
        })  # fmt: skip
        self._fill("websocket_client.conf", "", {
            "ws://192.0.2.10:8787/voip3": f"ws://127.0.0.1:{port}/pbx",
            "username = monitor": f"username = {USER}",
            "REPLACE-ME": PASSWORD,
        })  # fmt: skip
        self._fill("http.conf", "", {"bindport = 8088": f"bindport = {self.http}"})
        self._fill("manager.conf", "", {"5038": f"{self.ami_port}", "REPLACE-ME": "monitor-secret"})
        self._fill("cdr.conf", "", {})

    def _fill(self, name: str, text: str, values: dict[str, str]) -> None:
        text = text or (FRAGMENTS / name).read_text()
        for old, new in values.items():
            assert old in text, f"{old} in {name}"
            text = text.replace(old, new)
        (self.home / "etc/asterisk" / name).write_text(text)


@pytest.mark.asterisk
def test_the_fragments_for_asterisk_are_right(start: Starter) -> None:
    server, port = start(kind=FragmentAsterisk)
    with serving(port) as (listener, taker):
        connected(listener)
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
        assert listener.status()["varset"] is False  # channelvars are right
        assert server.ami("PJSIPShowContacts")["Response"] == "Success"
        wait_until(lambda: server.cdr_rows(), "a line in the CDR file")
        assert "ANSWERED" in server.cdr_rows()[0]


# -- a client that lies --------------------------------------------------------------


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
    with serving(connect_timeout=1.0) as (listener, _):
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
