"""What is seen of a run while it goes on: the nodes' words, the messages at the far end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pika.exceptions

from tests.system.consumer import Mailbox
from tests.system.faults.cluster import Cluster, Node
from tests.system.faults.history import Consumed, Listening, Said

EVERY = 0.2  # seconds between two questions to a node
UNASKED = 1.5  # seconds without an answer after which nobody knows whether it was connected
_BROKEN = (pika.exceptions.AMQPError, OSError)


class Poller:
    """Asks every node again and again, each in a thread of its own, within a `with`."""

    def __init__(self, cluster: Cluster) -> None:
        self.said: list[Said] = []
        self._cluster = cluster
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(node,), daemon=True) for node in cluster.nodes.values()
        ]

    def __enter__(self) -> Poller:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)

    def _ask(self, node: Node) -> None:
        while not self._stop.wait(EVERY):
            asked = time.time()
            status = self._cluster.ask(node)
            if status:
                self.said.append(said(node.name, asked, status))


def said(node: str, asked: float, status: dict[str, Any]) -> Said:
    """A status as the history keeps it."""
    queue, ha = status["queue"] or {}, status["ha"] or {}
    return Said(
        asked,
        time.time(),
        node,
        status["role"],
        int(status["epoch"]),
        ha.get("lease_left_s"),
        bool(ha.get("connected")),
        sum(each["outbox"] for each in status["brokers"]),
        sum(each["active_calls"] + each["backlog"] for each in status["asterisk"]),
        int(queue.get("pending", 0)) + int(queue.get("processing", 0)),
        all(each["connected"] for each in status["asterisk"]),
    )


def listened(words: Iterable[Said]) -> list[Listening]:
    """When each node was connected to every Asterisk, by what it said."""
    found: list[Listening] = []
    last: dict[str, Said] = {}
    for word in sorted(words, key=lambda word: word.at):
        before = last.get(word.node)
        goes_on = before is not None and before.sees and word.asked - before.at < UNASKED
        if word.sees and goes_on:
            at = max(n for n, each in enumerate(found) if each.node == word.node)
            found[at] = Listening(found[at].at, word.asked, word.node)
        elif word.sees:
            found.append(Listening(word.at, word.at, word.node))
        last[word.node] = word
    return found


class Consumer:
    """Takes every message from a queue of its own, within a `with`; the broker may go and come back."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.consumed: list[Consumed] = []
        self.facts: set[tuple[str, str]] = set()
        self._mailbox = mailbox
        self._acknowledged: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)

    def __enter__(self) -> Consumer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(*_BROKEN):
                self._consume()
            self._stop.wait(0.2)

    def _consume(self) -> None:
        with self._mailbox.broker.connect(self._mailbox.vhost) as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=200)
            for method, properties, body in channel.consume(self._mailbox.queue, inactivity_timeout=0.2):
                if method is not None:
                    # What was not acknowledged when the broker died comes again: its own doing.
                    if not (method.redelivered and properties.message_id in self._acknowledged):
                        self._take(method.exchange, json.loads(body))
                    channel.basic_ack(method.delivery_tag)
                    self._acknowledged.add(properties.message_id)
                if self._stop.is_set():
                    return

    def _take(self, exchange: str, message: dict[str, Any]) -> None:
        operation, data = message["operation"], message["data"]
        call, kind = data.get("call", ""), operation["type"]
        node = exchange.rpartition(".")[2]
        self.consumed.append(
            Consumed(time.time(), operation["id"], call, kind, node, bool(operation.get("recovered")))
        )
        if call:
            self.facts.add((call, kind))
