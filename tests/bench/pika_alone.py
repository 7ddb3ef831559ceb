"""The yardstick of publishing: pika alone, with as many unconfirmed messages under way as we have.

    python -m tests.bench.pika_alone PORT MESSAGES WINDOW

What a program would do that has nothing but messages to send: pika's
SelectConnection on its own loop, asynchronous confirms, a window that is filled
again with each confirm. Persistent and mandatory messages with the properties
that ours have; no disk, no order per call, no retry, no gevent.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pika

EXCHANGE, QUEUE, BINDING = "bench.calls", "bench.queue", "call.#"


class Alone:
    """One run; `seconds` at its end, from the first publish to the last confirm."""

    def __init__(self, port: int, bodies: list[tuple[str, pika.BasicProperties, bytes]], window: int) -> None:
        self.messages = bodies
        self.window = window
        self.sent = self.done = self.failed = 0
        self.under_way: set[int] = set()
        self.began = self.seconds = self.cpu = 0.0
        self.channel: Any = None
        self.connection = pika.SelectConnection(
            pika.ConnectionParameters("127.0.0.1", port),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
            on_open_error_callback=self._lost,
            on_close_callback=lambda connection, reason: connection.ioloop.stop(),
        )

    def run(self) -> None:
        """Send everything and wait for the confirms."""
        self.connection.ioloop.start()
        if self.failed or self.done != len(self.messages):
            raise RuntimeError(f"{self.done} of {len(self.messages)} confirmed, {self.failed} refused")

    def _lost(self, connection: Any, error: object) -> None:
        connection.ioloop.stop()
        raise RuntimeError(f"no connection: {error}")

    def _opened(self, channel: Any) -> None:
        self.channel = channel
        channel.add_on_return_callback(self._returned)
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(QUEUE, EXCHANGE, BINDING)
        channel.confirm_delivery(self._confirmed, callback=self._start)

    def _start(self, _frame: object) -> None:
        self.began, self.cpu = time.perf_counter(), time.process_time()
        self._fill()

    def _fill(self) -> None:
        while self.sent < len(self.messages) and len(self.under_way) < self.window:
            key, properties, body = self.messages[self.sent]
            self.channel.basic_publish(EXCHANGE, key, body, properties, mandatory=True)
            self.sent += 1
            self.under_way.add(self.sent)

    def _returned(self, *_: object) -> None:
        self.failed += 1

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        if isinstance(method, pika.spec.Basic.Nack):
            self.failed += 1
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self.under_way if tag <= method.delivery_tag]
        self.under_way.difference_update(tags)
        self.done += len(tags)
        if self.done == len(self.messages):
            self.seconds = time.perf_counter() - self.began
            self.cpu = time.process_time() - self.cpu
            self.connection.close()
        else:
            self._fill()


def main() -> None:
    """Print seconds as JSON."""
    from tests.bench.bench_publish import messages

    port, count, window = map(int, sys.argv[1:])
    made = [
        (
            message.routing_key,
            pika.BasicProperties(
                content_type="application/json",
                headers={**message.headers, "x-deduplication-header": message.id},
                delivery_mode=2,
                message_id=message.id,
                timestamp=message.timestamp,
                type=message.type,
                app_id="bench",
            ),
            message.body,
        )
        for message in messages("alone", count)
    ]
    alone = Alone(port, made, window)
    alone.run()
    print(json.dumps({"wall": alone.seconds, "cpu": alone.cpu}))


if __name__ == "__main__":
    main()
