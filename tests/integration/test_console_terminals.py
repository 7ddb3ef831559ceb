"""Those who use the console: ctl, the real telnet client, terminals.

Runs with the plain standard library and with the patched one.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from daemon.console.client import ctl
from daemon.console.terminal import Terminal
from tests.integration.console_parts import PROMPT, Running, Source, ask, commands, guarded_address, running
from tests.integration.console_parts import console as console
from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE, wait_until

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
