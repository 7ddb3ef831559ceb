"""RabbitMQ away, killed, frozen, in alarm, robbed of its exchange, refusing us: nothing lost.

A real daemon and a real RabbitMQ; the calls come from a fake ARI all the while. Counted by id at a
consumer; the Asterisk's side must go on as if nothing were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ari import FakeAri
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.waiting import wait_until
from tests.system.consumer import PATIENCE, Mailbox
from tests.system.long import LONG
from tests.system.played import Load, Playing
from tests.system.sites import asterisk

pytestmark = [pytest.mark.rabbitmq]

AWAY = 60.0 if LONG else 4.0  # seconds that a fault lasts


@dataclass
class Site:
    """A fake Asterisk, a daemon that watches it and publishes to a mailbox, and calls all the while."""

    fake: FakeAri
    playing: Playing
    daemon: ArimonitorDaemon
    mailbox: Mailbox
    load: Load

    def goes_on(self, seconds: float = 1.0) -> None:
        """For so long the Asterisk's side is connected, and its events are used as they come."""
        before = self.daemon.asterisk("voip3")["events"]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.load.more(20)
            assert self.daemon.asterisk("voip3")["connected"]
        after = wait_until(
            lambda: (now := self.daemon.asterisk("voip3"))["events"] > before and now, "events are used"
        )
        assert after["backlog"] < 2000
        assert after["gaps"] == 0

    def nothing_lost(self, seconds: float = PATIENCE) -> None:
        """Let the calls end; then exactly their messages have come."""
        self.load.finish()
        expected = self.playing.expected()
        self.mailbox.take(expected, seconds)
        self.mailbox.check(expected)
        self.daemon.settled()
        assert len(self.fake.sessions) == 1, "the Asterisk's side was lost on the way"


@contextmanager
def site(folder: Path, mailbox: Mailbox, rate: float = 50, **mq: Any) -> Iterator[Site]:
    with FakeAri() as fake:
        daemon = ArimonitorDaemon(
            folder / "site",
            {
                "node": {"name": "AUDIO"},
                "asterisk": [asterisk(fake)],
                "mq": mailbox.mq(heartbeat=3, **mq),
            },
        )
        with daemon:
            daemon.wait_for(lambda status: status["asterisk"][0]["connected"], "the Asterisk is connected")
            playing = Playing(fake)
            with Load(playing, rate) as load:
                yield Site(fake, playing, daemon, mailbox, load)


@contextmanager
def connected_site(folder: Path, mailbox: Mailbox, **mq: Any) -> Iterator[Site]:
    with site(folder, mailbox, **mq) as place:
        place.daemon.connected()
        place.load.more(20)
        yield place


# -- clients, their brokers, and one that can't be routed -------------------------------------------
CLIENTS = """\
[101]
name=Condominio Exemplo
[102]
name=Outro Exemplo
mq=second
[103]
name=Terceiro Exemplo
"""
ENDPOINT = (
    "#include pjsip/{client}3010.pjsip ; Endpoint:{client}3010 CLI:{client} TYPE:condominio PW:secret "
    "GUID:01900000-0000-7000-8000-000000000{client}\n"
)
CALLS = 20


@dataclass
class Parted:
    """Client 101 on [mq], 102 by its `mq=` on another vhost; of 103 nobody has bound anything at first."""

    daemon: ArimonitorDaemon
    playing: dict[int, Playing]
    first: Mailbox
    second: Mailbox


@pytest.fixture(scope="module")
def parted(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parted]:
    folder = tmp_path_factory.mktemp("parted")
    rabbitmq.rabbitmqctl("add_vhost", "second")
    rabbitmq.rabbitmqctl("set_permissions", "-p", "second", "guest", ".*", ".*", ".*")
    first, second = Mailbox(rabbitmq, bind="call.*.101.*"), Mailbox(rabbitmq, vhost="second")
    (folder / "__CLIENTES__.DEF").write_text(CLIENTS)
    (folder / "endpoints_pjsip.def").write_text(
        "".join(ENDPOINT.format(client=client) for client in (101, 102, 103))
    )
    (folder / "__MQSERVERS__.DEF").write_text(
        f"[second]\nhost={rabbitmq.host}\nport={rabbitmq.port}\nuser={rabbitmq.username}\n"
        f"password={rabbitmq.password}\nvhost=second\nexchange={second.exchange}\n"
    )
    with FakeAri() as fake:
        config = {
            "node": {"name": "AUDIO"},
            "asterisk": [asterisk(fake, definitions=str(folder))],
            "mq": first.mq(),
        }
        with ArimonitorDaemon(folder / "site", config) as daemon:
            daemon.connected()
            playing = {
                client: Playing(fake, origin=f"{client}3010", first=1000 * client)
                for client in (103, 101, 102)
            }
            for each in playing.values():
                each.play(CALLS)
            yield Parted(daemon, playing, first, second)


