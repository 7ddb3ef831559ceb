"""Publications on both nodes: links that work on either, takeovers without work, and what goes wrong."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from daemon.jobs.model import NothingFound, RecordingsSent
from daemon.preflight.machines import peer_folders
from daemon.recordings import links
from daemon.recordings.desk import Recordings
from daemon.recordings.sharing import Sharer
from daemon.settings import Settings
from daemon.web.downloads import Downloads
from daemon.web.routing import Request
from ssh.traffic import Traffic
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request, write_mp3
from tests.servers import sshd
from tests.servers.disk import fill, small_disk
from tests.servers.relay import Relay
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)

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


def test_it_is_on_both_before_the_answer(pair: Pair) -> None:
    outcome = pair.first.send()
    assert pair.both(outcome)
    assert pair.first.files() == pair.second.files()
    note = next((pair.second.folder / "data/published").glob("*.json"))
    assert note.stat().st_mode & 0o777 == 0o600
    assert pair.first.desk.sharer.status() == {"waiting": 0, "shared": 1, "problem": ""}


def test_the_other_node_answers_from_the_note(pair: Pair) -> None:
    """It has no recordings at all: a takeover of the request needs none."""
    outcome = pair.first.send()
    assert pair.second.send() == outcome
    other = pair.second.desk.send(request(number="20251027_120000_1a2b3c4d"), pair.folder / "other.1")
    assert isinstance(other, NothingFound)


def test_the_node_that_made_it_dies(pair: Pair) -> None:
    outcome = pair.first.send()
    shutil.rmtree(pair.first.folder)
    assert pair.second.download(outcome.bundle)[0] == 200
    assert pair.second.send() == outcome


def test_the_other_is_away_it_comes_later(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.server.stop()
    sharer = pair.first.sharer(first=0.2)
    outcome = pair.first.send()
    assert pair.first.download(outcome.bundle)[0] == 200
    assert pair.second.download(outcome.bundle)[0] == 503, "it may still come"
    with Running(sharer):
        wait_until(lambda: sharer.status()["problem"], "it is told that the other is away")
        assert sharer.status()["waiting"] == 1
        pair.server.start()
        wait_until(lambda: sharer.status()["waiting"] == 0, "it is there")
        wait_until(lambda: sharer.status()["problem"] == "", "and told")
    assert pair.both(outcome)
    assert pair.first.files() == pair.second.files()
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "publications can't be put on audio2, tried again" in warnings[0]


def test_the_list_survives_a_restart(pair: Pair) -> None:
    pair.server.stop()
    outcome = pair.first.send()
    pair.server.start()
    again = pair.node("audio")
    with Running(again.desk.sharer):
        wait_until(lambda: again.desk.sharer.shared, "another process puts it there")
    assert pair.both(outcome)


def test_an_answer_does_not_wait_twice_for_who_is_away(pair: Pair) -> None:
    pair.server.stop()
    pair.first.send()
    pair.server.start()
    pair.first.send("20251027_120000_1a2b3c4d")
    assert len([each for each in pair.first.files() if each.endswith(".unshared")]) == 2


def test_an_answer_does_not_wait_long_for_who_hangs(pair: Pair) -> None:
    pair.server.freeze()
    began = time.monotonic()
    pair.first.send()
    assert time.monotonic() - began < 20.0
    pair.server.thaw()


def test_a_large_one_follows_later(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    sharer = pair.first.sharer(now_at_most=1_000_000)
    outcome = pair.first.send()
    assert pair.second.files() == []
    assert any("later: it has 4.8 MB" in r.getMessage() for r in caplog.records)
    with Running(sharer):
        wait_until(lambda: sharer.shared, "it is there")
    assert pair.both(outcome)


def test_a_slow_link_is_not_waited_for(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    node = pair.node("audio", bandwidth=4_000)
    node.send()
    assert pair.second.files() == []
    assert any("and the bandwidth is 4000 kbit/s" in r.getMessage() for r in caplog.records)


def test_cut_in_the_middle_the_note_is_never_without_its_zip(pair: Pair) -> None:
    with Relay(pair.server.port) as relay:
        known = pair.folder / "known_hosts"
        key = (pair.server.base / "host_key.pub").read_text().split()[:2]
        known.write_text(f"[127.0.0.1]:{relay.port} {' '.join(key)}\n")
        node = pair.node("audio", port=relay.port, known_hosts=str(known), bandwidth=80_000)
        audios = pair.second.folder / "audios"

        def cut() -> None:
            wait_until(
                lambda: sum(part.stat().st_size for part in audios.glob(".*.part")) > 1_000_000,
                "some of it is there", every=0.002,
            )  # fmt: skip
            relay.cut()

        threading.Thread(target=cut, daemon=True).start()
        outcome = node.send()
        assert [each for each in pair.second.files() if not each.endswith(".part")] == []
        sharer = node.sharer()
        with Running(sharer):
            wait_until(lambda: sharer.shared, "it is gone on with")
    assert pair.both(outcome)
    assert node.files() == pair.second.files()


def test_its_disk_is_full(pair: Pair) -> None:
    audios = pair.second.folder / "audios"
    audios.rmdir()
    with small_disk(audios, "80m") as disk:
        ballast = fill(disk)
        sharer = pair.first.sharer(first=0.2)
        outcome = pair.first.send()
        assert "make room there" in str(sharer.problem)
        assert [each.name for each in disk.iterdir()] == ["ballast"]
        with Running(sharer):
            ballast.unlink()
            wait_until(lambda: sharer.shared, "there is room")
        assert pair.both(outcome)


def test_another_key_there(pair: Pair) -> None:
    """Links would not work: nothing is put there, and the mend is told."""
    (pair.second.folder / "data/published/key.check").write_text(links.check(b"another"))
    pair.first.send()
    assert pair.second.files() == []
    assert "its recordings.link_key is not ours" in pair.first.desk.sharer.problem


def test_a_peer_that_was_never_started(pair: Pair) -> None:
    shutil.rmtree(pair.second.folder / "data/published")
    pair.first.send()
    assert "has its arimonitor been started" in pair.first.desk.sharer.problem


def test_without_a_key_nothing_is_shared_and_that_is_said(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    peers = [each.model_dump(mode="json", exclude_defaults=True) for each in pair.first.settings.peer]
    keyless = Node(pair.folder / "audio", "audio", pair.clock, peers=peers, link_key="")
    keyless.open()
    keyless.send()
    assert pair.second.files() == []
    assert [each for each in keyless.files() if "unshared" in each] == []
    assert any("recordings.link_key is not set" in r.getMessage() for r in caplog.records)


def test_what_the_other_has_made_is_not_replaced(pair: Pair) -> None:
    write_mp3(pair.second.folder / "calls/internal-1121-1130-20251027-090000-1.mp3", 60, b"B")
    pair.second.desk.sharer.share_now = lambda *_: True  # type: ignore[method-assign]
    theirs = pair.second.send()
    before = {
        each: (pair.second.folder / "audios").joinpath(each).stat().st_ino
        for each in [p.name for p in (pair.second.folder / "audios").glob("*.zip")]
    }
    pair.first.send()
    assert {each: (pair.second.folder / "audios" / each).stat().st_ino for each in before} == before
    assert pair.second.send() == theirs
    assert [each for each in pair.first.files() if "unshared" in each] == []


def test_a_zip_without_a_note_is_nobodys(pair: Pair) -> None:
    """The other node died between the two: what is whole takes its place."""
    publication = links.publication_id(KEY.encode(), request().request_id)
    (pair.second.folder / f"audios/{publication}.zip").write_bytes(b"another try's")
    assert pair.both(pair.first.send())


def test_a_note_whose_links_have_ended_is_replaced(pair: Pair) -> None:
    pair.first.send()
    pair.clock.now += 25 * 3600
    outcome = pair.first.send()
    assert outcome.expires.timestamp() > pair.clock.now
    assert pair.both(outcome)


def test_one_that_fails_does_not_stand_before_the_others(pair: Pair) -> None:
    pair.server.stop()
    numbers = ["20251027_110000_00000001", "20251027_110000_00000002"]
    first, second = (pair.first.send(number) for number in numbers)
    pair.server.start()
    bad = links.publication_id(KEY.encode(), numbers[0])
    (pair.second.folder / f"data/published/{bad}.json").write_text("no note")
    sharer = pair.first.sharer(first=0.1)
    with Running(sharer):
        wait_until(lambda: sharer.shared == 1, "the other one is there")
        assert pair.both(second)
        assert "is no note" in sharer.problem
        (pair.second.folder / f"data/published/{bad}.json").unlink()
        wait_until(lambda: sharer.shared == 2, "and then the first")
    assert pair.both(first)


def test_both_prune(pair: Pair) -> None:
    pair.server.stop()
    first = pair.node("audio")
    first.desk.settings = first.desk.settings.model_copy(
        update={"recordings": first.settings.recordings.model_copy(update={"keep_days": 2})}
    )
    first.send()
    assert [each.rpartition(".")[2] for each in first.files()] == ["zip", "unshared", "json"] or len(
        first.files()
    ) == 3
    pair.clock.now += 3 * 86_400
    assert first.desk.prune() == 1
    assert first.files() == []
    pair.server.start()
    with Running(sharer := first.sharer()):
        wait_until(lambda: sharer.status()["waiting"] == 0, "nothing is left to do")
    assert (sharer.shared, pair.second.files()) == (0, [])


def test_check_tries_the_other_nodes_folders(pair: Pair) -> None:
    (peer,) = pair.first.settings.peer
    queue = pair.folder / "audio2/queue"
    peer = peer.model_copy(update={"queue_dir": queue})

    def found() -> dict[str, tuple[bool, str]]:
        checks = peer_folders(pair.first.settings, peer)
        return {
            each.where.removeprefix(f"audio2:{pair.folder}/audio2/"): (each.ok, each.reason)
            for each in checks
        }

    first = found()
    assert not first["queue/pending"][0]
    assert "it is not there" in first["queue/pending"][1]
    (queue / "pending").mkdir(parents=True)
    assert found() == {
        "queue/pending": (True, "writable"),
        "audios": (True, "writable"),
        "data/published": (True, "writable"),
        "audio2:recordings.link_key": (True, "the same as here"),
    }
    (pair.second.folder / "data/published/key.check").write_text("x")
    assert found()["audio2:recordings.link_key"] == (False, "not ours: no link works on both")
    assert pair.second.files() == []
    assert list(queue.rglob("*")) == [queue / "pending"]


_KILLED = """
import gevent.monkey
gevent.monkey.patch_all()
import sys
from pathlib import Path
from daemon.recordings.desk import Recordings
from daemon.settings import Settings
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request
settings = Settings.model_validate_json(sys.argv[1])
desk = Recordings(settings, offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
desk.send(request(), settings.node.data_dir / "work/20251027_110000_1a2b3c4d.1")
"""


def test_killed_while_it_shares(pair: Pair) -> None:
    """The list is on the disk before the note; the next process goes on with the part."""
    node = pair.node("audio", bandwidth=8_000)
    text = json.dumps(
        {
            "node": {"name": "audio", "data_dir": str(node.folder / "data")},
            "recordings": {
                "roots": [str(node.folder / "calls")], "link_key": KEY,
                "public_url": "https://audio.example.com", "publish_dir": str(node.folder / "audios"),
            },
            "peer": [each.model_dump(mode="json", exclude_defaults=True) for each in node.settings.peer],
        }
    )  # fmt: skip
    child = subprocess.Popen([sys.executable, "-c", _KILLED, text], cwd=Path(__file__).parents[2])
    audios = pair.second.folder / "audios"
    wait_until(
        lambda: sum(part.stat().st_size for part in audios.glob(".*.part")) > 500_000, "some of it is there"
    )
    child.kill()
    child.wait()
    assert [each for each in pair.second.files() if not each.endswith(".part")] == []
    with Running(sharer := pair.first.sharer()):
        wait_until(lambda: sharer.shared, "another process goes on")
    assert pair.both(pair.first.send())
    assert pair.first.files() == pair.second.files()
