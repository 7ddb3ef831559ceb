"""mp3 = "ssh": primary, then backup, then here; real sshds, real lame. Nobody's recordings mix."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import TransientError
from daemon.jobs.model import RecordingsSent
from daemon.preflight.recordings import recordings
from daemon.recordings.desk import Recordings
from daemon.recordings.mp3host import STALE
from daemon.settings import Settings
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request, write_wav
from tests.servers import sshd
from tests.servers.disk import fill, small_disk
from tests.servers.relay import Relay
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)
if shutil.which("lame") is None:
    pytest.skip("lame is not installed (Debian package lame)", allow_module_level=True)

GATE = Path(__file__).parents[2] / "etc/ssh/arimonitor-gate"
ID = "20251027_110000_1a2b3c4d"


class Hosts:
    """Two hosts with an sshd each, and the desk of a third."""

    def __init__(self, folder: Path, primary: Sshd, backup: Sshd) -> None:
        self.folder = folder
        self.servers = {"audio": primary, "audio2": backup}
        self.there = folder / "there"
        for number in range(4):
            self.wav(number, 2 + number)

    def wav(self, number: int, seconds: int) -> Path:
        return write_wav(
            self.folder / f"calls/internal-1121-1130-20251027-09000{number}-{number}.wav",
            seconds,
            440 + 100 * number,
        )

    def settings(self, **changed: dict[str, Any]) -> Settings:
        chosen = {
            "roots": [str(self.folder / "calls")],
            "mp3": "ssh",
            "primary": "audio",
            "backup": "audio2",
            "remote_dir": str(self.there),
        }
        servers = [server.settings(name, **changed.get(name, {})) for name, server in self.servers.items()]
        return Settings.model_validate(
            {"node": {"data_dir": str(self.folder / "data")}, "recordings": chosen, "server": servers}
        )

    def send(self, **changed: dict[str, Any]) -> RecordingsSent:
        desk = Recordings(self.settings(**changed), offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
        outcome = desk.send(request("1121"), self.folder / f"work/{ID}.1")
        assert isinstance(outcome, RecordingsSent)
        return outcome

    def contents(self) -> list[bytes]:
        """The MP3s of the one publication."""
        (found,) = (self.folder / "data/audios").glob("*.zip")
        with zipfile.ZipFile(found) as archive:
            assert archive.testzip() is None
            return [archive.read(name) for name in archive.namelist() if name.endswith(".mp3")]

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.there)) for path in self.there.rglob("*"))


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Sshd, Sshd]]:
    with Sshd() as primary, Sshd() as backup:
        yield primary, backup


@pytest.fixture
def hosts(tmp_path: Path, servers: tuple[Sshd, Sshd]) -> Iterator[Hosts]:
    yield Hosts(tmp_path, *servers)
    for server in servers:
        server.restrict("")


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    yield port


def made(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [r.getMessage() for r in caplog.records if "is published as" in r.getMessage()]
    return line.partition("MP3s made: ")[2]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


@pytest.fixture
def local(hosts: Hosts, tmp_path: Path) -> list[bytes]:
    """The same MP3s as this host's lame makes them."""
    found = []
    for wav in sorted((tmp_path / "calls").iterdir()):
        target = tmp_path / "expected.mp3"
        subprocess.run(["lame", "--quiet", "--cbr", "-b", "64", "--resample", "8", wav, target], check=True)
        found.append(target.read_bytes())
        target.unlink()
    return found


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "arimonitor.recordings"):
        yield