def test_each_client_on_its_broker(parted: Parted) -> None:
    """What can't be routed for one client waits, is an alarm, and is in nobody's way."""
    for client, mailbox in ((101, parted.first), (102, parted.second)):
        expected = parted.playing[client].expected()
        mailbox.take(expected)
        mailbox.check(expected)
        assert {message["data"]["client"] for message in mailbox.came} == {str(client)}
        assert {properties.headers["client"] for properties in mailbox.properties} == {str(client)}
        assert {message["data"]["origin_guid"][-3:] for message in mailbox.came} == {str(client)}
    status = parted.daemon.wait_for(
        lambda s: (
            [broker["outbox"] for broker in s["brokers"]] == [3 * CALLS, 0]
            and s["brokers"][0]["stuck"] == CALLS  # the first of each call; the others wait behind it
        ),
        "only 103's wait",
    )
    assert status["brokers"][0]["connected"]
    parted.daemon.says(
        f"exchange {parted.first.exchange} has no queue for routing key call.received-call.103.voip3"
    )
    parted.first.bind("call.*.103.*")


def test_stopped_for_a_while(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    with connected_site(tmp_path, Mailbox(rabbitmq)) as place:
        rabbitmq.stop()
        try:
            said = place.daemon.wait_for(lambda s: not s["brokers"][0]["connected"], "the loss is seen")
            assert said["brokers"][0]["error"]
            place.goes_on(AWAY)
            place.daemon.wait_for(lambda s: s["brokers"][0]["outbox"] > 100, "the outbox grows")
            # Said when it happened, not at each try.
            assert 1 <= place.daemon.lines("it is tried again for ever") <= 3
            assert "Connection refused" in place.daemon.log_text()
        finally:
            rabbitmq.start()
        place.daemon.connected()
        place.nothing_lost()
        place.daemon.says("again after")


def test_killed_under_load(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    with connected_site(tmp_path, Mailbox(rabbitmq)) as place:
        rabbitmq.kill()
        try:
            place.daemon.wait_for(lambda s: not s["brokers"][0]["connected"], "the loss is seen")
            place.goes_on()
        finally:
            rabbitmq.start()
        place.daemon.connected()
        place.load.more(50)
        place.nothing_lost()


def test_frozen_and_thawed(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    with connected_site(tmp_path, Mailbox(rabbitmq)) as place:
        rabbitmq.freeze()
        try:
            place.daemon.wait_for(lambda s: not s["brokers"][0]["connected"], "it is seen to be frozen")
            place.daemon.says("frozen or out of reach")
            place.goes_on(AWAY if LONG else 1)
        finally:
            rabbitmq.thaw()
        place.daemon.connected()
        place.nothing_lost()


def test_memory_alarm(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    with connected_site(tmp_path, Mailbox(rabbitmq)) as place:
        rabbitmq.set_memory_alarm(True)
        try:
            place.daemon.says("the broker takes nothing now (low on memory)")
            place.goes_on(AWAY if LONG else 2)
            place.daemon.wait_for(lambda s: s["brokers"][0]["outbox"] > 50, "the outbox grows")
            broker = place.daemon.broker()
            assert broker["connected"]
            assert "memory" in broker["error"]
        finally:
            rabbitmq.set_memory_alarm(False)
        place.daemon.says("the broker takes messages again")
        place.nothing_lost()


def test_exchange_deleted_under_load(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    mailbox = Mailbox(rabbitmq, bind="")
    # The product's own queue: bound again with its exchange, so nothing is without a way.
    with connected_site(tmp_path, mailbox, queue=mailbox.queue) as place:
        for _ in range(2):
            mailbox.delete_exchange()
            place.goes_on()
            place.daemon.connected()
        place.daemon.says("no exchange")
        place.nothing_lost()


def test_wrong_password_then_corrected(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    user, right = "monitor", "right-password-1"
    rabbitmq.rabbitmqctl("add_user", user, "wrong-password-1")
    try:
        rabbitmq.rabbitmqctl("set_permissions", user, ".*", ".*", ".*")
        with site(tmp_path, Mailbox(rabbitmq), rate=20, username=user, password=right) as place:
            place.daemon.says("user name or password refused (user monitor)")
            place.goes_on()
            assert "refused" in place.daemon.broker()["error"]
            rabbitmq.rabbitmqctl("change_password", user, right)
            place.daemon.connected()  # what only people can mend is tried again slowly
            place.nothing_lost()
            assert right not in place.daemon.log_text() + place.daemon.output()
    finally:
        rabbitmq.rabbitmqctl("delete_user", user)


def test_what_nobody_read_is_tried_each_minute(parted: Parted) -> None:
    """Whatever has become of the broker since; by itself."""
    parted.first.bind("call.*.103.*")
    expected = parted.playing[101].expected() | parted.playing[103].expected()
    parted.first.take(expected)
    parted.first.check(expected)
    parted.daemon.settled()
    parted.daemon.says("is delivered again")
