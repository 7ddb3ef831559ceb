"""Hosts that systemd runs: real units, real `systemctl kill`, reboot and loss of power (systemd-nspawn).

    with Booted(host, files={"/etc/systemd/system/x.service": "..."}, writable=[folder]) as booted:
        booted.systemctl("kill", "-s", "KILL", "x")
        booted.reboot()
        booted.lose_power()          # kill -9 of everything on it; .start() boots it again

Its /usr is this machine's, read-only; everything else is new at each boot, but for the folders given to it:
they are its disk. The Debian package systemd-container; root. This machine's own init is not asked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.servers.daemon import REPOSITORY, ArimonitorDaemon
from tests.servers.hosts import Host
from tests.servers.lifetime import Lifetime
from tests.servers.waiting import DEADLINE, wait_until

UNIT = "arimonitor.service"
CONSOLE = ("127.0.0.1", 1101)  # of a host of its own
USER_ID = 64123
_TARGET = "arimonitor-test.target"
_REBOOT = 133  # how nspawn ends where its machine reboots
_CGROUPS = Path("/sys/fs/cgroup")
_TARGET_TEXT = f"""\
[Unit]
Requires=basic.target
After=basic.target
Wants={UNIT}
"""


def unavailable_reason() -> str | None:
    """Why there can be no such hosts here; None where there can."""
    if shutil.which("systemd-nspawn") is None:
        return "systemd-nspawn is not installed (Debian package systemd-container)"
    if not Path("/lib/systemd/systemd").exists():
        return "systemd is not installed (Debian package systemd)"
    return None


class Booted(Lifetime):
    """One of them. `files`: what is in its /etc, by path; `readable`, `writable`: this machine's folders."""

    def __init__(
        self,
        host: Host,
        files: Mapping[str, str],
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
    ) -> None:
        self.host = host
        self._base = Path(tempfile.mkdtemp(prefix="arimonitor-systemd-"))
        # Without a /tmp of its own: folders of the tests are in this machine's.
        self._binds = ["--bind-ro=/dev/null:/etc/systemd/system/tmp.mount"]
        self._binds += [f"--bind-ro={path}" for path in readable] + [f"--bind={path}" for path in writable]
        whole = {
            f"/etc/systemd/system/{_TARGET}": _TARGET_TEXT,
            "/etc/machine-id": "0" * 31 + "1\n",  # one that is known: it is no first boot
            **files,
        }
        for number, (place, text) in enumerate(whole.items()):
            file = self._base / str(number)
            file.write_text(text)
            self._binds.append(f"--bind-ro={file}:{place}")
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()

    def start(self) -> Self:
        """Boot it and wait until systemd answers."""
        self._over.clear()
        self._boot()
        threading.Thread(target=self._supervise, name=f"boot {self.host.name}", daemon=True).start()
        return self

    def _boot(self) -> None:
        name = self.host.namespace
        groups = [each for each in (_CGROUPS / "systemd", _CGROUPS / "unified") if each.is_dir()] or [
            _CGROUPS
        ]
        for group in groups:
            (group / name).mkdir(exist_ok=True)
        # A control group of its own: two machines in one would take each other's units.
        enter = " && ".join(f'echo $$ > "{group / name / "cgroup.procs"}"' for group in groups)
        argv = ["systemd-nspawn", "-q", "-D", "/", "--volatile=yes", "--boot", "--register=no", "--keep-unit"]
        argv += [f"--network-namespace-path=/run/netns/{name}", "-M", name, "--console=pipe"]
        argv += ["--resolv-conf=off", "--timezone=off", *self._binds, f"systemd.unit={_TARGET}"]
        with (self._base / "console").open("ab") as console:
            self._process = subprocess.Popen(
                ["sh", "-c", f'{enter} && exec "$@"', "sh", *argv],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        wait_until(self._answers, f"systemd on {self.host.name} answers: {self.console()[-1000:]}", every=0.1)

    def _answers(self) -> bool:
        return self.init is not None and self.systemctl("is-system-running", check=False) in (
            "running",
            "degraded",
        )

    def _supervise(self) -> None:
        """A machine that reboots is booted again, as by its firmware."""
        while not self._over.is_set():
            process = self._process
            if process is None or process.wait() != _REBOOT or self._over.is_set():
                return
            self._boot()

    @property
    def init(self) -> int | None:
        """The process id of its systemd, as this machine counts; None: it is off."""
        if self._process is None or self._process.poll() is not None:
            return None
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
            return next(map(int, children.split()), None)
        return None

    def systemctl(self, *words: str, check: bool = True) -> str:
        """One systemctl command on it; what it printed."""
        init = self.init
        if init is None:
            raise RuntimeError(f"{self.host.name} is off")
        done = subprocess.run(
            ["nsenter", "-t", str(init), "-a", "systemctl", *words],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"systemctl {' '.join(words)} on {self.host.name}: {done.stderr.strip()}")
        return done.stdout.strip()

    def journal(self) -> str:
        """What its units have logged since it was booted."""
        init = self.init
        argv = ["nsenter", "-t", str(init), "-a", "journalctl", "--no-pager", "-o", "short-precise"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout

    def console(self) -> str:
        """What it printed while booting."""
        file = self._base / "console"
        return file.read_text(errors="replace") if file.exists() else ""

    def processes(self) -> Iterator[int]:
        """Everything that runs on it, as this machine counts."""
        todo = [self.init] if self.init is not None else []
        while todo:
            pid = todo.pop()
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                todo += [int(each) for each in children.split()]
                yield pid

    def reboot(self) -> None:
        """`systemctl reboot`; returns when the new systemd answers."""
        before = self._process
        self.systemctl("reboot", check=False)
        wait_until(lambda: self._process is not before, f"{self.host.name} is booted again", 90, every=0.1)
        wait_until(self._answers, f"systemd on {self.host.name} answers: {self.console()[-1000:]}", every=0.1)

    def lose_power(self) -> None:
        """Everything on it ends at once."""
        self._over.set()
        init = self.init
        if init is not None:
            os.kill(init, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)
            self._process = None

    def close(self) -> None:
        """It is gone, with what was its own."""
        self.lose_power()
        _sweep(self.host.namespace)
        shutil.rmtree(self._base, ignore_errors=True)


def _sweep(name: str) -> None:
    """Take away the control groups of a machine that is off; those that are in use stay."""
    for group in (_CGROUPS / "systemd", _CGROUPS / "unified", _CGROUPS):
        for folder, _, _ in os.walk(group / name, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def unit_files(folder: Path, config: Path) -> dict[str, str]:
    """The product's own unit, with what differs here in a drop-in, as a site's `systemctl edit` makes it."""
    unit = (REPOSITORY / "etc/systemd" / UNIT).read_text()
    homes = any(str(place).startswith(("/home/", "/root/")) for place in (sys.base_prefix, REPOSITORY))
    drop_in = f"""\
[Service]
ExecStart=
ExecStart={sys.executable} -m daemon run -c {config}
WorkingDirectory={REPOSITORY}
ReadWritePaths={folder}
PrivateTmp=no
{"ProtectHome=no" if homes else ""}
"""
    user = f'u arimonitor {USER_ID} "arimonitor" {folder}\n'
    if homes:  # Python may lie in a folder that is its owner's only
        drop_in += "User=root\nGroup=root\nCapabilityBoundingSet=CAP_DAC_OVERRIDE\n"
    return {
        f"/etc/systemd/system/{UNIT}": unit,
        f"/etc/systemd/system/{UNIT}.d/here.conf": drop_in,
        "/etc/sysusers.d/arimonitor.conf": user,
    }


class ServiceDaemon(ArimonitorDaemon):
    """A daemon that its host's systemd runs, and starts again when it dies."""

    def __init__(
        self, folder: Path, config: Mapping[str, Any], at: Host, readable: Sequence[Path] = ()
    ) -> None:
        listening = {**config, "manager": {"listen": "{}:{}".format(*CONSOLE)}}
        super().__init__(folder, listening, at=at)
        places = {Path(sys.prefix), Path(sys.base_prefix), REPOSITORY, *readable}
        self.booted = Booted(at, unit_files(folder, self.file), sorted(places), [folder.parent])
        self._pid = 0

    def start(self) -> Self:
        """Boot its host if it is off, start the unit if it is not, and wait until the console answers."""
        if self.booted.init is None:
            self.booted.start()
        self.booted.systemctl("start", UNIT)
        self.address = CONSOLE
        wait_until(self._greets, f"{UNIT} answers: {self.booted.console()[-500:]}")
        return self

    def _greets(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return bool(self.ask("status")["ok"])
        return False

    @property
    def process(self) -> Any:
        """As Popen: who runs now, None where nobody does."""
        pid = self._find()
        return _Running(pid) if pid else None

    @process.setter
    def process(self, value: object) -> None:
        """Who runs is systemd's affair."""

    def _find(self) -> int:
        if not _is_daemon(self._pid):
            self._pid = next((pid for pid in self.booted.processes() if _is_daemon(pid)), 0)
        return self._pid

    def stop(self, seconds: float = DEADLINE) -> None:
        """`systemctl stop`; it is not started again."""
        self.booted.systemctl("stop", UNIT)

    def kill(self) -> None:
        """`systemctl kill`: systemd starts it again after a moment."""
        if self.booted.init is not None:
            self.booted.systemctl("kill", "-s", "KILL", UNIT, check=False)

    def power_loss(self) -> None:
        """Its host is without power."""
        self.booted.lose_power()

    def reboot(self) -> None:
        """Its host reboots."""
        self.booted.reboot()

    def send(self, number: signal.Signals) -> None:
        """A signal, from outside of its host."""
        if pid := self._find():
            os.kill(pid, number)

    def output(self) -> str:
        """What it printed: the journal has it."""
        return self.booted.journal() if self.booted.init is not None else ""


class _Running:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        return None if _is_daemon(self.pid) else 0


def _is_daemon(pid: int) -> bool:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if pid else []
        return b"daemon" in words and b"run" in words
    return False
