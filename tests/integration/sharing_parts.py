"""Two nodes that publish, one behind a real sshd, for the tests of sharing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from daemon.jobs.model import RecordingsSent
from daemon.recordings.desk import Recordings
from daemon.recordings.sharing import Sharer
from daemon.settings import Settings
from daemon.web.downloads import Downloads
from daemon.web.routing import Request
from ssh.traffic import Traffic
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request, write_mp3
from tests.servers.sshd import Sshd

KEY = "0123456789abcdef0123456789abcdef"
SECONDS = 600


class Node:
    """A node's desk; `calls`: whether it has recordings."""

    def __init__(
        self, folder: Path, name: str, clock: Clock, *, peers: list[dict[str, Any]], **keys: Any
    ) -> None:
        self.folder = folder
        roots = folder / "calls"
        roots.mkdir(parents=True, exist_ok=True)
        recordings = {
            "roots": [str(roots)], "public_url": "https://audio.example.com",
            "publish_dir": str(folder / "audios"), "link_key": KEY, **keys,
        }  # fmt: skip
        self.settings = Settings.model_validate(
            {
                "node": {"name": name, "data_dir": str(folder / "data")},
                "recordings": recordings,
                "peer": peers,
            }
        )
        self.clock = clock
        self.desk = Recordings(self.settings, offload(), clock=clock, reserve=1 << 20)

    def open(self) -> None:
        self.desk.open()

    def sharer(self, **options: Any) -> Sharer:
        """As of another process: its own memory, the same files."""
        self.desk.sharer = Sharer(
            self.settings, self.desk.shelf, lambda: self.desk.key, offload(), Traffic(),
            clock=self.clock, **options,
        )  # fmt: skip
        return self.desk.sharer

    def send(self, number: str = "20251027_110000_1a2b3c4d") -> RecordingsSent:
        outcome = self.desk.send(request(number=number), self.folder / f"data/work/{number}.1")
        assert isinstance(outcome, RecordingsSent)
        return outcome

    def download(self, link: str) -> tuple[int, bytes]:
        downloads = Downloads(self.desk.shelf, lambda: self.desk.key, offload(), clock=self.clock)
        answer = downloads.answer(Request("GET", urlsplit(link).path))
        return answer.status, b"".join(answer.stream) if answer.stream is not None else answer.body

    def files(self) -> list[str]:
        names = [f"audios/{each.name}" for each in (self.folder / "audios").glob("*")]
        names += [f"notes/{each.name}" for each in (self.folder / "data/published").glob("*")]
        return sorted(name for name in names if not name.endswith("key.check"))


class Pair:
    """AUDIO with recordings, AUDIO2 behind an sshd."""

    def __init__(self, folder: Path, server: Sshd) -> None:
        self.folder, self.server = folder, server
        self.clock = Clock(1_800_000_000.0)
        self.first = self.node("audio")
        self.second = Node(
            folder / "audio2", "audio2", self.clock, peers=[{"name": "audio", "host": "audio.example.com"}]
        )
        write_mp3(
            self.first.folder / "calls/internal-1121-1130-20251027-090000-1.mp3", SECONDS, os.urandom(4)
        )
        self.second.open()

    def node(self, name: str, **changed: Any) -> Node:
        peer = self.server.settings(
            "audio2",
            publish_dir=str(self.folder / "audio2/audios"),
            data_dir=str(self.folder / "audio2/data"),
            **changed,
        )
        return Node(self.folder / name, name, self.clock, peers=[peer])

    def both(self, outcome: RecordingsSent) -> bool:
        """Every link gives the same on both."""
        found = [outcome.bundle, *(row.link for row in outcome.rows)]
        answers = [(self.first.download(link), self.second.download(link)) for link in found]
        return all(one == other and one[0] == 200 for one, other in answers)


class Running:
    """A sharer at work."""

    def __init__(self, sharer: Sharer) -> None:
        self._stop = Event()
        self._thread = Thread(target=sharer.run, args=(self._stop,), daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Sshd() as server:
        yield Pair(tmp_path, server)


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "arimonitor"):
        yield
