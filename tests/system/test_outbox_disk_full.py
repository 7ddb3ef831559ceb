"""The disk of data_dir full while calls flow: said, degraded, recovered by itself, nothing lost.

On a small tmpfs, which only root can mount.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.daemon import ArimonitorDaemon
from tests.servers.disk import fill, small_disk
from tests.servers.fake_ari import FakeAri
from tests.servers.rabbitmq import RabbitMQ
from tests.system.consumer import Mailbox
from tests.system.played import Load, Playing
from tests.system.sites import asterisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "4m") as folder:
        yield folder


@pytest.mark.rabbitmq
def test_full_while_calls_flow(rabbitmq: RabbitMQ, disk: Path, tmp_path: Path) -> None:
    mailbox = Mailbox(rabbitmq)
    with FakeAri() as fake:
        daemon = ArimonitorDaemon(
            tmp_path / "site",
            {
                "node": {"name": "AUDIO", "data_dir": str(disk)},
                "asterisk": [asterisk(fake)],
                "mq": mailbox.mq(),
            },
        )
        with daemon:
            daemon.connected()
            playing = Playing(fake)
            with Load(playing, rate=100) as load:
                load.more(50)
                ballast = fill(disk)
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
