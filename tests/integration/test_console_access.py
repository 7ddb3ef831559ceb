"""The console over real sockets: who is let in, where it listens, and that it stops.

Runs with the plain standard library and with the patched one.
"""

from __future__ import annotations

import io
import time

import pytest

from daemon.console.client import ctl
from daemon.console.registry import Registry
from daemon.console.server import ConsoleServer
from daemon.errors import FatalError
from tests.integration.console_parts import (
    PROMPT,
    Running,
    ask,
    guarded_address,
    read_all,
    read_until,
    running,
)
from tests.integration.console_parts import console as console


def test_outside_the_loopback_the_password_comes_first(caplog: pytest.LogCaptureFixture) -> None:
    with running(listen=f"{guarded_address()}:0", password="s3cret") as console:
        with console.connect() as sock:
            assert read_until(sock, b"Password: ") == b"\xff\xfb\x01Password: "
            sock.sendall(b"s3cret\r\n")
            assert read_until(sock, PROMPT) == b"\xff\xfc\x01\r\nHello.\r\n" + PROMPT
        with console.connect() as sock:
            assert ask(sock, "status")["error"]["code"] == "not-authorised"  # type: ignore[index]
            began = time.monotonic()
            assert ask(sock, "auth", "wr0ng")["ok"] is False
            assert time.monotonic() - began >= 1.0
            assert ask(sock, "auth", "s3cret")["ok"] is True
            assert ask(sock, "status")["ok"] is True
        out, err = io.StringIO(), io.StringIO()
        assert ctl(console.address, ["status"], False, out, err, {}) == 1
        assert "not-authorised" in err.getvalue()
        environ = {"ARIMONITOR_MANAGER__PASSWORD": "s3cret"}
        assert ctl(console.address, ["status"], False, out, err, environ) == 0
        assert out.getvalue() == "All is well.\n"
    assert "wrong manager password from" in caplog.text
    assert "wr0ng" not in caplog.text
    assert "s3cret" not in caplog.text


def test_three_wrong_passwords_end_it() -> None:
    with running(listen=f"{guarded_address()}:0", password="s3cret") as console, console.connect() as sock:
        read_until(sock, b"Password: ")
        sock.sendall(b"a\r\nb\r\nc\r\nd\r\n")
        assert read_all(sock).count(b"Error: wrong password") == 3


def test_no_password_on_the_loopback() -> None:
    with running(listen="0.0.0.0:0", password="s3cret") as console:
        console.address = console.address.replace("0.0.0.0", "127.0.0.1")
        with console.connect() as sock:
            assert ask(sock, "status")["ok"] is True


# -- start and stop


def test_an_address_in_use_names_it_and_the_mend(console: Running) -> None:
    second = ConsoleServer(console.address, Registry(()), banner=lambda: "")
    with pytest.raises(
        FatalError, match=rf"can't listen on {console.address}: .*another program.*\[manager\]"
    ):
        second.open()


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("203.0.113.77:0", "this machine has no such address"),
        ("0.0.0.0:0", "without a password"),
        ("1101", "HOST:PORT"),
    ],
)
def test_addresses_that_can_not_be(listen: str, message: str) -> None:
    server = ConsoleServer(listen, Registry(()), banner=lambda: "", password=None)
    if listen.startswith("203"):
        server.password = "s3cret"
    with pytest.raises(FatalError, match=message):
        server.open()


def test_ipv6() -> None:
    try:
        console = Running(listen="[::1]:0")
    except FatalError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with console.connect() as sock:
        assert console.address.startswith("[::1]:")
        assert ask(sock, "status")["ok"] is True
    console.end()


def test_stop_closes_the_listener_then_tells_the_sessions() -> None:
    console = Running()
    with console.connect() as program, console.connect() as person:
        ask(program, "events")
        read_until(person, PROMPT)
        console.end()
        assert read_all(person) == b"\r\nThe daemon stops.\r\n"
        assert read_all(program) == b""
    assert not console.source.sinks
    with pytest.raises(OSError):
        console.connect()
