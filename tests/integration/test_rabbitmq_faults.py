"""RabbitMQ stopped, killed, frozen, in alarm, robbed of its exchange: nothing lost, order kept.

All is counted by message id at a consumer of a real RabbitMQ.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rabbit_parts import Load, Site, lines
from tests.servers.rabbitmq import RabbitMQ, unavailable_reason
from tests.servers.waiting import wait_until

reason = unavailable_reason()
pytestmark = [pytest.mark.rabbitmq, pytest.mark.skipif(reason is not None, reason=reason or "")]


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQ]:
    with RabbitMQ() as server:
        yield server


@pytest.fixture
def site(broker: RabbitMQ, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    caplog.set_level(logging.INFO, "arimonitor.outbox")
    with Site(broker, tmp_path) as site:
        yield site


def delivered_whole(site: Site) -> None:
    got = site.consume()
    assert got.ids == {message.id for message in site.sent}
    got.check_order()
    site.settled()


def test_what_waited_before_the_start_and_what_comes_later(site: Site) -> None:
    site.topology()
    site.store(calls=300, first=0, count=10)
    site.start()
    load = Load(site)
    site.connected()
    load.reach(30)
    load.end()
    got = site.consume()
    assert got.total == len({m.id for m in site.sent}), "no fault, no repeat"
    got.check_order()
    site.settled()


def test_stopped_for_a_while(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.topology()
    site.start()
    site.connected()
    load = Load(site)
    load.reach(10)
    site.broker.stop()
    wait_until(lambda: not site.publisher.status()["connected"], "the loss is seen")
    away = load.rounds
    load.reach(away + 50)
    wait_until(lambda: site.publisher.status()["outbox"], "the outbox grows")
    time.sleep(float(os.environ.get("ARIMONITOR_TEST_OUTAGE", "0")))
    site.broker.start()
    site.connected()
    load.end()
    delivered_whole(site)
    assert lines(caplog, "Connection refused") + lines(caplog, "connection lost") <= 3, "said, not repeated"
    assert lines(caplog, "connected to") == 2


def test_killed_under_load(site: Site) -> None:
    site.topology()
    site.start()
    site.connected()
    for _ in range(2):
        load = Load(site, calls=50)
        load.reach(30)
        site.broker.kill()
        wait_until(lambda: not site.publisher.status()["connected"], "the loss is seen")
        load.end()
        site.broker.start()
        site.connected()
    delivered_whole(site)


def test_frozen_is_seen_within_twenty_seconds_and_overcome(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.topology()
    site.start()
    site.connected()
    load = Load(site, calls=5, pause=0.1)
    load.reach(5)
    site.broker.freeze()
    began = time.monotonic()
    try:
        wait_until(lambda: not site.publisher.status()["connected"], "the frozen broker is seen", 20)
        assert time.monotonic() - began > 5, "not taken for frozen too early"
    finally:
        site.broker.thaw()
    site.connected()
    load.end()
    delivered_whole(site)
    assert lines(caplog, "frozen or out of reach") == 1


def test_memory_alarm(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.topology()
    site.start()
    site.connected()
    load = Load(site, calls=10)
    load.reach(5)
    site.broker.set_memory_alarm(True)
    try:
        wait_until(lambda: site.publisher.status()["blocked"], "blocked is seen")
        load.reach(load.rounds + 100)
        assert site.publisher.status()["connected"]
        assert int(str(site.publisher.status()["in_flight"])) <= 500
    finally:
        site.broker.set_memory_alarm(False)
    load.end()
    delivered_whole(site)
    assert lines(caplog, "the broker takes nothing now (low on memory)") == 1
    assert lines(caplog, "the broker takes messages again") == 1


def test_exchange_deleted_under_load(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.sink._queue = site.queue  # the product's own queue: bound again with its exchange
    site.start()
    site.connected()
    load = Load(site, calls=30)
    with site.broker.connect() as connection:
        channel = connection.channel()
        for _ in range(3):
            load.reach(load.rounds + 20)
            channel.exchange_delete(site.exchange)
            load.reach(load.rounds + 20)
            site.connected()
    load.end()
    delivered_whole(site)
    assert lines(caplog, "404 NOT_FOUND - no exchange") >= 1


def test_unroutable_blocks_its_own_call_only(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.bind = "call.dtmf.#"
    site.topology()
    site.start()
    site.connected()
    site.store(calls=3, first=0, count=1)
    # Of calls 0 to 2 the next one has nowhere to go; what follows them waits, all others flow.
    site.store(calls=3, first=1, count=1, kind="answered-call")
    site.store(calls=3, first=2, count=2)
    stuck = {m.id for m in site.sent if m.type == "answered-call"}
    behind = {m.id for m in site.sent[6:]}
    site.sent = site.sent[:3]
    from tests.integration.rabbit_parts import call_message

    others = [call_message(site.name, f"other {i}", 0) for i in range(500)]
    site.outbox.store(others)
    site.sent += others
    got = site.consume()
    assert got.ids == {m.id for m in site.sent}
    assert not got.ids & (stuck | behind)
    status = site.publisher.status()
    assert status["outbox"] == 9
    assert status["parked"] == 3
    assert lines(caplog, f"exchange {site.exchange} has no queue for routing key call.answered-call") == 1
    # Somebody binds it: at the next try all goes out, in order.
    with site.broker.connect() as connection:
        connection.channel().queue_bind(site.queue, site.exchange, "call.answered-call.#")
    got = site.consume(done=lambda got: (stuck | behind) <= got.ids)
    assert all(numbers == [1, 2, 3] for numbers in got.numbers.values())
    site.settled()
    assert lines(caplog, "is delivered again") == 1
    assert int(str(site.publisher.status()["returned"])) >= 3


def test_a_full_queue_nacks_and_goes_on_when_it_is_read(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.topology({"x-max-length": 20, "x-overflow": "reject-publish"})
    site.start()
    site.connected()
    site.store(calls=30, first=0, count=3)
    wait_until(lambda: site.publisher.status()["nacked"], "the full queue refuses")
    delivered_whole(site)
    assert lines(caplog, "a queue refused it (nack: full or failing) for routing key") == 1


def test_wrong_password_then_corrected(
    broker: RabbitMQ, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "arimonitor.outbox")
    broker.rabbitmqctl("add_user", "monitor", "other")
    broker.rabbitmqctl("set_permissions", "monitor", ".*", ".*", ".*")
    with Site(broker, tmp_path, username="monitor", password="right-1234") as site:
        site.topology()
        site.start()
        site.store(calls=5, first=0, count=2)
        wait_until(
            lambda: broker.log_text().count("user 'monitor' - invalid credentials") >= 3, "three tries"
        )
        assert site.publisher.status()["last_error"] == "user name or password refused (user monitor)"
        broker.rabbitmqctl("change_password", "monitor", "right-1234")
        site.connected()
        delivered_whole(site)
    assert lines(caplog, "user name or password refused (user monitor)") == 1
    assert "right-1234" not in caplog.text
