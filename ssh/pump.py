"""Moves files by a child process with OpenSSH's client in it: as fast as sftp, off the hub. Adapter.

    Pump --jobs--> python -m ssh.pumping --> ssh -s HOST sftp --> sshd

Both are started at the first job, at one moment, and live until `close` or
until something goes wrong. The login is a second one to the same machine, with
the same key and the same known_hosts. Where there is no `ssh`, see `inplace`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ssh.connection import Place
from ssh.errors import Denied, HostKeyRefused, LoginRefused, NoSuchFile, ServerFailed, SshUnreachable
from ssh.traffic import Moving, Traffic

_CIPHERS: Final = ",".join(
    (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    )
)
_PIPE: Final = 1024 * 1024
_SILENCE: Final = 3.0
"""Times Place.timeout without a sign of life after which it is given up."""


class Pump:
    """For one greenlet. Every method raises SshUnreachable, NoSuchFile and Denied; OSError: the local disk's.

    `deadline` in seconds is for the whole job.
    """

    def __init__(self, place: Place, traffic: Traffic) -> None:
        self._place = place
        self._traffic = traffic
        self._ssh: subprocess.Popen[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._jobs = self._answers = -1
        self._buffer = b""

    def send(
        self, local: Path, remote: str, begin: int, moving: Moving, *, deadline: float, sync: bool
    ) -> str:
        """A local file to `remote`, whose first `begin` bytes are there; SHA-256 of the whole local file."""
        job = {"kind": "put", "local": str(local), "remote": remote, "begin": begin, "sync": sync}
        return self._do(job, f"sending of {remote}", moving, deadline)

    def fetch(
        self, remote: str, local: Path, begin: int, moving: Moving, *, deadline: float, sync: bool
    ) -> str:
        """`moving.of` bytes to a local file, whose first `begin` are there; SHA-256 of all of them."""
        job = {"kind": "get", "remote": remote, "local": str(local), "begin": begin, "size": moving.of}
        return self._do({**job, "sync": sync}, f"fetching of {remote}", moving, deadline)

    def digest(self, remote: str, moving: Moving, *, deadline: float) -> str:
        """SHA-256 of the first `moving.of` bytes there, read back."""
        job = {"kind": "digest", "remote": remote, "size": moving.of}
        return self._do(job, f"reading back of {remote}", moving, deadline)

    def describe(self, local: Path, moving: Moving, *, deadline: float) -> str:
        """SHA-256 of a local file."""
        return self._do({"kind": "describe", "local": str(local)}, f"reading of {local}", moving, deadline)

    def close(self) -> None:
        """End both, whatever they do. Never raises; twice is no mistake."""
        ssh, child, self._ssh, self._child = self._ssh, self._child, None, None
        self._jobs = _closed(self._jobs)
        self._answers = _closed(self._answers)
        for process in (child, ssh):
            if process is not None:
                process.kill()
                process.wait()

    # -- the child -------------------------------------------------------------
    def _do(self, job: Mapping[str, object], what: str, moving: Moving, deadline: float) -> str:
        until = time.monotonic() + deadline
        began = moving.moved
        well = False
        try:
            self._start()
            rate = self._traffic.rate(moving)
            self._tell({**job, "rate": rate})
            while True:
                said = self._line(what, until)
                if "done" in said:
                    well = True
                    return str(said["done"]["sha256"])
                if "failed" in said:
                    well = said["failed"] != "lost"
                    raise self._error(what, said)
                moving.moved = max(began, int(said["moved"]))
                if (now := self._traffic.rate(moving)) != rate:
                    rate = now
                    self._tell({"rate": rate})
        finally:
            if not well:
                self.close()

    def _start(self) -> None:
        if self._child is not None:
            return
        self._buffer = b""
        theirs: list[int] = []
        try:
            to_ssh, packets_out = _pipe(theirs)
            packets_in, from_ssh = _pipe(theirs)
            said, errors = _pipe(theirs)
            jobs, self._jobs = _pipe(theirs)
            theirs.remove(self._jobs)
            self._answers, answers = _pipe(theirs)
            theirs.remove(self._answers)
            common: dict[str, Any] = {"env": _environment(), "start_new_session": True}
            self._ssh = subprocess.Popen(
                _command(self._place), stdin=to_ssh, stdout=from_ssh, stderr=errors, **common
            )
            passed = (packets_in, packets_out, said)
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "ssh.pumping", *map(str, passed)],
                stdin=jobs, stdout=answers, pass_fds=passed, **common,
            )  # fmt: skip
        except OSError as error:
            raise SshUnreachable(
                f"{self._place}: its transfers can't be started: {error.strerror}"
            ) from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    def _tell(self, what: Mapping[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended: its last line says why
            os.write(self._jobs, json.dumps(what).encode() + b"\n")

    def _line(self, what: str, until: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            patience = min(until - time.monotonic(), _SILENCE * self._place.timeout)
            if not select.select([self._answers], [], [], max(0.0, patience))[0]:
                over = time.monotonic() >= until
                why = "it took too long" if over else f"nothing moved for {patience:g} s"
                raise SshUnreachable(f"{self._place}: {what}: {why}")
            data = os.read(self._answers, 65536)
            if not data:
                raise SshUnreachable(f"{self._place}: {what}: the process that did it was ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def _error(self, what: str, said: Mapping[str, Any]) -> Exception:
        where, words = f"{self._place}: {what}", str(said.get("words", ""))
        match said["failed"]:
            case "no-such-file":
                return NoSuchFile(f"{where}: it is not there")
            case "denied":
                return Denied(f"{where}: no permission for the user {self._place.user}")
            case "local":
                return OSError(said["errno"], words, said["file"])
            case "changed":
                return SshUnreachable(f"{where}: {words}")
            case "lost":
                if "Host key verification failed" in words:
                    return HostKeyRefused(f"{self._place}: its host key is not the one in known_hosts")
                if "Permission denied" in words:
                    return LoginRefused(f"{self._place}: it does not accept the key {self._place.key_file}")
                return SshUnreachable(f"{where}: the connection broke ({words or 'it ended'})")
            case _:
                return ServerFailed(f"{where}: the server says {words!r}: is its disk full?")


def usable(place: Place) -> bool:
    """Whether there is an `ssh` program, and names of files that its options can hold."""
    files = (str(place.key_file), str(_known_hosts(place)))
    return shutil.which("ssh") is not None and not any('"' in each or "${" in each for each in files)


def _known_hosts(place: Place) -> Path:
    return place.known_hosts or Path.home() / ".ssh" / "known_hosts"


def _command(place: Place) -> list[str]:
    """Nothing of anybody's ssh_config counts; nothing is asked, nothing is added to known_hosts."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _quoted(_known_hosts(place)),
        "GlobalKnownHostsFile": "/dev/null",
        "CheckHostIP": "no",
        "UpdateHostKeys": "no",
        "PreferredAuthentications": "publickey",
        "IdentityFile": _quoted(place.key_file or Path("/dev/null")),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "Ciphers": _CIPHERS,
        "ConnectTimeout": str(max(1, round(place.timeout))),
        "ServerAliveInterval": str(max(1, round(place.timeout))),
        "ServerAliveCountMax": "2",
        "LogLevel": "ERROR",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return [
        "ssh", "-F", "/dev/null", "-T", "-x", "-a", *words,
        "-p", str(place.port), "-l", place.user, "-s", "--", place.host, "sftp",
    ]  # fmt: skip


def _pipe(ends: list[int]) -> tuple[int, int]:
    """Its two ends, which are put into `ends` too; it holds much where the system allows it."""
    reading, writing = os.pipe()
    ends += (reading, writing)
    with contextlib.suppress(OSError):  # a user's pipes have a limit in all; slower, not wrong
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE)
    return reading, writing


def _closed(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("%", "%%") + '"'


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SSH_")}
    return {**kept, "LC_ALL": "C"}
