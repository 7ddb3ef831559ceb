"""A real OpenSSH server for tests: own folder, own keys, a free port of the loopback.

    with Sshd() as server:
        server.place()                  # an ssh.connection.Place that works
        server.place(key_file=server.stranger)
        server.stop(), server.start()   # the same port and keys again
        server.new_host_key()           # as after an installation from scratch
        server.freeze(), server.thaw()

It runs as, and serves only, whoever runs the tests. Everything it starts it
ends itself, by process id. `unavailable_reason()` says why there can be none.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from ssh.connection import Place
from tests.servers.here import HERE
from tests.servers.here import Place as PlaceOfServer
from tests.servers.lifetime import Lifetime
from tests.servers.ports import free_port

_PROGRAM = "/usr/sbin/sshd"
_DEADLINE = 60.0
_CONF = """\
Port {port}
ListenAddress {address}
HostKey {base}/host_key
PidFile {base}/sshd.pid
AuthorizedKeysFile {base}/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
UseDNS no
LogLevel VERBOSE
MaxStartups 100
# Nobody's .bashrc: what it does takes its time, and leaves locks behind when a session is killed.
SetEnv HOME={base}
{more}
"""


def unavailable_reason() -> str | None:
    """Why no sshd can be started here; None where one can."""
    if not os.access(_PROGRAM, os.X_OK):
        return "sshd is not installed (Debian package openssh-server)"
    if shutil.which("ssh-keygen") is None:
        return "ssh-keygen is not installed (Debian package openssh-client)"
    return None


class Sshd(Lifetime):
    """One sshd that a test owns; `more` are further lines of its configuration."""

    def __init__(self, more: str = "", at: PlaceOfServer = HERE) -> None:
        self._at, self.host = at, at.address
        self.port = free_port()
        self.base = Path(tempfile.mkdtemp(prefix="arimonitor-sshd-"))
        self.user = getpass.getuser()
        self.key, self.stranger = self.base / "key", self.base / "stranger"
        self.known_hosts = self.base / "known_hosts"
        for name in ("host_key", "key", "stranger"):
            _keygen(self.base / name)
        shutil.copy(self.base / "key.pub", self.base / "authorized_keys")
        self.trust()
        (self.base / "sshd_config").write_text(
            _CONF.format(address=self.host, port=self.port, base=self.base, more=more)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def trust(self) -> None:
        """Put its present host key into known_hosts."""
        key = (self.base / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[{self.host}]:{self.port} {' '.join(key)}\n")

    def restrict(self, options: str) -> None:
        """The key's options in authorized_keys, such as `restrict,command="..."`."""
        key = (self.base / "key.pub").read_text()
        (self.base / "authorized_keys").write_text(f"{options} {key}" if options else key)

    def place(self, **other: Any) -> Place:
        """Where it is, with the key that is let in."""
        return Place(
            **{
                "name": "gv1p",
                "host": self.host,
                "port": self.port,
                "user": self.user,
                "key_file": self.key,
                "known_hosts": self.known_hosts,
                "timeout": _DEADLINE,
                **other,
            }
        )

    def settings(self, name: str = "gv1p", **other: Any) -> dict[str, Any]:
        """Its [[server]] of a configuration."""
        return {
            "name": name,
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "key_file": str(self.key),
            "known_hosts": str(self.known_hosts),
            **other,
        }

    def start(self) -> Self:
        """Start it and wait until it greets."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        with (self.base / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._at.prefix, _PROGRAM, "-D", "-e", "-f", str(self.base / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "ARIMONITOR_TEST": "1"},
                start_new_session=True,
            )
        until = time.monotonic() + _DEADLINE
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"sshd does not start: {self.log()[-2000:]}")
            time.sleep(0.02)
        return self

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=2.0) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def log(self) -> str:
        """What it wrote."""
        file = self.base / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def sessions(self) -> list[int]:
        """Processes of its connections."""
        return _children(self._process.pid) if self._process is not None else []

    def cut(self) -> None:
        """Kill every connection, as a firewall's reset would; the server lives on."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP for it and its connections: everything hangs, nothing is refused."""
        self._each(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._each(signal.SIGCONT)

    def _each(self, number: signal.Signals) -> None:
        if self._process is not None:
            for pid in (self._process.pid, *self.sessions()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def new_host_key(self) -> None:
        """Another key from the next start on; known_hosts keeps the old one."""
        for file in self.base.glob("host_key*"):
            file.unlink()
        _keygen(self.base / "host_key")

    def stop(self) -> None:
        """End it and its connections."""
        if self._process is None:
            return
        self.thaw()
        self.cut()
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it and take its folder away."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)


def _keygen(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True, timeout=30
    )


def _children(pid: int) -> list[int]:
    """All descendants."""
    found: list[int] = []
    for child in _direct(pid):
        found += [child, *_children(child)]
    return found


def _direct(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):  # it ended meanwhile
        for task in os.listdir(f"/proc/{pid}/task"):
            yield from map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
