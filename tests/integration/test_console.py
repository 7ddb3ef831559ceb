"""The console over real sockets: limits, slow readers, passwords, streams, ctl, the real telnet client.

Runs with the plain standard library and with the patched one.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from daemon.console.client import ctl
from daemon.console.registry import Command, CommandError, Item, Registry, Result, SessionInfo, Sink
from daemon.console.server import ConsoleServer
from daemon.console.terminal import Terminal
from daemon.errors import FatalError, PermanentError
from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE, wait_until

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


# -- the password


def guarded_address() -> str:
    """An address of this machine that is not its loopback, or skip."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback")
        return str(probe.getsockname()[0])


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


# -- ctl


def run_ctl(console: Running, *words: str, as_json: bool = False) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = ctl(console.address, words, as_json, out, err, {})
    return code, out.getvalue(), err.getvalue()


def test_ctl(console: Running) -> None:
    assert run_ctl(console, "status", "1") == (0, "All is well.\n", "")
    code, out, err = run_ctl(console, "status", as_json=True)
    assert (code, json.loads(out), err) == (0, {"node": "AUDIO2", "args": []}, "")
    assert run_ctl(console, "fail", "x") == (1, "", "Error: nothing there (not-found)\n")
    code, out, err = run_ctl(console, "nope", as_json=True)
    assert (code, json.loads(out)["error"]["code"], err) == (1, "unknown-command", "")


def test_ctl_without_a_daemon() -> None:
    port = free_port()
    out, err = io.StringIO(), io.StringIO()
    assert ctl(f"127.0.0.1:{port}", ["status"], False, out, err, {}) == 3
    assert err.getvalue().startswith(f"no daemon answers on 127.0.0.1:{port}: ")
    assert ctl("nowhere", ["status"], False, out, err, {}) == 3


def test_ctl_when_all_connections_are_taken() -> None:
    with running(max_connections=1) as console, console.connect() as sock:
        ask(sock, "status")
        code, _, err = run_ctl(console, "status")
        assert code == 3
        assert "Too many connections" in err


def test_ctl_follows_until_ctrl_c(console: Running) -> None:
    program = (
        "import os, sys\n"
        "from daemon.console.client import ctl\n"
        "sys.exit(ctl(sys.argv[1], sys.argv[2:], False, sys.stdout, sys.stderr, os.environ))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, console.address, "events", "follow"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "Following.\n"
        assert console.source.begun.wait(DEADLINE)
        console.source.emit("Dial")
        assert child.stdout.readline() == "Dial\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(DEADLINE) == 0
    finally:
        child.kill()
        child.wait()
    wait_until(lambda: not console.source.sinks, "nobody follows any more")


# -- terminals


class Screen:
    """A program on a pseudo-terminal: typed at and read."""

    def __init__(self, argv: list[str], environ: dict[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        self.child = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ,
            preexec_fn=_own_terminal,
        )
        os.close(slave)
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def expect(self, text: bytes) -> bytes:
        """Read until `text` shows; what came up to and with it."""
        until = time.monotonic() + DEADLINE
        while text not in self.seen:
            left = until - time.monotonic()
            assert left > 0, f"{text!r} did not show; {self.seen!r} did"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 4096)
        at = self.seen.index(text) + len(text)
        shown, self.seen = self.seen[:at], self.seen[at:]
        return shown

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self.master)


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.skipif(shutil.which("telnet") is None, reason="no telnet client (Debian: telnet)")
def test_the_real_telnet_client(console: Running) -> None:
    host, _, port = console.address.rpartition(":")
    # A port with a dash makes it negotiate first, as on port 23.
    screen = Screen(["telnet", "--", host, f"-{port}"])
    try:
        screen.expect(PROMPT)
        screen.type(b"statux\x7fs\n")
        screen.expect(b"All is well.\r\n" + PROMPT)
        screen.type(b"events follow\n")
        screen.expect(b"Following.\r\n")
        screen.type(b"\x03")
        # It shows nothing more after a Ctrl-C until its timing mark is answered.
        screen.expect(b"Stopped after 0 events.\r\n" + PROMPT)
        screen.type(b"quit\n")
        screen.expect(b"Bye.\r\n")
        assert screen.child.wait(DEADLINE) is not None
    finally:
        screen.close()


