"""Two real daemons, a real ZooKeeper, a real RabbitMQ, one mailbox: who is master, and what survives.

Calls are a recorded one, played to both nodes; mails are dropped into a maildir
that both can reach; AUDIO has the recordings, and its queue is reached over a
real sshd. Hosts of their own, lost links and frozen machines are in
tests/system/faults.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import sshd, zookeeper
from tests.servers.daemon import ArimonitorDaemon, CommandFailed
from tests.servers.fake_ari import FakeAri
from tests.servers.mails import mail, recordings
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble
from tests.system.consumer import Mailbox
from tests.system.played import Load, Playing
from tests.system.sites import asterisk

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.skipif(sshd.unavailable_reason() is not None, reason=str(sshd.unavailable_reason())),
    pytest.mark.skipif(
        zookeeper.unavailable_reason() is not None, reason=str(zookeeper.unavailable_reason())
    ),
]


class Pair:
    """AUDIO2 (the higher priority) and AUDIO."""

    def __init__(
        self, folder: Path, ensemble: Ensemble, fake: FakeAri, far_end: Mailbox, server: Sshd
    ) -> None:
        self.folder, self.fake, self.server = folder, fake, server
        self.mail = folder / "mail"
        self.root = recordings(folder / "recordings")
        self.nodes = {
            name: ArimonitorDaemon(folder / name, self._config(name, priority, ensemble.hosts, far_end.mq()))
            for name, priority in (("AUDIO2", 110), ("AUDIO", 100))
        }

    def _config(self, name: str, priority: int, hosts: str, mq: dict[str, Any]) -> dict[str, Any]:
        other = "AUDIO" if name == "AUDIO2" else "AUDIO2"
        return {
            "node": {"name": name, "priority": priority},
            "ha": {"backend": "zookeeper", "hosts": hosts, "session_timeout": 2.0, "takeover_after": 2.0},
            "asterisk": [asterisk(self.fake, definitions=str(self.folder), cdr="")],
            "mq": mq,
            "mail": {
                "maildir": str(self.mail),
                "admin": "admin@example.com",
                "whitelist": ["person@example.com"],
                "confirmation": 3600,
                "alerts": False,
            },
            "recordings": {
                "roots": [str(self.root)] if name == "AUDIO" else [],
                "link_key": "the same on both nodes",
                "public_url": "https://audio.example.com",
            },
            "peer": [
                self.server.settings(
                    other,
                    audios_from="audio" if other == "AUDIO" else "s3",
                    queue_dir=str(self.folder / other / "data" / "queue"),
                    publish_dir=str(self.folder / other / "data" / "audios"),
                )
            ],
        }

    def start(self) -> None:
        for node in self.nodes.values():
            node.start()
        wait_until(self.master, "somebody is master")
        for node in self.nodes.values():
            node.wait_for(lambda status: status["asterisk"][0]["connected"], "it hears the Asterisk")

    def master(self) -> str:
        """Whom all who live call the master, once its work has begun; "" while there is none."""
        alive = [node for node in self.nodes.values() if node.process is not None]
        told = [node.status() for node in alive]
        names = {each["ha"]["master"] for each in told}
        (name,) = names if len(names) == 1 else (None,)
        leads = any(each["node"] == name and each["role"] == "master" and each["mail"] for each in told)
        return str(name) if name and leads else ""

    def wait_master(self, name: str) -> None:
        wait_until(lambda: self.master() == name, f"{name} is master")

    def deliver(self, number: int) -> None:
        inbox = self.mail / "inbox" / "new"
        inbox.mkdir(parents=True, exist_ok=True)
        subject = "RAMAIS=1121 INICIO=27/10/2025 00:00 FIM=28/10/2025 23:59"
        (inbox / f"{number}.test").write_bytes(mail(subject, ident=f"m{number}"))

    def answered(self) -> list[str]:
        """Message-IDs of all answers."""
        found = []
        for path in (self.mail / "outbox" / "new").glob("*"):
            head = path.read_text(errors="replace")
            found += [line for line in head.splitlines() if line.lower().startswith("message-id:")]
        return found

    def all_answered(self, number: int) -> None:
        wait_until(lambda: len(set(self.answered())) >= number, f"{number} mails are answered")
        wait_until(lambda: not list((self.mail / "inbox" / "new").glob("*")), "the inbox is empty")

    def stop(self) -> None:
        for node in self.nodes.values():
            if node.process is not None:
                node.stop()


@pytest.fixture(scope="module")
def ensemble() -> Iterator[Ensemble]:
    with Ensemble(1) as made:
        yield made


@pytest.fixture
def far_end(rabbitmq: RabbitMQ) -> Mailbox:
    return Mailbox(rabbitmq)


@pytest.fixture
def pair(tmp_path: Path, ensemble: Ensemble, far_end: Mailbox) -> Iterator[Pair]:
    ensemble.wipe()
    with FakeAri() as fake, Sshd() as server:
        made = Pair(tmp_path, ensemble, fake, far_end, server)
        try:
            made.start()
            yield made
        finally:
            for node in made.nodes.values():
                if node.process is not None:
                    node.kill()


def test_the_higher_leads_and_a_switchover_loses_and_repeats_nothing(pair: Pair, far_end: Mailbox) -> None:
    pair.wait_master("AUDIO2")
    slave = pair.nodes["AUDIO"].wait_for(
        lambda status: len(status["ha"]["nodes"]) == 2, "it knows both nodes"
    )
    assert slave["role"] == "slave"
    assert slave["mail"] is None
    assert slave["ha"]["connected"]
    playing = Playing(pair.fake)
    with Load(playing, rate=20) as load:
        for number in range(4):
            load.more(15)
            pair.deliver(number)
            to = ("AUDIO", "AUDIO2")[number % 2]
            pair.nodes["AUDIO"].ctl("switchover", to)
            pair.wait_master(to)
        load.more(10)
        load.finish()
    far_end.take(playing.expected())
    pair.all_answered(4)
    assert len(pair.answered()) == 4
    ids = [properties.message_id for properties in far_end.properties]
    assert len(ids) == len(set(ids)), "nothing was repeated"
    changes = pair.nodes["AUDIO"].ctl("history")["changes"]
    assert [change["master"] for change in changes][-5:] == ["AUDIO2", "AUDIO", "AUDIO2", "AUDIO", "AUDIO2"]
    pair.stop()


def test_a_master_that_is_killed_loses_nothing(pair: Pair, far_end: Mailbox) -> None:
    pair.wait_master("AUDIO2")
    playing = Playing(pair.fake)
    with Load(playing, rate=20) as load:
        load.more(20)
        for number in range(5):
            pair.deliver(number)
        pair.nodes["AUDIO2"].kill()
        pair.wait_master("AUDIO")
        load.more(20)
        pair.nodes["AUDIO2"].start()
        load.more(20)
        load.finish()
    far_end.take(playing.expected())
    pair.all_answered(5)
    assert len(set(pair.answered())) == 5
    assert pair.master() == "AUDIO", "it does not go back by itself"
    pair.stop()


def test_a_frozen_master_begins_nothing_when_it_wakes(pair: Pair, far_end: Mailbox) -> None:
    pair.wait_master("AUDIO2")
    epoch = pair.nodes["AUDIO"].status()["epoch"]
    frozen = pair.nodes["AUDIO2"]
    frozen.send(signal.SIGSTOP)
    other = pair.nodes["AUDIO"]
    other.wait_for(lambda status: status["role"] == "master" and status["mail"], "the other is master")
    assert other.status()["epoch"] > epoch
    for number in range(3):
        pair.deliver(number)
    pair.all_answered(3)
    frozen.send(signal.SIGCONT)
    assert frozen.status()["role"] == "slave", "at once"
    frozen.wait_for(lambda status: status["ha"]["master"] == "AUDIO", "it knows who")
    assert len(pair.answered()) == 3
    pair.stop()


def test_commands_that_can_not_be_obeyed_say_why(pair: Pair) -> None:
    pair.wait_master("AUDIO2")
    with pytest.raises(CommandFailed, match="AUDIO9"):
        pair.nodes["AUDIO"].ctl("switchover", "AUDIO9")
    with pytest.raises(CommandFailed, match="adopt"):
        pair.nodes["AUDIO"].ctl("adopt")
    assert pair.nodes["AUDIO"].ctl("role")["role"] == "slave"
    assert pair.nodes["AUDIO2"].ctl("lease")["left_s"] > 0
    pair.stop()
