"""Publications where the other node is away, full, cut off or not ours: what goes wrong, and the mend."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from daemon.recordings import links
from tests.integration.sharing_parts import KEY, Pair, Running
from tests.integration.sharing_parts import pair as pair
from tests.integration.sharing_parts import said as said
from tests.servers import sshd
from tests.servers.disk import fill, small_disk
from tests.servers.relay import Relay
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)


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