@pytest.mark.skipif(shutil.which("telnet") is None, reason="no telnet client (Debian: telnet)")
def test_the_real_telnet_client_does_not_show_the_password() -> None:
    host = guarded_address()
    with running(listen=f"{host}:0", password="s3cret") as console:
        screen = Screen(["telnet", host, console.address.rpartition(":")[2]])
        try:
            screen.expect(b"Password: ")
            screen.type(b"s3cret\n")
            assert b"s3cret" not in screen.expect(PROMPT)
            screen.type(b"status\n")
            assert screen.expect(b"All is well.").startswith(b"status")
        finally:
            screen.close()


def test_the_interactive_console(console: Running, tmp_path: Path) -> None:
    program = "import sys; from daemon.console.client import interactive; sys.exit(interactive(sys.argv[1]))"
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"}
    screen = Screen([sys.executable, "-c", program, console.address], environ)
    try:
        screen.expect(PROMPT)
        screen.type(b"stat\t\n")
        screen.expect(b"All is well.\r\n")
        screen.expect(PROMPT)
        screen.type(b"nope\n")
        screen.expect(b"(unknown-command)")
        screen.expect(PROMPT)
        screen.type(b"events\n")
        screen.expect(b"Following.\r\n")
        assert console.source.begun.wait(DEADLINE)
        console.source.emit("Dial")
        screen.expect(b"Dial\r\n")
        screen.type(b"\x03")
        screen.expect(PROMPT)
        screen.type(b"quit\n")
        screen.expect(b"Bye.")
        assert screen.child.wait(DEADLINE) == 0
    finally:
        screen.close()
    history = tmp_path / "arimonitor" / "console_history"
    assert "nope" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


class Pipes:
    """A terminal service on two pipes."""

    def __init__(self) -> None:
        self.typed_r, self.typed_w = os.pipe()
        self.shown_r, self.shown_w = os.pipe()
        self.source = Source()
        self.stop = Event()
        with os.fdopen(self.typed_r, "rb", closefd=False) as stdin, \
                os.fdopen(self.shown_w, "wb", closefd=False) as stdout:  # fmt: skip
            self.terminal = Terminal(commands(self.source), stdin, stdout, banner=lambda: "Hello.")
        self.thread = Thread(target=self.terminal.run, args=(self.stop,), daemon=True)
        self.thread.start()
        self.seen = b""

    def expect(self, text: bytes) -> None:
        while text not in self.seen:
            assert select.select([self.shown_r], [], [], DEADLINE)[0], f"{text!r} not in {self.seen!r}"
            self.seen += os.read(self.shown_r, 4096)
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def end(self) -> None:
        self.stop.set()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()
        os.close(self.typed_w)
        os.close(self.typed_r)
        os.close(self.shown_r)
        os.close(self.shown_w)


def test_the_daemons_own_terminal() -> None:
    pipes = Pipes()
    try:
        pipes.expect(b"Hello.\nARIMONITOR> ")
        os.write(pipes.typed_w, b"status\n")
        pipes.expect(b"All is well.\nARIMONITOR> ")
        os.write(pipes.typed_w, b"events\n")
        assert pipes.source.begun.wait(DEADLINE)
        pipes.source.emit("Dial")
        pipes.expect(b"Dial\n")
        assert pipes.terminal.status() == {"open": True}
        os.write(pipes.typed_w, b"quit\n")
        pipes.expect(b"Bye.\n")
        wait_until(lambda: pipes.terminal.status() == {"open": False}, "the terminal is closed")
        # quit ends the console, not the service: the supervisor must not start it again.
        assert pipes.thread.is_alive()
    finally:
        pipes.end()


def test_the_daemons_own_terminal_is_told_of_the_stop() -> None:
    pipes = Pipes()
    pipes.expect(b"ARIMONITOR> ")
    pipes.stop.set()
    pipes.expect(b"The daemon stops.\n")
    pipes.end()
