"""The disk of data_dir full while calls flow: said, degraded, recovered by itself, nothing lost.

On a small tmpfs, which only root can mount.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ari import FakeAri
from tests.servers.rabbitmq import RabbitMQ
from tests.system.consumer import Mailbox
from tests.system.played import Load, Playing
from tests.system.sites import asterisk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small tmpfs that is filled here")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Not a byte is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    if file.write(b"x" * size) < size:
                        break
            except OSError:
                continue
    return ballast


@pytest.mark.rabbitmq
def test_full_while_calls_flow(rabbitmq: RabbitMQ, small_disk: Path, tmp_path: Path) -> None:
    mailbox = Mailbox(rabbitmq)
    with FakeAri() as fake:
        daemon = ArimonitorDaemon(
            tmp_path / "site",
            {
                "node": {"name": "AUDIO", "data_dir": str(small_disk)},
                "asterisk": [asterisk(fake)],
                "mq": mailbox.mq(),
            },
        )
        with daemon:
            daemon.connected()
            playing = Playing(fake)
            with Load(playing, rate=100) as load:
                load.more(50)
                ballast = fill(small_disk)
                daemon.says("outbox disk full")
                status = daemon.status()
                assert any("disk" in notice["message"] for notice in status["notices"]), status["notices"]
                confirmed = daemon.broker()["confirmed"]
                load.more(200)
                # Degraded: it goes on from memory, the Asterisk's side and the broker's alike.
                daemon.wait_for(
                    lambda s: s["brokers"][0]["confirmed"] > confirmed + 200, "it is published on"
                )
                assert daemon.asterisk("voip3")["connected"]
                assert daemon.lines("outbox disk full") == 1
                ballast.unlink()
                daemon.says("the outbox's disk has room again")
                load.more(50)
                load.finish()
            mailbox.take(playing.expected())
            mailbox.check(playing.expected())
            daemon.settled()
            assert len(fake.sessions) == 1
