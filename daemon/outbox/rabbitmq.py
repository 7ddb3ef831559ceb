"""The RabbitMQ sink: pipelined confirms, mandatory, persistent (docs/messages.md)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pika
from pika import exceptions, spec

from daemon.outbox.entry import Entry
from daemon.outbox.rabbitlink import RabbitAddress, RabbitLink
from daemon.outbox.sink import Outcome, SinkLost, Verdict

BINDING = "call.#"
"""What a queue of ours is bound with: everything this product publishes."""
_CONFIRM = 120.0  # seconds without a confirm, though the broker speaks, after which it is asked anew


class RabbitSink:
    """A `sink.Sink` on one exchange. `queue` is declared and bound too, where it is given.

    `epoch` is the mastership under which this node publishes; with it each message has a header `x-epoch`.
    """

    # Between two looks at the socket: keeps the hub's gaps short.
    chunk = 32

    def __init__(
        self,
        address: RabbitAddress,
        *,
        exchange: str = "arimonitor.calls",
        queue: str = "",
        name: str = "mq",
        epoch: Callable[[], int] | None = None,
    ) -> None:
        self.name = name
        self.place = address.place
        self._address = address
        self._exchange = exchange
        self._queue = queue
        self._epoch = epoch
        self._link: RabbitLink | None = None
        self._tag = 0
        self._by_tag: dict[int, tuple[int, str, float]] = {}  # seq, message id, when sent
        self._returned: dict[str, str] = {}
        self._outcomes: list[Outcome] = []

    @property
    def blocked(self) -> str:
        """The broker's reason (memory or disk alarm) while it takes nothing."""
        return "" if self._link is None else self._link.blocked

    def open(self) -> None:
        """Connect, declare (passively first) and switch confirms on."""
        self.close()
        self._tag = 0
        self._by_tag.clear()
        self._returned.clear()
        self._outcomes.clear()
        link = self._link = RabbitLink(self._address)
        link.open()
        try:
            self._declare(link)
            link.channel.add_on_return_callback(self._on_return)
            link.ask("confirms", lambda done: link.channel.confirm_delivery(self._on_confirm, callback=done))
        except exceptions.AMQPError as error:
            link.raise_if_lost()
            raise SinkLost(f"connection lost: {error}") from error

    def _declare(self, link: RabbitLink) -> None:
        exchange, queue = self._exchange, self._queue
        what = f"exchange {exchange}"
        if link.asked_for_nothing(
            what, lambda done: link.channel.exchange_declare(exchange, passive=True, callback=done)
        ):
            link.ask(
                what,
                lambda done: link.channel.exchange_declare(exchange, "topic", durable=True, callback=done),
            )
        if not queue:
            return
        what = f"queue {queue}"
        if link.asked_for_nothing(
            what, lambda done: link.channel.queue_declare(queue, passive=True, callback=done)
        ):
            arguments = {"x-queue-type": "quorum"}
            link.ask(
                what,
                lambda done: link.channel.queue_declare(
                    queue, durable=True, arguments=arguments, callback=done
                ),
            )
        # Also where both were there: an exchange that was deleted and made again has lost its bindings.
        link.ask(what, lambda done: link.channel.queue_bind(queue, exchange, BINDING, callback=done))

    def publish(self, entries: Sequence[Entry]) -> None:
        """Hand these to the connection; their outcomes come from `poll`."""
        link = self._living()
        sent = time.monotonic()
        epoch = None if self._epoch is None else self._epoch()
        try:
            for entry in entries:
                message = entry.message
                link.channel.basic_publish(
                    self._exchange,
                    message.routing_key,
                    message.body,
                    _properties(entry, epoch),
                    mandatory=True,
                )
                self._tag += 1
                self._by_tag[self._tag] = (entry.seq, message.id, sent)
        except exceptions.AMQPError as error:
            link.raise_if_lost()
            raise SinkLost(f"connection lost: {error}") from error

    def poll(self, timeout: float) -> list[Outcome]:
        """Outcomes since the last time; waits up to `timeout` seconds for the first."""
        link = self._living()
        if not self._outcomes:
            link.turn(timeout)
        if not self._outcomes:
            link.raise_if_lost()
            self._watch_confirms()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _watch_confirms(self) -> None:
        if not self._by_tag or self.blocked:
            return
        tag = next(iter(self._by_tag))
        if time.monotonic() - self._by_tag[tag][2] > _CONFIRM:
            raise SinkLost(f"no confirm for {_CONFIRM:.0f} s")

    def _on_return(self, _channel: object, method: Any, properties: Any, _body: bytes) -> None:
        # Comes before the confirm of the same message.
        if method.reply_code == 312:
            reason = f"exchange {self._exchange} has no queue"
        else:
            reason = f"returned: {method.reply_code} {method.reply_text}"
        self._returned[properties.message_id] = reason

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        nack = isinstance(method, spec.Basic.Nack)
        if not method.multiple:
            self._settle(method.delivery_tag, nack)
            return
        for tag in list(self._by_tag):
            if tag > method.delivery_tag:
                break
            self._settle(tag, nack)

    def _settle(self, tag: int, nack: bool) -> None:
        found = self._by_tag.pop(tag, None)
        if found is None:
            return
        seq, message_id, _ = found
        returned = self._returned.pop(message_id, None)
        if nack:
            reason = f"exchange {self._exchange}: a queue refused it (nack: full or failing)"
            self._outcomes.append(Outcome(seq, Verdict.NACKED, reason))
        elif returned is not None:
            self._outcomes.append(Outcome(seq, Verdict.RETURNED, returned))
        else:
            self._outcomes.append(Outcome(seq, Verdict.CONFIRMED))

    def _living(self) -> RabbitLink:
        if self._link is None:
            raise SinkLost("not connected")
        return self._link

    def wake(self) -> None:
        """Let a `poll` that waits return now."""
        link = self._link
        if link is not None:
            link.wake()

    def close(self) -> None:
        """Let go of the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


def _properties(entry: Entry, epoch: int | None) -> pika.BasicProperties:
    message = entry.message
    headers: dict[str, str | int] = dict(message.headers)
    headers["x-deduplication-header"] = message.id
    if epoch is not None:
        headers["x-epoch"] = epoch
    return pika.BasicProperties(
        content_type="application/json",
        headers=headers,
        delivery_mode=2,
        message_id=message.id,
        timestamp=message.timestamp,
        type=message.type,
        app_id="arimonitor",
    )
