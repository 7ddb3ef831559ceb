"""Two hosts that make MP3s behind real sshds, and what was logged of it, for the tests."""

from __future__ import annotations

import logging
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.jobs.model import RecordingsSent
from daemon.recordings.desk import Recordings
from daemon.settings import Settings
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request, write_wav
from tests.servers.sshd import Sshd

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
