"""A real Asterisk for the tests, in a throw-away copy of a root directory.

    server = Asterisk(root_for("22"), tmp_path, "22")
    server.start(channelvars="CHANNEL(linkedid)")
    try:
        caller, called = server.register("1013010", "1013015")
        call = caller.dial("1013015")
        called.incoming().answer()
        ...
    finally:
        server.stop()

Several may run at once: each takes a free "slot", which gives it a loopback net for
its phones (127.0.SLOT.x) and a range of RTP ports; the other ports are any free ones.
"""

import atexit
import contextlib
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE

from .ari import ami, request, until
from .phone import Phone
from .roots import HERE, Unavailable, root_for

__all__ = ["Asterisk", "Unavailable", "root_for"]

SLOTS = range(16, 38)
RTP_PORTS = 440  # of each slot: all of them are below those of tests/servers/ports.py
TRUNK = "100"  # the last number of the trunk's address
FRESH = ("etc/asterisk", "var/log/asterisk", "var/lib/asterisk", "var/spool/asterisk", "run", "tmp")
SOUNDS = (
    "beep",
    "menu",
    "pbx-transfer",
    "pbx-invalid",
    "pbx-parkingfailed",
    "conf-onlyperson",
    "conf-placeintoconf",
    "confbridge-join",
    "confbridge-leave",
    *(f"digits/{n}" for n in range(10)),
)