def test_primary_makes_them(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    outcome = hosts.send()
    assert [row.seconds for row in outcome.rows] == [2.0, 3.0, 4.0, 5.0]
    assert hosts.contents() == local
    assert (made(caplog), warnings(caplog)) == ("4 by audio", [])
    assert hosts.left() == []


def test_through_the_gate(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    gate = hosts.folder / "gate"
    gate.write_text(GATE.read_text().replace("MP3=/var/tmp/arimonitor", f"MP3={hosts.there}"))
    gate.chmod(0o755)
    hosts.servers["audio"].restrict(f'restrict,command="{gate}"')
    hosts.send()
    assert (hosts.contents(), made(caplog), warnings(caplog)) == (local, "4 by audio", [])


def test_primary_is_down(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with nobody() as port:
        hosts.send(audio={"port": port})
    assert (hosts.contents(), made(caplog)) == (local, "4 by audio2")
    (line,) = warnings(caplog)
    assert line.startswith(f"MP3s of {ID}.1: audio (")
    assert line.endswith("; audio2 does the rest")
    assert "can't be reached" in line


def test_both_are_down(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with nobody() as port:
        hosts.send(audio={"port": port}, audio2={"port": port})
    assert (hosts.contents(), made(caplog)) == (local, "4 by this host")
    assert [line.rpartition("; ")[2] for line in warnings(caplog)] == [
        "audio2 does the rest", "this host does the rest",
    ]  # fmt: skip


def test_nobody_can(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others may be back later: it is tried again."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with nobody() as port, pytest.raises(TransientError, match=r"no host can make MP3s now: audio .*; lame"):
        hosts.send(audio={"port": port}, audio2={"port": port})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            'restrict,command="internal-sftp"',
            "lame can't be run there: This service allows sftp connections only",
        ),
        ('restrict,command="{gate}"', "lame can't be run there: arimonitor-gate: not allowed"),
        ('restrict,command="env PATH=/nonexistent {sh}"', "lame can't be run there"),
    ],
)
def test_no_lame_there(
    hosts: Hosts, options: str, why: str, local: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    sh = hosts.folder / "sh"
    sh.write_text(
        "#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in internal-sftp*) exec /usr/lib/openssh/sftp-server ;; esac\n"
        "eval $SSH_ORIGINAL_COMMAND\n"
    )
    sh.chmod(0o755)
    hosts.servers["audio"].restrict(
        options.format(gate=shutil.copy(GATE, hosts.folder / "gate"), sh=f"/bin/sh {sh}")
    )
    hosts.send()
    assert (hosts.contents(), made(caplog)) == (local, "4 by audio2")
    (line,) = warnings(caplog)
    assert why in line
    assert hosts.left() == []


def test_its_disk_is_full(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(hosts.there, "1m") as disk:
        fill(disk)
        hosts.send()
        assert [path.name for path in disk.iterdir()] == ["ballast"]
    assert (hosts.contents(), made(caplog)) == (local, "4 by this host")
    assert all("is its disk full" in line for line in warnings(caplog))


def test_one_that_lame_there_refuses_is_made_elsewhere(
    hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """The second is refused there; the others count."""
    picky = hosts.folder / "picky"
    picky.write_text(
        "#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in"
        " internal-sftp*) exec /usr/lib/openssh/sftp-server ;;"
        " lame*/1.mp3) echo no such rate >&2; exit 1 ;; esac\neval $SSH_ORIGINAL_COMMAND\n"
    )
    picky.chmod(0o755)
    hosts.servers["audio"].restrict(f'restrict,command="{picky}"')
    hosts.send()
    assert (hosts.contents(), made(caplog)) == (local, "3 by audio, 1 by audio2")
    assert any("no such rate" in line for line in warnings(caplog))


def test_cut_in_the_middle_what_was_done_counts(
    hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    server = hosts.servers["audio"]
    known = hosts.folder / "known_hosts"
    with Relay(server.port) as relay:
        key = (server.base / "host_key.pub").read_text().split()[:2]
        known.write_text(f"[127.0.0.1]:{relay.port} {' '.join(key)}\n")
        own = hosts.there / f"{ID}.1"

        def cut() -> None:
            wait_until(lambda: list(own.glob("1.mp3")), "the second is being made", every=0.002)
            relay.cut()

        threading.Thread(target=cut, daemon=True).start()
        hosts.send(audio={"port": relay.port, "known_hosts": str(known)})
    assert hosts.contents() == local
    assert "audio2" in made(caplog)
    assert hosts.left() == [], "the next host's use has removed what the cut left"


def test_a_recording_that_grows_is_not_the_hosts_fault(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    wav = hosts.folder / "calls/internal-1121-1130-20251027-090002-2.wav"
    own = hosts.there / f"{ID}.1"

    def grow() -> None:
        wait_until(lambda: list(own.glob("0.wav")), "the first is being sent", every=0.001)
        with wav.open("ab") as file:
            file.write(b"\0" * 16000)

    growing = threading.Thread(target=grow, daemon=True)
    growing.start()
    outcome = hosts.send(audio={"bandwidth": 800})
    growing.join(10)
    assert [(each.name, each.reason) for each in outcome.left_out] == [(wav.name, "growing")]
    assert made(caplog) == "3 by audio"


def test_what_crashes_left_is_removed(hosts: Hosts) -> None:
    """Other tries of the same request at once; anybody else's after a day; what is not ours never."""
    for name in (f"{ID}.1", f"{ID}.0", "20251026_100000_aaaaaaaa.1", "20251020_100000_bbbbbbbb.1", "other"):
        (hosts.there / name).mkdir(parents=True)
        (hosts.there / name / "0.wav").write_bytes(b"another's")
    old = hosts.there / "20251020_100000_bbbbbbbb.1"
    stale = old.stat().st_mtime - STALE - 60
    os.utime(old, (stale, stale))
    (hosts.there / "file").write_text("x")
    hosts.send()
    assert hosts.left() == [
        "20251026_100000_aaaaaaaa.1", "20251026_100000_aaaaaaaa.1/0.wav", "file", "other", "other/0.wav",
    ]  # fmt: skip


def test_a_folder_of_another_user_is_not_used(hosts: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    hosts.there.mkdir(mode=0o777)
    os.chown(hosts.there, 65534, 65534)
    hosts.send()
    assert made(caplog) == "4 by this host"
    assert all("is another user's" in line for line in warnings(caplog))
    assert hosts.left() == []


def test_two_requests_at_once_do_not_mix(hosts: Hosts, tmp_path: Path) -> None:
    """The same names there but for the folder; each gets its own."""
    failed: list[Exception] = []
    others = []
    for number in range(2):
        folder = tmp_path / f"other{number}"
        folder.mkdir()
        other = Hosts(folder, *hosts.servers.values())
        other.there = hosts.there
        for n in range(4):
            write_wav(
                folder / f"calls/internal-1121-1130-20251027-09000{n}-{n}.wav", 3, 300 + 50 * n + 400 * number
            )
        others.append(other)

    def send(number: int, other: Hosts) -> None:
        desk = Recordings(other.settings(), offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
        rid = f"20251027_11000{number}_1a2b3c4d"
        try:
            desk.send(request("1121", number=rid), other.folder / f"work/{rid}.1")
        except (TransientError, AssertionError) as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=each) for each in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    for other in others:
        expected = []
        for wav in sorted((other.folder / "calls").iterdir()):
            target = tmp_path / "expected.mp3"
            subprocess.run(
                ["lame", "--quiet", "--cbr", "-b", "64", "--resample", "8", wav, target], check=True
            )
            expected.append(target.read_bytes())
        assert other.contents() == expected
    assert hosts.left() == []


def test_check_tries_both(hosts: Hosts) -> None:
    hosts.servers["audio2"].restrict('restrict,command="internal-sftp"')

    def found(**changed: dict[str, Any]) -> list[tuple[str, bool, str, str]]:
        checks = [each for each in recordings(hosts.settings(**changed)) if each.what == "MP3 host"]
        return [(each.where, each.ok, each.reason, each.mend) for each in checks]

    primary, backup = found()
    assert primary == (f"audio:{hosts.there}", True, "lame there has made an MP3", "")
    assert backup[:2] == (f"audio2:{hosts.there}", False)
    assert "lame can't be run there" in backup[2]
    assert backup[3] == f"see to lame there, and that {hosts.there} is {hosts.servers['audio2'].user}'s"
    assert hosts.left() == []
    stranger = {"key_file": str(hosts.servers["audio"].stranger)}
    (_, well, why, mend), _ = found(audio=stranger)
    assert not well
    assert "does not accept the key" in why
    assert mend.startswith("set server.audio.key_file")


_KILLED = """
import gevent.monkey
gevent.monkey.patch_all()
import sys
from pathlib import Path
from daemon.preflight.recordings import recordings
from daemon.recordings.desk import Recordings
from daemon.settings import Settings
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request
settings, folder = sys.argv[1:]
settings = Settings.model_validate_json(settings)
desk = Recordings(settings, offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
desk.send(request("1121"), Path(folder))
"""


def test_killed_in_the_middle_nothing_is_mixed(hosts: Hosts, local: list[bytes], tmp_path: Path) -> None:
    settings = hosts.settings(audio={"bandwidth": 800})
    text = json.dumps(
        {
            "node": {"data_dir": str(settings.node.data_dir)},
            "recordings": settings.recordings.model_dump(
                mode="json", include={"roots", "mp3", "primary", "backup", "remote_dir"}
            ),
            "server": [each.model_dump(mode="json", exclude_defaults=True) for each in settings.server],
        }
    )
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, text, str(tmp_path / f"work/{ID}.1")], cwd=Path(__file__).parents[2]
    )
    wait_until(lambda: list(hosts.there.glob(f"{ID}.1/1.wav")), "the second is there")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert hosts.left() != []
    desk = Recordings(hosts.settings(), offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
    desk.send(request("1121"), tmp_path / f"work/{ID}.2")
    assert hosts.contents() == local
    assert hosts.left() == []
