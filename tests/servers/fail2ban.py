"""A real fail2ban for tests: own folder, socket and database; bans are written to a file, nothing is blocked.

    with Fail2ban(jails=("asterisk", "sshd")) as guard:
        guard.ban("asterisk", "203.0.113.7")
        guard.banned("asterisk")            # ["203.0.113.7"]
        guard.command                       # the argv of its client: a [[server]]'s fail2ban_command

Everything it starts it ends itself, by process id. `unavailable_reason()` says
why there can be none.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.servers.lifetime import Lifetime

_DEADLINE = 60.0
_LOCAL = """\
[Definition]
loglevel = INFO
logtarget = {base}/log
socket = {base}/socket
pidfile = {base}/pid
dbfile = {base}/db.sqlite3
"""
_ACTION = """\
[Definition]
actionstart =
actionstop =
actioncheck =
actionban = echo "ban <ip>" >> {base}/done
actionunban = echo "unban <ip>" >> {base}/done
"""
_FILTER = """\
[Definition]
failregex = ^.* NOTICE.* Request from '.*' failed for '<HOST>(?::\\d+)?' .*$
"""
_DEFAULT = """\
[DEFAULT]
ignoreip = 127.0.0.1/8
bantime = 600
findtime = 60
maxretry = 3
backend = polling
usedns = no
"""
_JAIL = """
[{name}]
enabled = true
filter = arimonitor-test
logpath = {base}/messages
action = arimonitor-test
"""


def unavailable_reason() -> str | None:
    """Why no fail2ban can be started here; None where one can."""
    if shutil.which("fail2ban-server") is None or not Path("/etc/fail2ban/fail2ban.conf").exists():
        return "fail2ban is not installed (Debian package fail2ban)"
    return None


class Fail2ban(Lifetime):
    """One fail2ban server that a test owns."""

    def __init__(self, jails: Sequence[str] = ("asterisk",)) -> None:
        self._jails = tuple(jails)
        self.base = Path(tempfile.mkdtemp(prefix="arimonitor-fail2ban-"))
        self.command = ["fail2ban-client", "-c", str(self.base), "-s", str(self.base / "socket")]
        shutil.copy("/etc/fail2ban/fail2ban.conf", self.base)
        for folder in ("action.d", "filter.d"):
            (self.base / folder).mkdir()
        self._write("fail2ban.local", _LOCAL)
        self._write("action.d/arimonitor-test.conf", _ACTION)
        self._write("filter.d/arimonitor-test.conf", _FILTER)
        jail = "".join(_JAIL.format(name=name, base=self.base) for name in jails)
        self._write("jail.conf", _DEFAULT + jail)
        (self.base / "messages").touch()
        self._process: subprocess.Popen[bytes] | None = None

    def _write(self, name: str, text: str) -> None:
        (self.base / name).write_text(text.replace("{base}", str(self.base)))

    def client(self, *words: str) -> str:
        """What its client prints; CalledProcessError where it fails."""
        return subprocess.run(
            [*self.command, *words], check=True, capture_output=True, text=True, timeout=_DEADLINE
        ).stdout

    def ban(self, jail: str, ip: str) -> None:
        """Ban by hand."""
        self.client("set", jail, "banip", ip)

    def banned(self, jail: str) -> list[str]:
        """Who is banned now."""
        return self.client("get", jail, "banip").split()

    def done(self) -> list[str]:
        """What the action was told to do: "ban IP", "unban IP"."""
        file = self.base / "done"
        return file.read_text().splitlines() if file.exists() else []

    def start(self) -> Self:
        """Start it and wait until it answers."""
        argv = ["fail2ban-server", "-c", str(self.base), "-s", str(self.base / "socket")]
        with (self.base / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [*argv, "-p", str(self.base / "pid"), "-f", "start"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until = time.monotonic() + _DEADLINE
        # It answers before its jails are there.
        while any(self._unanswered("status", jail) for jail in self._jails):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"fail2ban does not start: {(self.base / 'output').read_text()[-2000:]}")
            time.sleep(0.05)  # an outside program: there is nothing to wait on
        return self

    def _unanswered(self, *words: str) -> bool:
        return subprocess.run([*self.command, *words], capture_output=True, check=False).returncode != 0

    def freeze(self) -> None:
        """SIGSTOP: its clients wait."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            (self.base / "socket").unlink(missing_ok=True)

    def close(self) -> None:
        """End it and take its folder away."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)
