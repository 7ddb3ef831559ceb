"""The web server over real sockets: garbage, slow clients, crowds, limits, stop.

Needs `python -m gevent.monkey --module pytest`.
"""

from __future__ import annotations

import http.client
import json
import logging
import random
import re
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from threading import Event, Thread

import pytest
from gevent import monkey
from prometheus_client.parser import text_string_to_metric_families

from daemon.errors import FatalError
from daemon.web.routing import App, Request, Response, Route
from daemon.web.server import WebServer
from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE, wait_until
from tests.unit.web.house import House

pytestmark = pytest.mark.skipif(
    not monkey.is_module_patched("threading"), reason="needs python -m gevent.monkey --module pytest"
)


class Running:
    """A server with the house's pages, and one slow and one big page."""

    def __init__(self, listen: tuple[str, ...] = ("127.0.0.1:0",), **options: object) -> None:
        self.house = House()
        self.asked = Event()
        self.go_on = Event()
        routes = (
            *self.house.app().routes,
            Route("/waits", "", self._wait),
            Route("/big", "", lambda _: Response(200, b"x" * 50_000_000)),
            Route("/fails", "", self._fail),
        )
        self.web = WebServer(listen, App(routes), **options)  # type: ignore[arg-type]
        self.web.open()
        self.addresses = [self._split(address) for address in self.web.addresses]
        self.stop = Event()
        self.thread = Thread(target=self.web.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def _wait(self, _request: Request) -> Response:
        self.asked.set()
        assert self.go_on.wait(DEADLINE)
        return Response(200, b"at last")

    def _fail(self, _request: Request) -> Response:
        raise LookupError("hunter2")

    @staticmethod
    def _split(address: str) -> tuple[str, int]:
        host, _, port = address.rpartition(":")
        return host.strip("[]"), int(port)

    def client(self, at: int = 0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.addresses[at], timeout=DEADLINE)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.addresses[0], DEADLINE)

    def get(self, target: str, method: str = "GET", at: int = 0) -> tuple[int, bytes]:
        with closing(self.client(at)) as client:
            client.request(method, target)
            answer = client.getresponse()
            return answer.status, answer.read()

    def status(self, key: str) -> object:
        return self.web.status()[key]

    def end(self) -> None:
        self.go_on.set()
        self.stop.set()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


@contextmanager
def running(**options: object) -> Iterator[Running]:
    web = Running(**options)  # type: ignore[arg-type]
    try:
        yield web
    finally:
        web.end()


@pytest.fixture
def web() -> Iterator[Running]:
    with running() as web:
        yield web


def read_all(sock: socket.socket) -> bytes:
    found = b""
    while data := sock.recv(65536):
        found += data
    return found


def say(web: Running, request: bytes) -> bytes:
    """What comes until the server closes the connection."""
    with web.connect() as sock:
        sock.sendall(request)
        return read_all(sock)


# -- as it should be ---------------------------------------------------------------------------
def test_every_path(web: Running) -> None:
    for target, status in {
        "/": 404,
        "/health": 200,
        "/ready": 200,
        "/master": 200,
        "/slave": 503,
        "/metrics": 200,
        "/api/status": 200,
        "/api/calls?client=101": 200,
        "/nothing": 404,
    }.items():
        assert web.get(target)[0] == status, target


def test_health_with_its_headers(web: Running) -> None:
    with closing(web.client()) as client:
        client.request("GET", "/health")
        answer = client.getresponse()
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "application/json"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Cache-Control") == "no-store"
        assert answer.getheader("Server") is None
        assert json.loads(answer.read()) == {"ok": True, "problems": []}


def test_a_scrape(web: Running) -> None:
    status, body = web.get("/metrics")
    assert status == 200
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"arimonitor_calls", "arimonitor_active_calls", "process_cpu_seconds"} <= names


