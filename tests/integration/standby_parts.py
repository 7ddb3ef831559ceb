"""Two nodes with real outboxes, a broker and a board in memory, all taking their steps by hand."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import TransientError
from daemon.jobs.records import Deposed
from daemon.outbox.entry import Entry
from daemon.outbox.message import Message
from daemon.outbox.store import Outbox
from daemon.standby.succession import Succession
from tests.integration.outbox_parts import Clock


class Board:
    """Marks in memory: one order for all, fenced. `away`: nobody reaches it; `deaf`: it does not answer."""

    def __init__(self) -> None:
        self.data: dict[tuple[str, str], bytes] = {}
        self.epoch = 0
        self.away = self.deaf = False
        self.writes = self.reads = 0

    def read_mark(self, kind: str, name: str, /) -> bytes | None:
        self.reads += 1
        if self.away:
            raise TransientError("the board is away")
        return self.data.get((kind, name))

    def write_mark(self, kind: str, name: str, data: bytes, epoch: int | None, /) -> None:
        assert len(data) < 300_000
        if self.away:
            raise TransientError("the board is away")
        if epoch is not None and epoch < self.epoch:
            raise Deposed(f"epoch {epoch}, but {self.epoch} has begun")
        self.writes += 1
        self.data[kind, name] = data
        if self.deaf:
            raise TransientError("no answer")


class Away(Board):
    """The same board as one node sees it: it may be cut off alone."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.cut = False

    def read_mark(self, kind: str, name: str, /) -> bytes | None:
        self._check()
        return self.board.read_mark(kind, name)

    def write_mark(self, kind: str, name: str, data: bytes, epoch: int | None, /) -> None:
        self._check()
        self.board.write_mark(kind, name, data, epoch)

    def _check(self) -> None:
        if self.cut:
            raise TransientError("cut off from the board")


def fact(number: int, *, recovered: bool = False, kind: str = "dtmf", broker: str = "") -> Message:
    """The message of a fact: the same one whoever makes it. Ten facts are of one call."""
    body = {"operation": {"type": kind, "recovered": recovered}, "data": {"number": number}}
    return Message(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{number}")),
        type=kind,
        order=f"voip3/{number // 10}",
        broker=broker,
        routing_key=f"call.{kind}.101.voip3",
        headers={"server": "voip3", "client": "101", "node": "?"},
        timestamp=1_761_562_800,
        body=json.dumps(body).encode(),
    )


@dataclass
class Broker:
    """Takes everything; `got` in the order in which it came, with the epoch that sent it."""

    got: list[tuple[str, int]] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [each for each, _ in self.got]

    @property
    def repeated(self) -> list[str]:
        return [each for number, each in enumerate(self.ids) if each in self.ids[:number]]


class Sender:
    """What a publisher does, in steps: `send` puts messages under way, `hear` gets their confirms."""

    def __init__(self, outbox: Outbox, broker: Broker, told: Callable[[Collection[str]], None]) -> None:
        self._outbox, self._broker, self._told = outbox, broker, told
        self.under_way: dict[int, Entry] = {}
        self.draining = False

    def send(self, count: int, epoch: int) -> None:
        if self.draining:
            return
        waiting = [e for e in self._outbox.pending("", 0, 5000) if e.seq not in self.under_way]
        for entry in waiting[:count]:
            self.under_way[entry.seq] = entry
            self._broker.got.append((entry.message.id, epoch))

    def hear(self, count: int) -> None:
        entries = [self.under_way.pop(seq) for seq in list(self.under_way)[:count]]
        if entries:
            self._outbox.confirm("", [entry.seq for entry in entries])
            self._told([entry.message.id for entry in entries])

    def drain(self, seconds: float) -> int:
        self.draining = True
        if seconds > 0:
            self.hear(len(self.under_way))
        return len(self.under_way)


class Node:
    """One daemon's outbox and succession. `crash` ends it as kill -9 does, `start` begins another process."""

    def __init__(
        self, name: str, folder: Path, board: Board, broker: Broker, others: Collection[str], clock: Clock
    ) -> None:
        self.name, self.folder, self.broker, self.clock = name, folder, broker, clock
        self.board = Away(board)
        self.others = others
        self.alive = False
        self.succession_of: Callable[..., Succession] = Succession
        self.start()

    def start(self) -> None:
        self.outbox = Outbox(self.folder / self.name / "outbox.sqlite", _here, now=self.clock)
        self.outbox.open()
        self.succession = self.succession_of(self.name, self.outbox, self.board, lambda: self.others)
        self.sender = Sender(self.outbox, self.broker, self.succession.writer.published)
        self.epoch = 0
        self.alive = True

    def crash(self) -> None:
        # What a dying process leaves: its locks go, nothing more is written.
        self.outbox._directory.release()
        self.outbox._database.close()
        self.alive = False

    def master(self, epoch: int) -> str:
        self.board.board.epoch = self.epoch = epoch
        self.sender.under_way.clear()
        self.sender.draining = False
        return self.succession.take_over(epoch, 0.0)

    def retire(self) -> str:
        sentence = self.succession.hand_over([self.sender], 1.0)
        self.epoch = 0
        return sentence

    def publish(self, count: int = 1000) -> None:
        """As master: send, hear, tell, answer."""
        self.sender.send(count, self.epoch)
        self.sender.hear(count)
        self.succession.writer.step(answer=True)

    def follow(self, now: float) -> None:
        """As standby: one round of the pruner."""
        self.succession.pruner.step(now)

    def waiting(self) -> set[str]:
        return {entry.message.id for entry in self.outbox.pending("", 0, 5000)}

    def close(self) -> None:
        if self.alive:
            self.outbox.close()


def _here(function: Callable[..., Any], *data: object) -> Any:
    return function(*data)


class Pair:
    """A and B, A is master. `now` is the monotonic clock of both; their wall clocks are far apart."""

    def __init__(self, folder: Path) -> None:
        self.board, self.broker = Board(), Broker()
        self.now = 1000.0
        self.a = Node("A", folder, self.board, self.broker, ["B"], Clock(1_700_000_000.0))
        self.b = Node("B", folder, self.board, self.broker, ["A"], Clock(1_700_003_600.0))
        self.made: set[str] = set()
        self.stored: dict[str, set[str]] = {"A": set(), "B": set()}
        self.next = 0
        self.epoch = 1
        self.a.master(1)

    def happen(self, count: int, *nodes: Node, recovered: bool = False, kind: str = "dtmf") -> list[Message]:
        """So many facts, seen by these nodes (none named: both) at once."""
        messages = [fact(self.next + n, recovered=recovered, kind=kind) for n in range(count)]
        self.next += count
        for node in nodes or (self.a, self.b):
            self.see(node, messages)
        return messages

    def see(self, node: Node, messages: Sequence[Message]) -> None:
        """This node makes and stores these."""
        node.outbox.store(messages)
        ids = {message.id for message in messages}
        self.made |= ids
        self.stored[node.name] |= ids

    def pass_time(self, standby: Node, seconds: float, master: Node | None = None) -> None:
        """Second by second: the standby follows and the master publishes and answers."""
        for _ in range(round(seconds)):
            self.now += 1.0
            standby.follow(self.now)
            if master is not None:
                master.publish()

    def switch(self, old: Node, new: Node) -> None:
        """A planned switchover."""
        old.retire()
        self.take_over(new)

    def take_over(self, new: Node) -> str:
        self.epoch += 1
        return new.master(self.epoch)

    def close(self) -> None:
        self.a.close()
        self.b.close()

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Pair(tmp_path) as both:
        yield both
