"""The daemon killed, stopped under load, started twice: what was stored is published, each under one id."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path

import pytest

from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ari import FakeAri
from tests.servers.rabbitmq import RabbitMQ
from tests.system.consumer import Mailbox
from tests.system.played import Load, Playing
from tests.system.sites import asterisk, config, has_told


def stored(daemon: ArimonitorDaemon) -> set[str]:
    """Every id that the outbox of a daemon that does not run has ever stored."""
    with sqlite3.connect(f"file:{daemon.data}/outbox.sqlite?mode=ro", uri=True) as database:
        return {str(uuid.UUID(bytes=id_)) for (id_,) in database.execute("SELECT id FROM seen")}


def waiting(daemon: ArimonitorDaemon) -> int:
    with sqlite3.connect(f"file:{daemon.data}/outbox.sqlite?mode=ro", uri=True) as database:
        return int(database.execute("SELECT count(*) FROM messages").fetchone()[0])


@pytest.mark.rabbitmq
def test_killed_while_messages_wait(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    mailbox = Mailbox(rabbitmq)
    with FakeAri() as fake:
        daemon = ArimonitorDaemon(tmp_path / "site", config([asterisk(fake)], mq=mailbox.mq(heartbeat=10)))
        with daemon:
            daemon.connected()
            playing = Playing(fake)
            playing.play(50)
            daemon.wait_for(lambda s: s["brokers"][0]["confirmed"] >= 150, "the first 50 calls are out")
            rabbitmq.freeze()  # some are under way, the others wait
            try:
                playing.play(300)
                daemon.wait_for(lambda s: s["brokers"][0]["outbox"] >= 900, "300 calls wait")
                daemon.kill()
            finally:
                rabbitmq.thaw()
        with daemon:
            mailbox.take(playing.expected())
            mailbox.check(playing.expected(), gaps=True)
            daemon.settled()
            daemon.says("messages that are not published yet")


@pytest.mark.rabbitmq
def test_killed_in_the_middle_of_everything(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    """Three times; whatever was stored at that moment is delivered, a copy at most under the same id."""
    mailbox = Mailbox(rabbitmq)
    with FakeAri() as fake:
        daemon = ArimonitorDaemon(tmp_path / "site", config([asterisk(fake)], mq=mailbox.mq()))
        with Load(Playing(fake), rate=100) as load:
            for _ in range(3):
                with daemon:
                    daemon.connected()
                    load.more(60)
                    daemon.kill()
            load.finish()
        ids = stored(daemon)
        assert len(ids) > 100
        with daemon:
            daemon.connected()
            daemon.settled()
            mailbox.take_number(len(ids))
        assert mailbox.ids >= ids
        mailbox.check(mailbox.told, gaps=True)


@pytest.mark.rabbitmq
def test_sigterm_under_load(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    """Exit status 0, soon; what the broker has not confirmed is published after the next start."""
    mailbox = Mailbox(rabbitmq)
    with FakeAri() as fake:
        daemon = ArimonitorDaemon(tmp_path / "site", config([asterisk(fake)], mq=mailbox.mq()))
        with Load(Playing(fake), rate=100) as load:
            with daemon:
                daemon.connected()
                load.more(100)
                daemon.stop(30)
            assert "arimonitor ended" in daemon.log_text()
            # The same with a broker that takes nothing.
            with daemon:
                daemon.connected()
                rabbitmq.freeze()
                try:
                    load.more(100)
                    daemon.wait_for(lambda s: s["brokers"][0]["outbox"] > 50, "messages wait")
                    daemon.stop(45)
                finally:
                    rabbitmq.thaw()
            load.finish()
        assert waiting(daemon) > 50
        ids = stored(daemon)
        with daemon:
            daemon.settled()
            mailbox.take_number(len(ids))
        assert mailbox.ids >= ids
        mailbox.check(mailbox.told, gaps=True)


def test_calls_that_have_just_ended_survive_a_restart(tmp_path: Path) -> None:
    """An ended call waits a little for late legs: a stop in that moment must not cost its end."""
    with FakeAri() as fake:
        daemon = ArimonitorDaemon(tmp_path / "site", config([asterisk(fake)]))
        playing = Playing(fake)
        with daemon:
            daemon.connected()
            playing.play(20)
            daemon.wait_for(lambda s: s["brokers"][0]["confirmed"] == 40, "begins and answers are out")
            assert not any(line["type"] == "ended-call" for line in daemon.messages())
        with daemon:
            has_told(daemon, playing.expected())
        ends = [line["body"] for line in daemon.messages() if line["type"] == "ended-call"]
        assert {end["data"]["disposition"] for end in ends} == {"ANSWERED"}
        assert {end["data"]["hangup_by"] for end in ends} == {"1013010"}


def test_a_second_one_on_the_same_data_refuses(tmp_path: Path) -> None:
    with FakeAri() as fake:
        first = ArimonitorDaemon(tmp_path / "first", config([asterisk(fake)]))
        second = ArimonitorDaemon(
            tmp_path / "second",
            {**config([asterisk(fake)]), "node": {"name": "AUDIO2", "data_dir": str(first.data)}},
        )
        with first:
            first.connected()
            done = second.command("run", "-c", str(second.file))
            assert done.returncode == 1
            assert f"another arimonitor uses the data directory {first.data}" in done.stderr
            assert "Traceback" not in done.stderr
            playing = Playing(fake)
            playing.play(5)
            has_told(first, playing.expected())  # the first does not mind
        with second:  # and once it is gone
            second.connected()
