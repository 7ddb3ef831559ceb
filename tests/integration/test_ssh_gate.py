"""The scripts of etc/ssh: what the daemon needs passes, nothing else does. A real sshd and fail2ban."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.jobs.checkip import CheckIp
from daemon.jobs.model import Request
from daemon.settings import Settings
from ssh.connection import Connection
from ssh.remote import run
from ssh.transfer import Files
from tests.servers import fail2ban, sshd
from tests.servers.fail2ban import Fail2ban
from tests.servers.sshd import Sshd

for _reason in (sshd.unavailable_reason(), fail2ban.unavailable_reason()):
    if _reason is not None:
        pytest.skip(_reason, allow_module_level=True)

ETC = Path(__file__).parents[2] / "etc/ssh"
MP3 = "/var/tmp/arimonitor"
LAME = ["lame", "--quiet", "--cbr", "-b", "64", "--resample", "8"]
INSTALLED = "/usr/local/sbin/arimonitor-fail2ban"


class Place:
    """The scripts as installed, in a folder of the test's own; sudo is one that runs what it is given."""

    def __init__(self, folder: Path, guard: Fail2ban) -> None:
        self.script, self.gate = folder / "arimonitor-fail2ban", folder / "arimonitor-gate"
        self._install(self.script, "exec fail2ban-client", f"exec {' '.join(guard.command)}")
        self._install(self.gate, 'exec "$@"', f'PATH={folder}:$PATH exec "$@"', INSTALLED, str(self.script))
        sudo = folder / "sudo"
        sudo.write_text('#!/bin/sh\nshift\nexec "$@"\n')
        sudo.chmod(0o755)

    def _install(self, target: Path, *pairs: str) -> None:
        text = (ETC / target.name).read_text()
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        target.write_text(text)
        target.chmod(0o755)


@pytest.fixture(scope="module")
def guard() -> Iterator[Fail2ban]:
    with Fail2ban(("asterisk",)) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, guard: Fail2ban) -> Place:
    return Place(tmp_path, guard)


@pytest.fixture
def server(place: Place) -> Iterator[Sshd]:
    with Sshd() as running:
        running.restrict(f'restrict,command="{place.gate}"')
        yield running


def test_checkip_passes(server: Sshd, place: Place, guard: Fail2ban, tmp_path: Path) -> None:
    for ip in ("203.0.113.7", "2001:db8::7"):
        guard.ban("asterisk", ip)
        command = ["sudo", "-n", str(place.script)]
        settings = Settings.model_validate({"server": [server.settings(fail2ban_command=command)]})
        request = Request("r", "CHECKIP", "person@example.com", {"ip": ip}, server="gv1p")
        (jail,) = CheckIp(lambda settings=settings: settings)(request, tmp_path / ip.replace(":", "-")).jails
        assert (jail.name, jail.banned, jail.lifted) == ("asterisk", True, True)
        assert jail.since is not None


@pytest.mark.skipif(
    not shutil.which("/usr/lib/openssh/sftp-server"), reason="no sftp-server where Debian has it"
)
def test_files_pass(server: Sshd, tmp_path: Path) -> None:
    with Connection.open(server.place()) as connection:
        Files(connection).write_new(str(tmp_path / "new"), b"x", mode=0o640, temporary=".t")
    assert (tmp_path / "new").read_bytes() == b"x"


@pytest.mark.parametrize(
    "argv",
    [
        ["id"],
        ["date"],
        ["date", "+%z", "--set", "x"],
        ["date", "+%z; id"],
        ["date", "+%z|id"],
        ["date", "$(id)"],
        ["sudo", "-n", "id"],
        ["sudo", "-n", "/usr/local/sbin/arimonitor-fail2banx"],
        ["fail2ban-client", "status"],
        ["/usr/local/sbin/arimonitor-notify", "1121", "x"],
        ["sh", "-c", "id"],
        ["sha256sum"],
        ["sha256sum", "-c"],
        ["sha256sum", "/etc/passwd", "/etc/group"],
        ["arimonitor-follow", "/etc/passwd"],
        ["arimonitor-follow", "/etc/passwd", "-1"],
        ["arimonitor-follow", "-f", "1"],
        ["lame", "--help"],
        [*LAME, "/etc/passwd", f"{MP3}/r.1/0.mp3"],
        [*LAME, f"{MP3}/r.1/0.wav", "/etc/0.mp3"],
        [*LAME, f"{MP3}/r.1/../../0.wav", f"{MP3}/r.1/0.mp3"],
        [*LAME, f"{MP3}/r.1/0.wav", f"{MP3}/r.1/0.mp3", "-x"],
        [*LAME[:4], "x", *LAME[5:], f"{MP3}/r.1/0.wav", f"{MP3}/r.1/0.mp3"],
    ],
)
def test_nothing_else_passes_the_gate(server: Sshd, argv: list[str]) -> None:
    with Connection.open(server.place()) as connection:
        output = run(connection, argv)
    assert (output.status, output.stdout, output.stderr) == (1, b"", b"arimonitor-gate: not allowed\n")


def test_no_line_break_passes_the_gate(place: Place) -> None:
    done = subprocess.run(
        [str(place.gate)], env={"SSH_ORIGINAL_COMMAND": "date +%z\nid"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["stop"],
        ["unban", "--all"],
        ["status", "-x"],
        ["status", "a b"],
        ["status", ""],
        ["get", "asterisk", "action"],
        ["get", "asterisk", "banip"],
        ["set", "asterisk", "banip", "203.0.113.7"],
        ["set", "asterisk", "unbanip", "--all"],
        ["set", "asterisk", "unbanip", "203.0.113.7", "x"],
        ["set", "asterisk", "unbanip", ""],
        ["set", "asterisk", "action", "x", "actionban", "id", "unbanip", "203.0.113.7"],
        ["set", "asterisk\nx", "unbanip", "203.0.113.7"],
        ["-s", "/tmp/x", "status"],
    ],
)
def test_nothing_else_is_asked_of_fail2ban(place: Place, words: list[str]) -> None:
    done = subprocess.run([str(place.script), *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "arimonitor-fail2ban: not allowed\n")
