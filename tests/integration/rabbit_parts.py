"""The whole way from the outbox to a consumer of a real RabbitMQ, for tests."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from daemon.outbox.keeper import Keeper
from daemon.outbox.message import Message
from daemon.outbox.publisher import Publisher
from daemon.outbox.rabbitlink import RabbitAddress
from daemon.outbox.rabbitmq import RabbitSink
from daemon.outbox.store import Outbox
from daemon.runtime.backoff import Backoff
from tests.integration.outbox_parts import offload
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.waiting import DEADLINE, wait_until


def call_message(name: str, call: str, number: int, kind: str = "dtmf") -> Message:
    """Message `number` of a call; `name` keeps one test's ids apart from another's."""
    return Message(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{call}/{number}")),
        type=kind,
        order=f"voip3/{call}",
        broker="",
        routing_key=f"call.{kind}.101.voip3",
        headers={"server": "voip3", "client": "101", "node": "AUDIO2"},
        timestamp=1_761_562_800,
        body=json.dumps({"data": {"call": call, "number": number}}).encode(),
    )


@dataclass
class Delivered:
    """What a consumer got: ids, and by call the numbers in the order they came, repeats included."""

    ids: set[str] = field(default_factory=set)
    numbers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    total: int = 0

    def add(self, properties: Any, body: bytes) -> None:
        """One message as it came."""
        data = json.loads(body)["data"]
        self.total += 1
        self.ids.add(properties.message_id)
        self.numbers[data["call"]].append(data["number"])

    def check_order(self, *, without_repeats: bool = False) -> None:
        """Within a call numbers never go back: a repeat can only be of the last one.

        `without_repeats`: as a consumer sees it that keeps ids. A daemon killed
        before its confirms were noted sends the last few again.
        """
        for call, numbers in self.numbers.items():
            if without_repeats:
                numbers = list(dict.fromkeys(numbers))
            assert numbers == sorted(numbers), f"call {call}: {numbers}"


class Site:
    """An outbox, its keeper and a publisher to `broker`, with an exchange and a queue of their own."""

    def __init__(
        self, broker: RabbitMQ, folder: Path, *, bind: str = "call.#", retry: float = 1.0, **address: Any
    ) -> None:
        self.broker = broker
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.exchange = f"{self.name}.calls"
        self.queue = f"{self.name}.queue"
        self.bind = bind
        self.sent: list[Message] = []
        self.rounds = 0
        self.loads: list[Load] = []
        values = {
            "host": broker.host,
            "port": broker.port,
            "username": broker.username,
            "password": broker.password,
        }
        self.address = RabbitAddress(**{**values, **address})
        self.outbox = Outbox(folder / "outbox.sqlite", offload())
        self.outbox.open()
        self.retry = retry
        self.sink = RabbitSink(self.address, exchange=self.exchange)
        self.publisher = self._publisher()
        self.stop = Event()
        self.threads: list[Thread] = []

    def _publisher(self) -> Publisher:
        return Publisher(
            "",
            self.outbox,
            self.sink,
            retry=self.retry,
            backoff=Backoff(first=0.1, cap=1.0),
            refused_backoff=Backoff(first=0.5, factor=1.0, cap=0.5),
        )

    def start(self) -> None:
        keeper = Keeper(self.outbox, flush_every=0.02)
        self.threads = [Thread(target=part.run, args=(self.stop,)) for part in (self.publisher, keeper)]
        for thread in self.threads:
            thread.start()

    def topology(self, arguments: dict[str, Any] | None = None) -> None:
        """The test's exchange and a durable queue bound to it."""
        with self.broker.connect() as connection:
            channel = connection.channel()
            channel.exchange_declare(self.exchange, "topic", durable=True)
            channel.queue_declare(self.queue, durable=True, arguments=arguments)
            channel.queue_bind(self.queue, self.exchange, self.bind)

    def store(self, calls: int, first: int, count: int, kind: str = "dtmf") -> None:
        """Messages `first` to `first + count - 1` of each call."""
        for number in range(first, first + count):
            batch = [call_message(self.name, str(call), number, kind) for call in range(calls)]
            self.sent += batch
            self.outbox.store(batch)

    def connected(self, seconds: float = DEADLINE) -> None:
        wait_until(lambda: self.publisher.status()["connected"], "connected", seconds)

    def consume(
        self, seconds: float = DEADLINE, done: Callable[[Delivered], bool] | None = None
    ) -> Delivered:
        """Everything the queue gets until all that was sent is there."""
        wanted = {message.id for message in self.sent}
        got = Delivered()
        deadline = time.monotonic() + seconds
        finished = done or (lambda got: wanted <= got.ids)
        with self.broker.connect() as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=500)
            for method, properties, body in channel.consume(self.queue, inactivity_timeout=0.2):
                if method is not None:
                    got.add(properties, body)
                    channel.basic_ack(method.delivery_tag)
                if finished(got) and method is None:
                    return got
                if time.monotonic() > deadline:
                    raise AssertionError(
                        f"{len(wanted - got.ids)} of {len(wanted)} missing; {self.publisher.status()}"
                    )
        raise AssertionError("the consumer's connection ended")

    def settled(self) -> None:
        """Everything is confirmed and noted."""
        wait_until(lambda: not self.outbox.counts().get("", 0), "the outbox is empty")
        wait_until(lambda: not self.outbox.noted, "the confirmations are written")

    def close(self) -> None:
        for load in self.loads:
            load.end()
        self.stop.set()
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), f"{thread} did not stop"
        self.outbox.close()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Load:
    """Stores a message of each of `calls` calls again and again until `end`."""

    def __init__(self, site: Site, calls: int = 20, pause: float = 0.01) -> None:
        self._site, self._calls, self._pause = site, calls, pause
        self._first = site.rounds  # a second load goes on where the one before ended
        self._stop = Event()
        self.rounds = 0
        self._thread = Thread(target=self._run)
        site.loads.append(self)  # which ends it, whatever becomes of the test
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._site.store(self._calls, self._first + self.rounds, 1)
            self.rounds += 1
            self._site.rounds += 1
            self._stop.wait(self._pause)

    def reach(self, rounds: int) -> None:
        wait_until(lambda: self.rounds >= rounds, f"{rounds} rounds are stored")

    def end(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)


def lines(caplog: Any, text: str) -> int:
    """How many log lines hold this text."""
    return sum(text in record.getMessage() for record in caplog.records if record.levelno >= logging.INFO)


__all__ = ["Delivered", "Load", "RabbitAddress", "Site", "call_message", "lines"]
