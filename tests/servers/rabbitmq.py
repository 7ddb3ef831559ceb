"""A real RabbitMQ for tests: its own node, epmd, data and ports, all on the loopback.

    with RabbitMQ() as broker:
        broker.port, broker.username, broker.password, broker.vhost
        broker.kill()            # kill -9, as a crash
        broker.start()           # the same data again
        broker.freeze(), broker.thaw()
        broker.rabbitmqctl("list_queues")

Run as root the server runs as the user `rabbitmq`; else as whoever runs the
tests. Everything it starts it ends itself, by process id. `unavailable_reason()`
says why there can be none on this machine.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pika

from tests.servers.here import HERE, Place, as_user
from tests.servers.lifetime import Lifetime
from tests.servers.ports import free_port

_BIN = Path("/usr/lib/rabbitmq/bin")
_START_DEADLINE = 60.0
_CONF = """\
listeners.tcp.default = {address}:{port}
loopback_users = none
log.console = false
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
"""
_TLS_CONF = """\
listeners.ssl.default = 127.0.0.1:{port}
ssl_options.cacertfile = {ca}
ssl_options.certfile = {cert}
ssl_options.keyfile = {key}
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
"""


def unavailable_reason() -> str | None:
    """Why no RabbitMQ can be started here; None where one can."""
    if not (_BIN / "rabbitmq-server").exists():
        return "rabbitmq-server is not installed (Debian package rabbitmq-server)"
    if shutil.which("epmd") is None:
        return "epmd is not installed (Debian package erlang-base)"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("rabbitmq")
        except KeyError:
            return "there is no user rabbitmq to run the server as"
    return None


class RabbitMQ(Lifetime):
    """One RabbitMQ node that a test owns; `tls` = (CA file, certificate, key) adds a TLS listener."""

    username = "guest"
    password = "guest"
    vhost = "/"

    def __init__(self, tls: tuple[Path, Path, Path] | None = None, at: Place = HERE) -> None:
        self._at, self.host = at, at.address
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self.base = Path(tempfile.mkdtemp(prefix="arimonitor-rabbitmq-"))
        self._epmd_port, self._dist_port = free_port(), free_port()
        self.node = f"t{self.port}@localhost"
        self._user = "rabbitmq" if os.geteuid() == 0 else ""
        conf = _CONF.format(address=at.address, port=self.port)
        if tls is not None:
            copies = [Path(shutil.copy(source, self.base)) for source in tls]
            conf += _TLS_CONF.format(port=self.tls_port, ca=copies[0], cert=copies[1], key=copies[2])
        (self.base / "rabbitmq.conf").write_text(conf)
        (self.base / "enabled_plugins").write_text("[].\n")
        if self._user:
            for path in (self.base, *self.base.iterdir()):
                shutil.chown(path, "rabbitmq", "rabbitmq")
        self._epmd: subprocess.Popen[bytes] | None = None
        self._wrapper: subprocess.Popen[bytes] | None = None
        self._frozen = False

    def _environment(self) -> Mapping[str, str]:
        base = str(self.base)
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": base,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_BASE": base,
            "RABBITMQ_MNESIA_BASE": base + "/mnesia",
            "RABBITMQ_LOG_BASE": base + "/log",
            "RABBITMQ_CONFIG_FILE": base + "/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": base + "/enabled_plugins",
            "RABBITMQ_CONF_ENV_FILE": base + "/none",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _spawn(self, argv: list[str], output: str) -> subprocess.Popen[bytes]:
        argv, user = as_user(self._at, self._user, *argv)
        with (self.base / output).open("ab") as out:
            return subprocess.Popen(
                argv,
                env=self._environment(),
                cwd=self.base,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                extra_groups=[] if user else None,
                **user,  # type: ignore[call-overload]
            )

    def start(self) -> Self:
        """Start it and wait until it greets; the data of an earlier run are there again."""
        if self._epmd is None:
            # In the foreground and first: else the server leaves a detached one behind.
            argv = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = self._spawn(argv, "epmd.out")
            self._await_port(("127.0.0.1", self._epmd_port), greet=False)
        self._wrapper = self._spawn([str(_BIN / "rabbitmq-server")], "server.out")
        self._await_port((self.host, self.port), greet=True)
        # It listens before its start is over: rabbitmqctl would still find half a node.
        self.rabbitmqctl("await_startup")
        return self

    def _await_port(self, address: tuple[str, int], *, greet: bool) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), self._at.connect(address, 1.0) as link:
                if not greet:
                    return
                link.settimeout(5.0)
                link.sendall(b"AMQP\x00\x00\x09\x01")
                if link.recv(1):
                    return
            if self._wrapper is not None and self._wrapper.poll() is not None:
                break
            time.sleep(0.05)  # an outside program: there is nothing to wait on but its port
        out = (self.base / "server.out").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"RabbitMQ on port {address[1]} did not start: {out}")

    @property
    def pid(self) -> int:
        """Process id of the Erlang machine, the server itself."""
        assert self._wrapper is not None
        todo = [self._wrapper.pid]
        while todo:
            pid = todo.pop()
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().startswith("beam"):
                    return pid
                todo += [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        raise RuntimeError("RabbitMQ does not run")

    def stop(self) -> None:
        """An orderly stop (SIGTERM), as by its administrator."""
        if self._wrapper is None:
            return
        self.thaw()
        if self._wrapper.poll() is None:
            self._wrapper.terminate()
            try:
                self._wrapper.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self._wrapper = None

    def kill(self) -> None:
        """kill -9 of the server, as a crash or the power would."""
        if self._wrapper is None:
            return
        with contextlib.suppress(RuntimeError):
            os.kill(self.pid, signal.SIGKILL)
        self._frozen = False
        # The wrapper is a shell that waits for the server, so it ends by itself.
        try:
            self._wrapper.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._wrapper.pid, signal.SIGKILL)
            self._wrapper.wait(5)
        self._wrapper = None

    def freeze(self) -> None:
        """SIGSTOP: the sockets stay open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        if self._frozen:
            os.kill(self.pid, signal.SIGCONT)
            self._frozen = False

    def rabbitmqctl(self, *args: str) -> str:
        """Run one rabbitmqctl command on it; its standard output."""
        argv, user = as_user(self._at, self._user, str(_BIN / "rabbitmqctl"), "-q", "-n", self.node, *args)
        done = subprocess.run(
            argv,
            env=self._environment(),
            cwd=self.base,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=90,
            check=False,
            extra_groups=[] if user else None,
            **user,  # type: ignore[call-overload]
        )
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {args}: {done.stdout!r} {done.stderr!r}")
        return bytes(done.stdout).decode()

    def log_text(self) -> str:
        """What it has logged so far."""
        return "".join(path.read_text(errors="replace") for path in (self.base / "log").glob("*.log"))

    def set_memory_alarm(self, on: bool) -> None:
        """Raise or clear the memory alarm: publishers are blocked while it is on."""
        # Through its limit: an alarm set by hand is cleared by the next look at the memory.
        self.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1MB" if on else "512MB")

    def connect(self, vhost: str = "") -> pika.BlockingConnection:
        """A connection of the test's own, for topology and consuming."""
        return pika.BlockingConnection(
            pika.ConnectionParameters(
                self.host,
                self.port,
                vhost or self.vhost,
                pika.PlainCredentials(self.username, self.password),
                heartbeat=0,
                socket_timeout=20,
                blocked_connection_timeout=60,
            )
        )

    def close(self) -> None:
        """Stop everything and take the data away."""
        self.stop()
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait(5)
            self._epmd = None
        shutil.rmtree(self.base, ignore_errors=True)
