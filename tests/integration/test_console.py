"""The console over real sockets: its two languages, limits, slow readers, streams.

Runs with the plain standard library and with the patched one.
"""

from __future__ import annotations

import json
import random
import socket
import time
from threading import Event

import pytest

from tests.integration.console_parts import PROMPT, Running, ask, read_all, read_until, running
from tests.integration.console_parts import console as console
from tests.servers.waiting import DEADLINE, wait_until

# -- the two languages


def test_telnet_and_json_on_one_connection(console: Running) -> None:
    with console.connect() as sock:
        assert read_until(sock, PROMPT) == b"Hello.\r\n" + PROMPT
        sock.sendall(b"status 1\r\n")
        assert read_until(sock, PROMPT) == b"All is well.\r\n" + PROMPT
        assert ask(sock, "status", "2") == {"ok": True, "result": {"node": "AUDIO2", "args": ["2"]}}
        sock.sendall(b"quit\r\n")
        assert read_all(sock) == b"Bye.\r\n"


def test_a_program_reads_one_line_for_each_line(console: Running) -> None:
    with console.connect() as sock:
        sock.sendall(b'{"command": "status"}\n' * 3)
        sock.shutdown(socket.SHUT_WR)
        lines = read_all(sock).splitlines()
    assert [json.loads(line)["ok"] for line in lines] == [True, True, True]


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("bug", "failed", "the command failed; the log says why"),
        ("refused", "refused", "not here"),
        ("x", "not-found", "nothing there"),
    ],
)
def test_what_a_handler_raises(
    console: Running, kind: str, code: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with console.connect() as sock:
        assert ask(sock, "fail", kind) == {"ok": False, "error": {"code": code, "message": message}}
        assert ask(sock, "status")["ok"] is True
    assert ("ZeroDivisionError" in caplog.text) == (kind == "bug")


# -- limits


def test_the_33rd_connection_is_told_and_closed(console: Running) -> None:
    socks = [console.connect() for _ in range(32)]
    try:
        for sock in socks:
            assert ask(sock, "status")["ok"] is True
        with console.connect() as late:
            assert read_all(late) == b"Too many connections: at most 32. End one and try again.\r\n"
        # Also one that speaks first gets the line, not a reset.
        with console.connect() as late:
            late.sendall(b'{"command": "status"}\n')
            assert read_all(late).startswith(b"Too many connections")
        socks.pop().close()
        wait_until(lambda: console.status("sessions") == 31, "one place is free")
        with console.connect() as again:
            assert ask(again, "status")["ok"] is True
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("start", [b"", b'{"command": "'])
def test_a_long_line_is_refused_and_the_rest_of_it_not_awaited(console: Running, start: bytes) -> None:
    with console.connect() as sock:
        sock.sendall(start + b"x" * 200_000)
        answer = read_all(sock)
    assert b"too-long" in answer
    assert start == b"" or json.loads(answer)["ok"] is False


def test_a_session_without_a_line_ends() -> None:
    with running(idle=0.3) as console, console.connect() as sock:
        assert b"Nothing was typed for 0 s: the session ends.\r\n" in read_all(sock)


def test_a_close_in_mid_line_carries_nothing_out(console: Running) -> None:
    with console.connect() as sock:
        ask(sock, "status")
        sock.sendall(b"events follow")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""
    wait_until(lambda: console.status("sessions") == 0, "every session has ended")
    assert console.status("commands") == 1
    assert not console.source.sinks


def test_a_reset_ends_the_session(console: Running) -> None:
    sock = console.connect()
    ask(sock, "events")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    wait_until(lambda: console.status("sessions") == 0, "every session has ended")
    assert not console.source.sinks


def test_a_big_answer_arrives_whole(console: Running) -> None:
    with console.connect() as sock:
        read_until(sock, PROMPT)
        sock.sendall(b"big 5000000\r\n")
        assert len(read_until(sock, PROMPT)) == 5_000_000 + 2 + len(PROMPT)


def test_who_follows_and_does_not_read_is_closed_and_disturbs_nobody(console: Running) -> None:
    slow, fast = console.connect(), console.connect()
    with slow, fast:
        ask(slow, "events")
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line = "x" * 10_000
        sent = 0
        began = time.monotonic()
        while console.source.sinks:
            console.source.emit(line)
            sent += 1
            assert sent < 5000
            if sent % 100 == 0:
                assert ask(fast, "status")["ok"] is True
        assert time.monotonic() - began < DEADLINE
        wait_until(lambda: console.status("sessions") == 1, "one session is left")
        assert ask(fast, "status")["ok"] is True


def test_who_asks_and_asks_and_never_reads_is_not_read_any_more(console: Running) -> None:
    with console.connect() as greedy, console.connect() as other:
        greedy.sendall(b'{"command": "big", "args": [1000000], "text": true}\n' * 50)
        wait_until(lambda: console.status("commands") != 0, "a command was carried out")
        carried_out = 0
        while carried_out != console.status("commands"):
            carried_out = int(str(console.status("commands")))
            Event().wait(0.5)
        # Answered one at a time: 100 MB never wait in the daemon, only what the kernel takes.
        assert carried_out < 25
        other.sendall(b"status\n")
        assert b"All is well." in read_until(other, b"All is well.\n" + PROMPT)


def test_random_bytes(console: Running) -> None:
    dice = random.Random(1101)
    for _ in range(40):
        with console.connect() as sock:
            for _ in range(dice.randrange(1, 6)):
                try:
                    sock.sendall(dice.randbytes(dice.randrange(1, 3000)))
                except OSError:
                    break  # a byte of these may end the session
    with console.connect() as sock:
        assert ask(sock, "status")["ok"] is True
    wait_until(lambda: console.status("sessions") == 0, "every session has ended")


# -- streams


def test_follow_until_a_line(console: Running) -> None:
    with console.connect() as sock:
        read_until(sock, PROMPT)
        sock.sendall(b"events follow\r\n")
        assert read_until(sock, b"\n") == b"Following.\r\n"
        assert console.source.begun.wait(DEADLINE)
        console.source.emit("Dial")
        assert read_until(sock, b"\n") == b"Dial\r\n"
        sock.sendall(b"\r\n")
        assert read_until(sock, PROMPT) == b"Stopped after 1 events.\r\n" + PROMPT
        assert console.source.ended.wait(DEADLINE)
        assert not console.source.sinks


def test_follow_outlives_the_idle_time() -> None:
    with running(idle=1.0) as console, console.connect() as sock:
        ask(sock, "events")
        Event().wait(1.5)
        console.source.emit("Dial")
        assert read_until(sock, b"\n") == b'{"event": {"type": "Dial"}}\n'
