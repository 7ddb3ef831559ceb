"""Messages per second from `store` to RabbitMQ's confirm, against pika alone with the same window.

    python -m tests.bench publish
    python -m tests.bench.bench_publish {live|backlog|store} PORT MESSAGES      one contestant

The yardstick is `pika_alone`, a process of its own as each of ours is; they take
turns on one broker, which is emptied in between.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.outbox.message import Message
from tests.bench.report import Row, Ticker, Unavailable, contestant

if TYPE_CHECKING:
    from daemon.outbox.publisher import Publisher
    from daemon.outbox.store import Outbox

WINDOW = 500
CALLERS = 4
BATCH = 25
ROUNDS = 3
COUNT = 10_000
DEADLINE = 60.0  # seconds; the slowest run seen took 3


def messages(name: str, count: int) -> list[Message]:
    """Calls of four messages each, as they follow on one another with 200 calls at once."""
    found = []
    for i in range(count):
        call = f"1761562800.{i // 800}{i % 200}"
        kind = ("received-call", "answered-call", "dtmf", "ended-call")[i // 200 % 4]
        body = {
            "operation": {"type": kind, "id": f"{name}-{i}", "version": 3, "server": "voip3", "seq": 1},
            "data": {"call": call, "origin": "1013010", "destiny": "1013015", "status": 1, "pad": "x" * 350},
        }
        found.append(
            Message(
                id=f"{name}-{i}",
                type=kind,
                order=f"voip3/{call}",
                broker="",
                routing_key=f"call.{kind}.101.voip3",
                headers={"server": "voip3", "client": "101", "node": "AUDIO2"},
                timestamp=1_761_562_800,
                body=json.dumps(body).encode(),
            )
        )
    return found


def part() -> list[Row]:
    """The rows of this part."""
    from tests.servers.rabbitmq import RabbitMQ, unavailable_reason

    reason = unavailable_reason()
    if reason is not None:
        raise Unavailable(reason)
    runs: dict[str, list[dict[str, Any]]] = {}
    with RabbitMQ() as broker:
        for _ in range(ROUNDS):
            runs.setdefault("alone", []).append(contestant("pika_alone", broker.port, COUNT, WINDOW))
            for name in ("live", "backlog"):
                runs.setdefault(name, []).append(contestant("bench_publish", name, broker.port, COUNT))
            broker.rabbitmqctl("purge_queue", "bench.queue")
    runs["store"] = [contestant("bench_publish", "store", 0, COUNT)]
    rate = {name: COUNT / statistics.median(run["wall"] for run in found) for name, found in runs.items()}
    cost = {
        name: statistics.median(run["cpu"] for run in found) / COUNT * 1e6 for name, found in runs.items()
    }
    rows = [
        Row(
            f"yardstick: pika alone, window {WINDOW}, quorum queue",
            f"{rate['alone']:,.0f} messages/s",
            "",
            f"{cost['alone']:.0f} us CPU a message",
        )
    ]
    for name, title in {
        "live": "store, publisher, confirm",
        "backlog": "a backlog in the outbox, publisher, confirm",
    }.items():
        lag = max(run["lag_max"] for run in runs[name])
        usual = statistics.median(run["lag_p99"] for run in runs[name])
        rows.append(
            Row(
                title,
                f"{rate[name]:,.0f} messages/s",
                f"{rate[name] / rate['alone']:.2f}x",
                f"against pika alone; {cost[name]:.0f} us CPU; hub lag p99 {usual:.0f} max {lag:.0f} ms",
            )
        )
    batches = f"{CALLERS} callers, {BATCH} at a time; {cost['store']:.0f} us CPU"
    rows.append(Row("store alone, each durable (fsync)", f"{rate['store']:,.0f} messages/s", "", batches))
    return rows


# -- the contestants, each in a process of its own -----------------------------


def whole_way(port: int, count: int, *, stored_before: bool) -> dict[str, float]:
    """`store` by several callers, publisher, confirm, noted in the outbox."""
    from daemon.outbox.keeper import Keeper
    from daemon.outbox.publisher import Publisher
    from daemon.outbox.rabbitlink import RabbitAddress
    from daemon.outbox.rabbitmq import RabbitSink
    from daemon.outbox.store import Outbox
    from daemon.runtime.offload import Offload

    batch = messages(f"{stored_before}-{time.time()}", count)
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as folder:
        box = Outbox(Path(folder) / "outbox.sqlite", Offload().call)
        box.open()
        sink = RabbitSink(RabbitAddress("127.0.0.1", port), exchange="bench.calls", queue="bench.queue")
        publisher = Publisher("", box, sink, window=WINDOW)
        stop = threading.Event()
        threads = [threading.Thread(target=part.run, args=(stop,)) for part in (publisher, Keeper(box))]
        if stored_before:
            store_all(box, batch)
        for thread in threads:
            thread.start()
        if not stored_before:
            _wait(lambda: publisher.status()["connected"], publisher)
        result = Stopwatch()
        if not stored_before:
            store_all(box, batch)
        _wait(lambda: publisher.status()["published"] == count, publisher)
        figures = result.stop()
        stop.set()
        for thread in threads:
            thread.join()
        box.close()
    return figures


def _wait(condition: Callable[[], Any], publisher: Publisher) -> None:
    """Look every 5 ms. RuntimeError with what the publisher says of itself after the deadline."""
    until = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"not within {DEADLINE:.0f} s: {publisher.status()}")
        time.sleep(0.005)


def store_alone(count: int) -> dict[str, float]:
    """The outbox without a way out."""
    from daemon.outbox.store import Outbox
    from daemon.runtime.offload import Offload

    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as folder:
        box = Outbox(Path(folder) / "outbox.sqlite", Offload().call)
        box.open()
        batch = messages("store", count)
        watch = Stopwatch()
        store_all(box, batch)
        figures = watch.stop()
        box.close()
    return figures


class Stopwatch:
    """Seconds, CPU seconds and the hub's lag."""

    def __init__(self) -> None:
        self._ticker = Ticker()
        self._began = time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        """Since the start."""
        wall, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        return {"wall": wall, "cpu": cpu, **self._ticker.end()}


def store_all(box: Outbox, batch: list[Message]) -> None:
    """By several callers at once; a call belongs to one of them."""
    shares: list[list[Message]] = [[] for _ in range(CALLERS)]
    for message in batch:
        shares[hash(message.order) % CALLERS].append(message)

    def store(share: list[Message]) -> None:
        for start in range(0, len(share), BATCH):
            box.store(share[start : start + BATCH])

    callers = [threading.Thread(target=store, args=(share,)) for share in shares]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()


def main() -> None:
    """One contestant; prints JSON."""
    name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if name == "store":
        figures = store_alone(count)
    else:
        figures = whole_way(port, count, stored_before=name == "backlog")
    print(json.dumps(figures))


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    main()