def test_head_has_the_length_and_no_body_and_the_connection_goes_on(web: Running) -> None:
    with closing(web.client()) as client:
        for path in ("/health", "/metrics", "/nothing", "/"):
            client.request("HEAD", path)
            answer = client.getresponse()
            assert int(answer.getheader("Content-Length", "0")) > 0
            assert answer.read() == b""
        client.request("GET", "/health")
        assert client.getresponse().read() == b'{"ok": true, "problems": []}\n'
    assert web.status("requests") == 5


def test_another_method(web: Running) -> None:
    with closing(web.client()) as client:
        client.request("POST", "/api/calls", body=b"x" * 1000)
        answer = client.getresponse()
        assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
        assert json.loads(answer.read())["error"]["code"] == "method-not-allowed"
        client.request("GET", "/health")  # the body was read and dropped
        assert client.getresponse().status == 200


def test_requests_in_one_piece_are_answered_in_order(web: Running) -> None:
    text = say(
        web,
        b"GET /slave HTTP/1.1\r\nHost: a\r\n\r\nHEAD /metrics HTTP/1.1\r\n\r\n"
        b"GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", text) == [b"503", b"200", b"404"]


def test_http_1_0_ends_after_its_answer(web: Running) -> None:
    assert say(web, b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_failing_page_costs_only_its_own_answer(web: Running) -> None:
    with closing(web.client()) as client:
        client.request("GET", "/fails")
        answer = client.getresponse()
        assert answer.status == 500
        assert b"hunter2" not in answer.read()
        client.request("GET", "/health")
        assert client.getresponse().status == 200


def test_two_addresses_serve_the_same() -> None:
    with running(listen=("127.0.0.1:0", "[::1]:0")) as web:
        assert len(set(web.addresses)) == 2
        assert web.get("/api/status", at=0) == web.get("/api/status", at=1)


def test_only_debug_is_logged_of_requests(web: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    web.get("/health")
    say(web, b"nonsense\r\n\r\n")
    wait_until(
        lambda: any("/health" in record.getMessage() for record in caplog.records),
        "the request is in the log",
    )
    noisy = [record for record in caplog.records if record.levelno > logging.INFO]
    assert noisy == []


# -- what is no request ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET /health\r\n\r\n", b"400"),
        (b"GET /health HTTP/2.0\r\n\r\n", b"400"),
        (b"GET /health HTTP/1\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1 x\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client\r\n\r\n", b"400"),
        (b"G\xc9T /health HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n0123456789", b"400"),
        (b"GET /health HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n01", b"400"),
        (b"POST /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST /health HTTP/1.1\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65537, b"413"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /health HTTP/1.1\r\nX: " + b"x" * 20000 + b"\r\n\r\n", b"431"),
        (b"GET /health HTTP/1.1\r\n" + b"X: x\r\n" * 5000 + b"\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    web: Running, request_: bytes, status: bytes
) -> None:
    answer = say(web, request_ + b"GET /health HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status + b" ")
    assert answer.count(b"Content-Length: ") == 1
    assert b"nosniff" in answer
    assert web.get("/health")[0] == 200


def test_random_bytes(
    web: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(7)
    starts = (b"", b"GET ", b"GET /health HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n")
    for turn in range(60):
        with web.connect() as sock:
            sock.sendall(starts[turn % 4] + rng.randbytes(rng.randrange(1, 3000)) + b"\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            read_all(sock)
    assert web.get("/health")[0] == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_reset_in_the_middle(web: Running) -> None:
    for _ in range(20):
        sock = web.connect()
        sock.sendall(b"GET /metrics HTTP/1.1\r\n")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.close()
    wait_until(lambda: web.status("connections") == 0, "no connection is left")
    assert web.get("/health")[0] == 200


# -- slow ones ---------------------------------------------------------------------------------
def drip(sock: socket.socket, data: bytes) -> bytes:
    """Send byte by byte until the server answers or hangs up; then what it said."""
    for at in range(len(data)):
        if select.select([sock], [], [], 0.02)[0]:
            break
        sock.sendall(data[at : at + 1])
    return read_all(sock)


def test_a_request_that_drips_in_is_told_and_closed() -> None:
    with running(deadline=0.3) as web, web.connect() as sock:
        assert drip(sock, b"GET /health HTTP/1.1\r\n" + b"X: x\r\n" * 1000).startswith(
            b"HTTP/1.1 408 Request Timeout\r\n"
        )


def test_a_body_that_never_comes_holds_nobody_up() -> None:
    with running(deadline=0.3) as web, web.connect() as sock:
        sock.sendall(b"POST /health HTTP/1.1\r\nContent-Length: 10\r\n\r\nx")
        assert read_all(sock).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")


def test_an_idle_connection_is_closed_without_a_word() -> None:
    with running(idle=1.0) as web:
        with web.connect() as sock:
            assert read_all(sock) == b""
        with closing(web.client()) as client:
            client.request("GET", "/health")
            assert client.getresponse().read()
            assert client.sock.recv(1) == b""


def test_who_does_not_read_his_answer_is_cut_off() -> None:
    with running(deadline=0.5) as web, web.connect() as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        wait_until(lambda: web.status("requests") == 1, "it has asked")
        wait_until(lambda: web.status("connections") == 0, "no connection is left")
        assert web.get("/health")[0] == 200


def test_a_slow_page_delays_nobody_else(web: Running) -> None:
    with web.connect() as sock:
        sock.sendall(b"GET /waits HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert web.asked.wait(DEADLINE)
        assert web.get("/health")[0] == 200
        web.go_on.set()
        assert read_all(sock).endswith(b"at last")


# -- many --------------------------------------------------------------------------------------
def test_a_crowd_that_says_nothing_keeps_nobody_out() -> None:
    with running(max_connections=8) as web, ExitStack() as crowd:
        silent = [crowd.enter_context(web.connect()) for _ in range(100)]
        assert web.get("/health")[0] == 200
        assert web.status("ended") >= 90  # type: ignore[operator]
        assert read_all(silent[0]) == b""
        assert web.status("connections") <= 8  # type: ignore[operator]


def test_a_crowd_that_asks_is_served_whole() -> None:
    with running(max_connections=16) as web:
        answers: list[int] = []

        def ask() -> None:
            for _ in range(5):
                answers.append(web.get("/metrics")[0])

        crowd = [Thread(target=ask, daemon=True) for _ in range(40)]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join(DEADLINE * 3)
        assert answers == [200] * 200


# -- start and stop ----------------------------------------------------------------------------
def test_an_address_in_use_names_it_and_the_mend(web: Running) -> None:
    address = web.web.addresses[0]
    other = WebServer(("127.0.0.1:0", address), web.house.app())
    with pytest.raises(FatalError) as caught:
        other.open()
    assert str(caught.value).startswith(f"the web server can't listen on {address}: ")
    assert "[http] listen" in str(caught.value)
    assert other.addresses == ("127.0.0.1:0", address)


@pytest.mark.parametrize("listen", ["127.0.0.1", "198.51.100.77:0", "127.0.0.1:99999"])
def test_addresses_that_can_not_be(listen: str) -> None:
    with pytest.raises(FatalError, match=r"\[http\] listen"):
        WebServer((listen,), House().app()).open()


def test_outside_the_loopback_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with running(listen=("0.0.0.0:0",)) as web:
        wait_until(
            lambda: any("without a password" in record.getMessage() for record in caplog.records),
            "the warning",
        )
        assert web.addresses[0][1] > 0


def test_stop_waits_for_an_answer_but_not_for_who_asks_nothing() -> None:
    web = Running()
    with web.connect() as idle, web.connect() as busy:
        busy.sendall(b"GET /waits HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert web.asked.wait(DEADLINE)
        web.stop.set()
        assert read_all(idle) == b""
        web.go_on.set()
        assert read_all(busy).endswith(b"at last")
        web.end()
        with pytest.raises(OSError, match="refused"):
            web.connect()


def test_it_can_run_again_after_its_end() -> None:
    port = free_port()
    web = Running(listen=(f"127.0.0.1:{port}",))
    web.end()
    again = Running(listen=(f"127.0.0.1:{port}",))
    try:
        assert again.get("/health")[0] == 200
    finally:
        again.end()
