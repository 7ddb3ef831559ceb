"""The journal over a real ZooKeeper: what the new master sees, what the old one may not write.

Run as `python -m gevent.monkey --module pytest`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent import monkey

from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble, unavailable_reason

if reason := unavailable_reason():
    pytest.skip(f"no ZooKeeper: {reason}", allow_module_level=True)
if not monkey.is_module_patched("threading"):
    pytest.skip("needs python -m gevent.monkey --module pytest", allow_module_level=True)

from daemon.errors import TransientError
from daemon.jobs.records import Deposed
from daemon.standby.board import BoardMarks
from ha.board import Board
from ha.lease import token
from ha.paths import EPOCH
from ha.zookeeper import ANY, Tree
from tests.integration.outbox_parts import Clock
from tests.integration.standby_parts import Broker, Node, fact


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[Ensemble]:
    with Ensemble(3) as ensemble:
        yield ensemble


class Site:
    """Two nodes, each with a session of its own to the ensemble. `elect` bumps the epoch."""

    def __init__(self, zookeeper: Ensemble, name: str, folder: Path) -> None:
        self.trees = [Tree(zookeeper.hosts, f"/tests/{name}", 4.0) for _ in range(2)]
        for tree in self.trees:
            assert tree.start(20)
        self.trees[0].create(EPOCH, b"", makepath=True)
        self.epoch = token(1, 0)
        self.broker = Broker()
        self.nodes: list[Node] = []
        for number, tree in enumerate(self.trees):
            board = Board(tree, "AB"[number], lambda: "one")
            marks = BoardMarks(board, lambda: self.epoch)
            self.nodes.append(Node("AB"[number], folder, marks, self.broker, ["BA"[number]], Clock()))

    def elect(self, node: Node) -> str:
        self.trees[0].set(EPOCH, b"", ANY)
        self.epoch += 1
        return node.master(self.epoch)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        for tree in self.trees:
            tree.stop()


@pytest.fixture
def site(zookeeper: Ensemble, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    made = Site(zookeeper, request.node.name, tmp_path)
    yield made
    made.close()


def test_a_planned_and_an_unplanned_change(site: Site) -> None:
    a, b = site.nodes
    site.elect(a)
    for node in (a, b):
        node.outbox.store([fact(number) for number in range(2000)])
    for _ in range(9):
        a.publish(150)
    began = time.monotonic()
    a.retire()
    sentence = site.elect(b)
    took = time.monotonic() - began
    assert sentence.startswith("A has ended in order")
    assert "1350 more messages were published by it, 650 go out now" in sentence
    b.publish(300)
    b.sender.send(50, site.epoch)
    b.sender.hear(20)
    a.follow(1.0)
    assert len(a.waiting()) == 350
    site.elect(a)  # B is frozen
    with pytest.raises(Deposed):
        b.succession.writer.flush()
    a.publish()
    assert set(site.broker.ids) == {fact(number).id for number in range(2000)}
    assert len(site.broker.repeated) == 50
    b.follow(2.0)
    assert b.waiting() == set()
    print(f"planned, without a load: {took * 1000:.0f} ms")


def test_questions_and_answers(site: Site) -> None:
    a, b = site.nodes
    site.elect(a)
    a.publish()
    only = [fact(number) for number in range(300)]
    b.outbox.store(only)
    for second in range(30):
        b.follow(float(second))
        a.publish()
    assert site.broker.ids == [message.id for message in only]
    assert b.waiting() == set()


def test_what_a_write_costs(site: Site) -> None:
    a, b = site.nodes
    site.elect(a)
    times = []
    for number in range(100):
        a.outbox.store([fact(number)])
        a.sender.send(1, site.epoch)
        a.sender.hear(1)
        began = time.monotonic()
        a.succession.writer.flush()
        times.append(time.monotonic() - began)
    times.sort()
    began = time.monotonic()
    b.follow(1.0)
    read = time.monotonic() - began
    print(f"write p50 {times[50] * 1e3:.1f} ms, p95 {times[95] * 1e3:.1f} ms; read {read * 1e3:.1f} ms")


def test_no_quorum_is_transient(site: Site, zookeeper: Ensemble) -> None:
    a, b = site.nodes
    site.elect(a)
    a.outbox.store([fact(1)])
    b.outbox.store([fact(1)])
    for server in zookeeper.servers[:2]:
        server.kill()
    try:
        a.sender.send(1, site.epoch)
        a.sender.hear(1)
        with pytest.raises(TransientError):
            a.succession.writer.flush()
        # Reading may still answer, from what that server last knew; a takeover writes first, which can't.
        with pytest.raises(TransientError):
            b.board.write_mark("taking-over", "B", b"", site.epoch)
    finally:
        for server in zookeeper.servers[:2]:
            server.start()

    def told() -> bool:
        a.succession.writer.step(answer=True)
        return a.succession.writer.status()["waiting"] == 0

    wait_until(told, "it is told when ZooKeeper is back")
    wait_until(lambda: _read(b), "and read")
    assert b.waiting() == set()


def _read(node: Node) -> bool:
    try:
        node.follow(2.0)
    except TransientError:
        return False
    return True
