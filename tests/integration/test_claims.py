"""Claims in a real ZooKeeper: compare-and-set, the fence of the epoch, answers that are lost, the copy.

Run as `python -m gevent.monkey --module pytest`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gevent import monkey

from tests.servers.relay import Relay
from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble, unavailable_reason

if reason := unavailable_reason():
    pytest.skip(f"no ZooKeeper: {reason}", allow_module_level=True)
if not monkey.is_module_patched("threading"):
    pytest.skip("needs python -m gevent.monkey --module pytest", allow_module_level=True)

from ha.claims import Claims, Stale
from ha.errors import Deposed, Unreachable
from ha.operations import ANY
from ha.paths import EPOCH
from ha.zookeeper import Tree

EPOCH_1 = (1 << 32) | 1


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[Ensemble]:
    with Ensemble(1) as ensemble:
        yield ensemble


class Clients:
    """Claims of one test, in a namespace of its own; epoch 1 serves."""

    def __init__(self, hosts: str, namespace: str) -> None:
        self.hosts = hosts
        self.namespace = namespace
        self._open: list[Tree] = []
        self.tree = self.connected()
        self.tree.create(EPOCH, b"0")
        self.tree.set(EPOCH, b"1", 0)

    def connected(self, hosts: str = "", timeout: float = 4.0) -> Tree:
        tree = Tree(hosts or self.hosts, self.namespace, timeout)
        self._open.append(tree)
        assert tree.start(20)
        return tree

    def claims(self, hosts: str = "", timeout: float = 4.0) -> Claims:
        return Claims(self.connected(hosts, timeout), "/req")

    def close(self) -> None:
        for tree in self._open:
            tree.stop()


@pytest.fixture
def clients(zookeeper: Ensemble, request: pytest.FixtureRequest) -> Iterator[Clients]:
    made = Clients(zookeeper.hosts, f"/tests/{request.node.name}")
    yield made
    made.close()


@contextmanager
def running(claims: Claims) -> Iterator[None]:
    """Its copy is kept."""
    claims.watch()
    stop = threading.Event()
    thread = threading.Thread(target=claims.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: claims.loaded, "the copy is whole")
        yield
    finally:
        stop.set()
        thread.join(20)


def test_made_once_changed_by_version_taken_away(clients: Clients) -> None:
    one, two = clients.claims(), clients.claims()
    assert one.create("a", b"1")
    assert not two.create("a", b"2")
    assert one.change("a", b"3", 0) == 1
    with pytest.raises(Stale):
        two.change("a", b"4", 0)
    with pytest.raises(Stale):
        two.change("never", b"4", 0)
    found = two.read("a")
    assert found is not None
    assert (found.data, found.version) == (b"3", 1)
    with pytest.raises(Stale):
        two.delete("a", 0)
    two.delete("a", 1)
    two.delete("a", 1)
    assert one.read("a") is None


def test_an_epoch_that_is_not_the_last_makes_changes_and_takes_away_nothing(clients: Clients) -> None:
    claims = clients.claims()
    assert claims.create("a", b"1", EPOCH_1)
    assert not claims.create("a", b"2", EPOCH_1)
    assert claims.change("a", b"2", 0, EPOCH_1) == 1
    clients.tree.set(EPOCH, b"2", 1)
    for stale in (
        lambda: claims.create("b", b"1", EPOCH_1),
        lambda: claims.change("a", b"3", 1, EPOCH_1),
        lambda: claims.delete("a", 1, EPOCH_1),
    ):
        with pytest.raises(Deposed):
            stale()
    assert claims.read("b") is None
    assert claims.change("a", b"3", 1) == 2, "its owner goes on"
    assert claims.create("b", b"1", EPOCH_1 + 1)


def test_without_an_epoch_nothing_that_is_fenced(clients: Clients) -> None:
    clients.tree.delete(EPOCH, ANY)
    with pytest.raises(Deposed):
        clients.claims().create("a", b"1", EPOCH_1)


def test_something_is_taken_away_beside_it(clients: Clients) -> None:
    claims, tries = clients.claims(), Claims(clients.tree, "/mails")
    tries.create("m", b"1")
    assert claims.create("a", b"1", EPOCH_1, beside=[tries.deletion("m")])
    assert tries.read("m") is None
    assert claims.create("b", b"1", EPOCH_1, beside=[tries.deletion("m")]), "it was away already"


def test_of_two_one_wins_each(clients: Clients) -> None:
    one, two = clients.claims(), clients.claims()
    for number in range(50):
        one.create(str(number), b"")
    won: list[int] = []

    def race(claims: Claims, name: bytes) -> None:
        for number in range(50):
            try:
                claims.change(str(number), name, 0)
                won.append(number)
            except Stale:
                continue

    racers = [threading.Thread(target=race, args=pair) for pair in ((one, b"one"), (two, b"two"))]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert sorted(won) == list(range(50))


def test_an_answer_that_is_lost_is_looked_up(zookeeper: Ensemble, clients: Clients) -> None:
    """The connection breaks while the answer is on its way: it was done, and that is found out."""
    port = zookeeper.servers[0].place.client
    with Relay(port) as relay:
        claims = clients.claims(f"127.0.0.1:{relay.port}")
        claims.create("a", b"0")  # the folders are there
        claims.delete("a", 0)
        relay.cut_in = 1
        assert claims.create("a", b"1", EPOCH_1)
        for version, fence in ((0, None), (1, EPOCH_1)):
            relay.cut_in = 1
            assert claims.change("a", b"x%d" % version, version, fence) == version + 1
        relay.cut_in = 1
        claims.delete("a", 2)
        assert claims.read("a") is None


def test_what_did_not_arrive_is_not_taken_for_done(zookeeper: Ensemble, clients: Clients) -> None:
    """Cut before the request has passed: the change was not made, and is said not to be."""
    port = zookeeper.servers[0].place.client
    with Relay(port) as relay:
        claims = clients.claims(f"127.0.0.1:{relay.port}", timeout=2.0)
        claims.create("a", b"1")
        relay.silence()
        cut = threading.Timer(0.5, relay.cut)
        cut.start()
        with pytest.raises(Unreachable):
            claims.change("a", b"2", 0)
        cut.join()
        found = clients.claims().read("a")
        assert found is not None
        assert found.data == b"1"
        wait_until(lambda: claims.connected, "it is connected again")
        assert claims.change("a", b"2", 0) == 1


def test_somebody_else_changed_it_meanwhile(zookeeper: Ensemble, clients: Clients) -> None:
    other = clients.claims()
    with Relay(zookeeper.servers[0].place.client) as relay:
        claims = clients.claims(f"127.0.0.1:{relay.port}", timeout=2.0)
        claims.create("a", b"1")
        relay.silence()
        result: list[object] = []

        def change() -> None:
            try:
                result.append(claims.change("a", b"2", 0))
            except Stale as error:
                result.append(error)

        thread = threading.Thread(target=change)
        thread.start()
        assert other.change("a", b"3", 0) == 1
        relay.cut()
        thread.join(30)
    assert [type(each) for each in result] == [Stale]


def test_without_a_connection_at_once(zookeeper: Ensemble, clients: Clients) -> None:
    claims = clients.claims()
    clients.close()
    for asked in (
        lambda: claims.create("a", b""),
        lambda: claims.change("a", b"", 0),
        lambda: claims.read("a"),
        lambda: claims.delete("a", 0),
    ):
        with pytest.raises(Unreachable) as error:
            asked()
        assert not error.value.sent


def test_the_copy_follows(zookeeper: Ensemble, clients: Clients) -> None:
    writer = clients.claims()
    writer.create("before", b"1")
    with Relay(zookeeper.servers[0].place.client) as relay:
        claims = clients.claims(f"127.0.0.1:{relay.port}")
        told: list[tuple[str, bytes | None, bool]] = []
        claims.on_change(lambda key, claim, own: told.append((key, claim and claim.data, own)))
        with running(claims):
            assert {key: each.data for key, each in claims.cached().items()} == {"before": b"1"}
            writer.create("a", b"1")
            writer.change("a", b"2", 0)
            wait_until(lambda: (found := claims.cached().get("a")) and found.data == b"2", "it is seen")
            claims.change("a", b"3", 1)
            assert told[-1] == ("a", b"3", True)
            relay.silence()
            relay.cut()
            writer.change("a", b"4", 2)
            writer.delete("before", 0)
            wait_until(
                lambda: {key: each.data for key, each in claims.cached().items()} == {"a": b"4"},
                "what happened meanwhile is seen after the cut",
            )
            writer.delete("a", 3)
            writer.create("a", b"again")
            wait_until(lambda: (found := claims.cached().get("a")) and found.data == b"again", "made anew")
        assert ("a", b"2", False) in told


def test_what_lasts_is_read_last_and_is_read(zookeeper: Ensemble, clients: Clients) -> None:
    writer = clients.claims()
    for number in range(250):
        writer.create(f"old{number}", b"done")
    writer.create("open", b"1")
    with Relay(zookeeper.servers[0].place.client) as relay:
        tree = clients.connected(f"127.0.0.1:{relay.port}")
        claims = Claims(tree, "/req", lasting=lambda data: data == b"done")
        seen: list[str] = []
        with running(claims):
            claims.on_change(lambda key, _claim, _own: seen.append(key))
            relay.silence()
            relay.cut()
            for key in ("old1", "old249", "open"):
                writer.change(key, b"again", 0)
            wait_until(lambda: len(seen) >= 3, "what happened meanwhile is seen")
    assert seen[0] == "open"
    assert sorted(seen) == ["old1", "old249", "open"]


def test_many_are_read_at_once(clients: Clients) -> None:
    writer = clients.claims()
    for number in range(300):
        writer.create(f"r{number}", b"x" * 100)
    claims = clients.claims()
    with running(claims):
        assert len(claims.cached()) == 300
