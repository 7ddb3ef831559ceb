"""The other end: a consumer at a real RabbitMQ that counts what comes by id."""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.servers.rabbitmq import RabbitMQ

PATIENCE = 90.0  # seconds for everything to come
RANK = {"received-call": 1, "answered-call": 2, "dtmf": 2, "ended-call": 3}


class Mailbox:
    """An exchange and a durable queue of its own; everything that came, in order, copies included."""

    def __init__(self, broker: RabbitMQ, *, bind: str = "call.#", vhost: str = "/") -> None:
        self.broker, self.vhost = broker, vhost
        name = f"t{uuid.uuid4().hex[:8]}"
        self.exchange, self.queue = f"{name}.calls", f"{name}.queue"
        self.came: list[dict[str, Any]] = []
        self.properties: list[Any] = []
        if bind:
            self.bind(bind)

    def mq(self, **other: Any) -> dict[str, Any]:
        """The [mq] of a daemon that publishes here."""
        return {
            "backend": "rabbitmq",
            "host": self.broker.host,
            "port": self.broker.port,
            "vhost": self.vhost,
            "exchange": self.exchange,
            **other,
        }

    def bind(self, key: str) -> None:
        """Bind the queue with this key; exchange and queue are made where they are missing."""
        with self.broker.connect(self.vhost) as connection:
            channel = connection.channel()
            channel.exchange_declare(self.exchange, "topic", durable=True)
            channel.queue_declare(self.queue, durable=True)
            channel.queue_bind(self.queue, self.exchange, key)

    def delete_exchange(self) -> None:
        with self.broker.connect(self.vhost) as connection:
            connection.channel().exchange_delete(self.exchange)

    # -- what came ---------------------------------------------------------------
    @property
    def ids(self) -> set[str]:
        return {message["operation"]["id"] for message in self.came}

    @property
    def told(self) -> set[tuple[str, str]]:
        """(call, type) of everything about calls that came."""
        return {
            (message["data"]["call"], message["operation"]["type"])
            for message in self.came
            if "call" in message["data"]
        }

    @property
    def gaps(self) -> list[str]:
        """The reason of each monitor-gap that came."""
        return [
            message["data"]["reason"]
            for message in self.came
            if message["operation"]["type"] == "monitor-gap"
        ]

    def take(self, expected: set[tuple[str, str]], seconds: float = PATIENCE) -> None:
        """Consume until all that is expected came, and no more is there. AssertionError after `seconds`."""

        def missing() -> list[tuple[str, str]]:
            return sorted(expected - self.told)

        self._take(
            lambda: expected <= self.told, seconds, lambda: f"{len(missing())} missing: {missing()[:5]}"
        )

    def take_number(self, number: int, seconds: float = PATIENCE) -> None:
        """Consume until so many different messages came, and no more is there."""
        self._take(lambda: len(self.ids) >= number, seconds, lambda: f"{len(self.ids)} of {number} came")

    def take_calls(self, number: int, seconds: float = PATIENCE) -> list[dict[str, Any]]:
        """Consume until so many messages about calls came, and no more is there: these, copies included."""
        self._take(lambda: len(self.told) >= number, seconds, lambda: f"{len(self.told)} of {number} came")
        return [message for message in self.came if "call" in message["data"]]

    def _take(self, done: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        with self.broker.connect(self.vhost) as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=500)
            for method, properties, body in channel.consume(self.queue, inactivity_timeout=0.3):
                if method is not None:
                    self.came.append(json.loads(body))
                    self.properties.append(properties)
                    channel.basic_ack(method.delivery_tag)
                elif done():
                    break
                if time.monotonic() > deadline:
                    raise AssertionError(f"after {seconds:g} s: {complaint()}")

    def check(self, expected: set[tuple[str, str]], *, gaps: bool = False) -> None:
        """Exactly what was expected: each fact under one id of its own, copies apart, each call in order.

        `gaps`: the daemon was away, and may say so.
        """
        assert self.told == expected, f"unexpected: {sorted(self.told - expected)[:5]}"
        assert gaps or not self.gaps, self.gaps
        of_calls = {message["operation"]["id"] for message in self.came if "call" in message["data"]}
        assert len(of_calls) == len(expected), "a fact has two ids, or two facts have one"
        fact_by_id: dict[str, Any] = {}
        order: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for message, properties in zip(self.came, self.properties, strict=True):
            operation, data = message["operation"], message["data"]
            assert properties.message_id == operation["id"]
            assert properties.delivery_mode == 2
            if operation["id"] in fact_by_id:  # a consumer that keeps ids ignores it
                assert fact_by_id[operation["id"]] == data, "two copies of a fact differ"
                continue
            fact_by_id[operation["id"]] = data
            if "call" in data:
                order[data["call"]].append((operation["seq"], RANK[operation["type"]]))
        for call, came in order.items():
            assert came == sorted(came), f"call {call} came out of order: {came}"
