"""Messages per second from `store` to RabbitMQ's confirm, against pika alone with the same window.

    python -m gevent.monkey tests/bench/bench_publish.py [MESSAGES]

All in one run on one broker; believe the ratios. Yardstick: pika's
SelectConnection with pipelined confirms, the same window, properties, bodies and
queue, and nothing else: no disk, no order per call, no retry. The gap is the
longest time that a 2 ms ticker on the hub was late.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.outbox.entry import Entry
from daemon.outbox.filesink import FileSink
from daemon.outbox.keeper import Keeper
from daemon.outbox.message import Message
from daemon.outbox.publisher import Publisher
from daemon.outbox.rabbitlink import RabbitAddress
from daemon.outbox.rabbitmq import RabbitSink
from daemon.outbox.sink import Sink
from daemon.outbox.store import Outbox
from daemon.runtime.offload import Offload
from tests.servers.rabbitmq import RabbitMQ, unavailable_reason

WINDOW = 500
CALLERS = 4
BATCH = 25
ROUNDS = 3


@dataclass
class Figure:
    """One measurement: messages a second, and the ticker's gaps in ms."""

    rate: float
    gap: float
    p99: float


class Ticker:
    """How late a 2 ms sleep on the hub is."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._stop = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._stop:
            time.sleep(0.002)
            now = time.perf_counter()
            self.gaps.append(now - last - 0.002)
            last = now

    def end(self) -> tuple[float, float]:
        self._stop = True
        gaps = sorted(self.gaps) or [0.0]
        return gaps[-1] * 1000, gaps[int(len(gaps) * 0.99)] * 1000


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


def measured(work: Callable[[], int]) -> Figure:
    ticker = Ticker()
    began = time.perf_counter()
    count = work()
    seconds = time.perf_counter() - began
    return Figure(count / seconds, *ticker.end())


def pika_alone(address: RabbitAddress, batch: list[Message]) -> int:
    """The sink without outbox and publisher: basic_publish and its confirms, a window in flight."""
    sink = RabbitSink(address, exchange="bench.calls", queue="bench.queue")
    sink.open()
    entries = [Entry(i, m) for i, m in enumerate(batch)]
    sent = done = 0
    while done < len(entries):
        room = min(32, WINDOW - (sent - done))
        chunk = entries[sent : sent + room]
        if chunk:
            sink.publish(chunk)
            sent += len(chunk)
        done += len(sink.poll(0.0 if chunk else 0.5))
    sink.close()
    return done


def whole_way(native: Offload, sink: Sink, batch: list[Message], *, stored_before: bool) -> Figure:
    """`store` by several callers, publisher, confirm, noted in the outbox."""
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as folder:
        box = Outbox(Path(folder) / "outbox.sqlite", native.call)
        box.open()
        publisher = Publisher("", box, sink, window=WINDOW)
        keeper = Keeper(box)
        stop = threading.Event()
        threads = [threading.Thread(target=part.run, args=(stop,)) for part in (publisher, keeper)]

        def store_all() -> None:
            callers = [threading.Thread(target=store_part, args=(box, part)) for part in parts(batch)]
            for thread in callers:
                thread.start()
            for thread in callers:
                thread.join()

        def drained() -> int:
            if not stored_before:
                store_all()
            while publisher.status()["published"] != len(batch):
                time.sleep(0.005)
            return len(batch)

        if stored_before:
            store_all()
            for thread in threads:
                thread.start()
        else:
            for thread in threads:
                thread.start()
            while not publisher.status()["connected"]:
                time.sleep(0.01)
        figure = measured(drained)
        stop.set()
        for thread in threads:
            thread.join()
        box.close()
    return figure


def parts(batch: list[Message]) -> list[list[Message]]:
    """One share per caller: a call belongs to one of them."""
    shares: list[list[Message]] = [[] for _ in range(CALLERS)]
    for message in batch:
        shares[hash(message.order) % CALLERS].append(message)
    return shares


def store_part(box: Outbox, share: list[Message], size: int = BATCH) -> None:
    for start in range(0, len(share), size):
        box.store(share[start : start + size])


def store_alone(native: Offload, batch: list[Message], callers: int, size: int) -> Figure:
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as folder:
        box = Outbox(Path(folder) / "outbox.sqlite", native.call)
        box.open()

        def work() -> int:
            each = len(batch) // callers
            shares = [batch[i * each : (i + 1) * each] for i in range(callers)]
            threads = [threading.Thread(target=store_part, args=(box, share, size)) for share in shares]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return each * callers

        figure = measured(work)
        print(f"    ({box.commits} transactions)", flush=True)
        box.close()
    return figure


def show(what: str, figures: list[Figure], yardstick: float | None = None) -> float:
    rate = statistics.median(f.rate for f in figures)
    gap, p99 = max(f.gap for f in figures), statistics.median(f.p99 for f in figures)
    ratio = f"  {rate / yardstick:5.2f} of the yardstick" if yardstick else ""
    print(f"{what:52} {rate:8.0f} messages/s   hub gap max {gap:5.1f} p99 {p99:5.1f} ms{ratio}", flush=True)
    return rate


def main() -> int:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    native = Offload()
    for callers, size in ((1, 1), (40, 1), (4, 25), (1, 200)):
        batch = messages(f"s{callers}-{size}", min(count, 2000 if size == 1 else count))
        figure = store_alone(native, batch, callers, size)
        show(f"store alone, {callers} callers, {size} at a time", [figure])
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as folder:
        sink = FileSink(Path(folder), native.call)
        show(
            "store, publisher, file sink",
            [whole_way(native, sink, messages("f", count), stored_before=False)],
        )
    reason = unavailable_reason()
    if reason is not None:
        print(f"without RabbitMQ: {reason}")
        return 0
    with RabbitMQ() as broker:
        address = RabbitAddress(broker.host, broker.port)
        alone: list[Figure] = []
        live: list[Figure] = []
        backlog: list[Figure] = []
        for step in range(ROUNDS):
            batch = messages(f"a{step}", count)
            alone.append(measured(lambda batch=batch: pika_alone(address, batch)))  # type: ignore[misc]
            for figures, before in ((live, False), (backlog, True)):
                sink_ = RabbitSink(address, exchange="bench.calls", queue="bench.queue")
                figures.append(
                    whole_way(native, sink_, messages(f"w{step}{before}", count), stored_before=before)
                )
            broker.rabbitmqctl("purge_queue", "bench.queue")
        yardstick = show("yardstick: pika alone, window 500, quorum queue", alone)
        show("store, publisher, RabbitMQ", live, yardstick)
        show("backlog of the outbox, publisher, RabbitMQ", backlog, yardstick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
