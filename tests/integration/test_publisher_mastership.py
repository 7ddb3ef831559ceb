"""A publisher of two nodes: nothing new without mastership, a drain, and a fresh look at each run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import pytest

from daemon.outbox.entry import Entry
from daemon.outbox.filesink import FileSink
from daemon.outbox.publisher import Publisher
from daemon.outbox.rows import key_of
from daemon.outbox.sink import Outcome
from daemon.outbox.store import Outbox
from tests.integration.outbox_parts import offload
from tests.servers.waiting import wait_until
from tests.unit.outbox.make import message


class Slow(FileSink):
    """Confirms only what it is let to."""

    let = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, offload())
        self.kept: list[Outcome] = []

    def open(self) -> None:
        super().open()
        self.kept.clear()

    def publish(self, entries: Sequence[Entry]) -> None:
        super().publish(entries)
        self.kept += super().poll(0)

    def poll(self, timeout: float) -> list[Outcome]:
        if not self.let and timeout > 0:
            super().poll(timeout)
        now, self.kept = self.kept[: self.let], self.kept[self.let :]
        self.let -= len(now)
        return now


class Running:
    """An outbox, a sink and a publisher whose mastership is `valid`."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox(folder / "outbox.sqlite", offload())
        self.outbox.open()
        self.sink = Slow(folder / "messages")
        self.valid = True
        self.told: list[str] = []
        self.folder = folder / "messages"
        self.publisher = Publisher("", self.outbox, self.sink, may=lambda: self.valid, told=self.told.extend)

    def start(self) -> None:
        self.stop = Event()
        self.thread = Thread(target=self.publisher.run, args=(self.stop,))
        self.thread.start()

    def end(self) -> None:
        self.stop.set()
        self.sink.wake()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def store(self, first: int, count: int) -> list[str]:
        messages = [message(str(n), order=str(n)) for n in range(first, first + count)]
        self.outbox.store(messages)
        return [each.id for each in messages]

    def let(self, count: int) -> None:
        self.sink.let += count
        self.sink.wake()

    def published(self) -> list[str]:
        lines = [line for path in sorted(self.folder.glob("*.jsonl")) for line in path.open()]
        return [json.loads(line)["message_id"] for line in lines]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    both = Running(tmp_path)
    both.start()
    try:
        yield both
    finally:
        both.let(10_000)
        both.end()
        both.outbox.close()


def test_without_mastership_nothing_new_goes_out_but_confirms_count(running: Running) -> None:
    first = running.store(0, 5)
    wait_until(lambda: running.published() == first, "they are under way")
    running.valid = False
    running.store(5, 5)
    running.let(5)
    wait_until(lambda: running.told == first, "they are confirmed")
    assert running.outbox.counts() == {"": 5}
    assert running.published() == first
    running.valid = True
    running.let(5)
    wait_until(lambda: running.outbox.counts() == {"": 0}, "it goes on")
    assert len(running.published()) == 10


def test_a_drain_waits_for_what_is_under_way(running: Running) -> None:
    first = running.store(0, 5)
    wait_until(lambda: running.published() == first, "they are under way")
    left: list[int] = []
    drained = Thread(target=lambda: left.append(running.publisher.drain(20.0)))
    drained.start()
    wait_until(lambda: running.publisher._draining, "it drains")
    running.store(5, 5)
    assert running.publisher.drain(0.0) == 5
    running.let(5)
    drained.join(20)
    assert left == [0]
    assert running.published() == running.told == first
    assert running.outbox.counts() == {"": 5}
    # The next mastership: another run of the same publisher.
    running.end()
    running.start()
    running.let(5)
    wait_until(lambda: running.outbox.counts() == {"": 0}, "it publishes again")
    assert len(running.published()) == 10


def test_a_drain_says_what_has_no_confirm(running: Running) -> None:
    running.store(0, 5)
    wait_until(lambda: len(running.published()) == 5, "they are under way")
    running.let(2)
    wait_until(lambda: len(running.told) == 2, "two are confirmed")
    assert running.publisher.drain(0.2) == 3


def test_one_that_does_not_run_is_drained_at_once(running: Running) -> None:
    running.end()
    assert running.publisher.drain(20.0) == 0
    running.start()


def test_what_another_node_published_between_two_runs_is_not_published(running: Running) -> None:
    running.valid = False
    ids = running.store(0, 10)
    wait_until(lambda: running.publisher._read_upto == 0 and running.publisher._connected, "it waits")
    running.valid = True
    wait_until(lambda: len(running.published()) == 10, "they are under way")
    running.end()  # without any confirm
    assert running.outbox.drop([key_of(each) for each in ids[:7]]) == 7
    running.start()
    running.let(3)
    wait_until(lambda: len(running.told) == 3, "the others are confirmed")
    assert sorted(running.told) == sorted(ids[7:])
    assert running.outbox.counts() == {"": 0}