class Asterisk:
    """One Asterisk process and the phones of its loopback net."""

    def __init__(self, root: Path, work: Path, version: str) -> None:
        self.version = version
        self.home = work / f"asterisk-{version}"
        self.process: subprocess.Popen[bytes] | None = None
        self.phones: dict[str, Phone] = {}
        self.claim, self.slot = self._claim_slot()
        self.net = f"127.0.{self.slot}"
        self.http, self.ami_port = free_port(), free_port()
        self.sip = free_port(socket.SOCK_DGRAM)
        self.http_address = "127.0.0.1"  # 0.0.0.0 in a network namespace of its own
        self.url = f"http://127.0.0.1:{self.http}"
        self._copy(root)
        atexit.register(self.kill)

    @staticmethod
    def _claim_slot() -> tuple[socket.socket, int]:
        """Holding a socket open keeps every other process away from the slot."""
        for slot in SLOTS:
            claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                claim.bind((f"127.0.{slot}.1", 5060))
            except OSError:
                claim.close()
            else:
                return claim, slot
        raise Unavailable("no free loopback net")

    def _copy(self, root: Path) -> None:
        """Hard links to the big part, own copies of everything that is written to."""
        root = root.resolve()
        if self.home.exists():
            raise FileExistsError(self.home)
        self.home.parent.mkdir(parents=True, exist_ok=True)
        linked = subprocess.run(["cp", "-al", root, self.home], capture_output=True, check=False)
        if linked.returncode:  # another file system
            shutil.rmtree(self.home, ignore_errors=True)
            subprocess.run(["cp", "-a", root, self.home], check=True)
        for name in FRESH:
            shutil.rmtree(self.home / name)
            if name.startswith(("var/lib", "var/spool")):
                shutil.copytree(root / name, self.home / name, symlinks=True)
        for name in ("etc/asterisk", "run/asterisk", "tmp", "var/log/asterisk/cdr-csv"):
            (self.home / name).mkdir(parents=True)
        sounds = self.home / "usr/share/asterisk/sounds/en"
        for name in SOUNDS:  # two seconds of silence
            (sounds / name).parent.mkdir(parents=True, exist_ok=True)
            (sounds / name).with_suffix(".ulaw").write_bytes(b"\xff" * (16000 if name == "menu" else 2400))

    # -- the process -----------------------------------------------------------
    def _configure(self, channelvars: str | None, qualify: int, ws_write_timeout: int | None) -> None:
        first = 10000 + (self.slot - SLOTS[0]) * RTP_PORTS
        values = {
            "HTTP_ADDRESS": self.http_address,
            "HTTP_PORT": self.http,
            "SIP_PORT": self.sip,
            "AMI_PORT": self.ami_port,
            "QUALIFY": qualify,
            "RTP_START": first,
            "RTP_END": first + RTP_PORTS - 1,
            "TRUNK": f"{self.net}.{TRUNK}",
            "ENTITY": f"02:00:00:00:00:{self.version}",
            "CHANNELVARS": f"channelvars = {channelvars}" if channelvars else "",
            "WS_WRITE_TIMEOUT": f"websocket_write_timeout = {ws_write_timeout}" if ws_write_timeout else "",
        }
        for source in sorted((HERE / "etc").glob("*.conf")):
            text = source.read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", str(value))
            (self.home / "etc/asterisk" / source.name).write_text(text)

    def start(
        self,
        channelvars: str | None = None,
        qualify: int = 0,
        ws_write_timeout: int | None = None,
    ) -> None:
        """Configure, start, and wait until ARI answers.

        `qualify`: seconds between OPTIONS to each phone; `ws_write_timeout`: milliseconds.
        """
        self._configure(channelvars, qualify, ws_write_timeout)
        self.restart()

    def restart(self) -> None:
        """Start again with the same configuration (after stop or kill)."""
        if self.process is not None:
            raise RuntimeError("it runs already")
        for left in (self.home / "run/asterisk").iterdir():
            left.unlink()
        with (self.home / "asterisk.out").open("ab") as out:
            self.process = subprocess.Popen(
                ["chroot", self.home, "asterisk", "-f", "-n", "-q"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            self.booted()
        except BaseException:
            self.kill()
            raise

    def booted(self) -> None:
        """Wait until ARI answers and the phones, too, are answered."""
        until(self._is_up, DEADLINE, "Asterisk does not answer")

    def _is_up(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError("Asterisk ended: " + (self.home / "asterisk.out").read_text()[-500:])
        try:
            return request(self.url, "GET", "/asterisk/info", deadline=2)[
                0
            ] == 200 and "fully booted" in self.cli("core waitfullybooted")
        except (OSError, subprocess.SubprocessError):
            return False

    def stop(self) -> None:
        """Stop Asterisk (core stop now; after 10 s: kill)."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.SubprocessError):
            self.thaw()
            self.cli("core stop now")
            self.process.wait(10)
        self.kill()

    def close(self) -> None:
        """Stop Asterisk and the phones, remove the copy of the root."""
        self.stop()
        for phone in self.phones.values():
            phone.close()
        self.phones.clear()
        self.claim.close()
        atexit.unregister(self.kill)
        shutil.rmtree(self.home, ignore_errors=True)

    def kill(self) -> None:
        """As a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    # -- what it says ------------------------------------------------------------
    def cli(self, command: str) -> str:
        done = subprocess.run(
            ["chroot", self.home, "asterisk", "-rx", command],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return done.stdout

    def ari(self, method: str, path: str, body: Any = None, **query: str | int) -> tuple[int, Any]:
        return request(self.url, method, path, body, **query)

    def ari_within(self, seconds: float, method: str, path: str) -> tuple[int, Any]:
        """A request with a deadline of its own; OSError after that."""
        return request(self.url, method, path, None, seconds)

    def ami(self, action: str, **fields: str) -> dict[str, str]:
        return ami(self.ami_port, action, **fields)

    def channels(self) -> list[dict[str, Any]]:
        status, found = self.ari("GET", "/channels")
        return list(found) if status == 200 else []

    def channel_of(self, number: str) -> dict[str, Any]:
        """The channel of a phone that has just one."""
        name = f"PJSIP/{number}-"
        found: dict[str, Any] = until(
            lambda: next((c for c in self.channels() if c["name"].startswith(name)), None),
            DEADLINE,
            f"no {name}",
        )
        return found

    def cdr_rows(self) -> list[str]:
        """The lines of Asterisk's CDR file."""
        path = self.home / "var/log/asterisk/cdr-csv/Master.csv"
        return path.read_text().splitlines() if path.exists() else []

    def idle(self, timeout: float = DEADLINE) -> None:
        """Wait until there is no channel any more, and every call that was has its rows in the CDR."""
        try:
            until(lambda: not self.channels(), timeout, "channels are left over")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.channels()}") from None
        # Rows are written a moment later, and what is written is no longer shown.
        until(lambda: "/" not in self.cli("cdr show active"), timeout, "rows of the CDR are missing")

    # -- phones ------------------------------------------------------------------
    def phone(self, number: str) -> Phone:
        """The phone of a number; 10130NN is at 127.0.SLOT.NN, other numbers are behind the trunk."""
        if number not in self.phones:
            inside = number.startswith("10130")
            address = f"{self.net}.{int(number[-2:]) if inside else TRUNK}"
            self.phones[number] = Phone(number, address, ("127.0.0.1", self.sip))
        return self.phones[number]

    def register(self, *numbers: str, expires: int = 3600) -> list[Phone]:
        phones = [self.phone(number) for number in numbers]
        for phone in phones:
            phone.register(expires)
        return phones
