"""The transport to a real ZooKeeper: its answers, its errors, its watches, and what dead links do to it.

Run as `python -m gevent.monkey --module pytest`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator

import pytest
from gevent import monkey

from tests.servers.relay import Relay
from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble, unavailable_reason

if reason := unavailable_reason():
    pytest.skip(f"no ZooKeeper: {reason}", allow_module_level=True)
if not monkey.is_module_patched("threading"):
    pytest.skip("needs python -m gevent.monkey --module pytest", allow_module_level=True)

from ha.errors import BadVersion, NoAuth, NodeExists, NoNode, NotEmpty, Unreachable
from ha.zookeeper import ANY, IN_FLIGHT, Check, Committed, Create, Delete, Refused, Set, Tree

T = 4.0


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[Ensemble]:
    with Ensemble(3) as ensemble:
        yield ensemble


class Trees:
    """Trees of one test, in a namespace of its own, stopped at its end."""

    def __init__(self, hosts: str, namespace: str) -> None:
        self.hosts = hosts
        self.namespace = namespace
        self._open: list[Tree] = []

    def open(self, *, hosts: str = "", timeout: float = T, login: tuple[str, str] = ("", "")) -> Tree:
        tree = Tree(hosts or self.hosts, self.namespace, timeout, username=login[0], password=login[1])
        self._open.append(tree)
        assert tree.start(20)
        return tree

    def close(self) -> None:
        for tree in self._open:
            tree.stop()


@pytest.fixture
def trees(zookeeper: Ensemble, request: pytest.FixtureRequest) -> Iterator[Trees]:
    made = Trees(zookeeper.hosts, f"/{request.node.name}")
    yield made
    made.close()


def test_nodes_are_made_read_changed_and_taken_away(trees: Trees) -> None:
    tree, other = trees.open(), trees.open()
    with pytest.raises(NoNode):
        tree.create("/req/ab/one", b"1")
    tree.create("/req/ab/one", b"1", makepath=True)
    with pytest.raises(NodeExists):
        other.create("/req/ab/one", b"2")
    data, stat = tree.get("/req/ab/one")
    assert (data, stat.version, stat.ephemeral_owner) == (b"1", 0, 0)
    assert tree.set("/req/ab/one", b"2", 0).version == 1
    with pytest.raises(BadVersion):
        tree.set("/req/ab/one", b"3", 0)
    with pytest.raises(NotEmpty):
        tree.delete("/req/ab", ANY)
    assert tree.children("/req/ab") == ("one",)
    with pytest.raises(BadVersion):
        tree.delete("/req/ab/one", 0)  # 0 is a version, not "any"
    tree.delete("/req/ab/one", 1)
    assert tree.exists("/req/ab/one") is None
    with pytest.raises(NoNode):
        tree.get("/req/ab/one")


def test_a_multi_is_done_whole_or_says_which_part_was_refused(trees: Trees) -> None:
    tree = trees.open()
    tree.create("/a", b"")
    done = tree.multi([Check("/a", 0), Set("/a", b"x", 0), Create("/b", b"y", ephemeral=True)])
    assert isinstance(done, Committed)
    assert [stat and stat.version for stat in done.stats] == [None, 1, None]
    stat = tree.exists("/b")
    assert stat is not None
    assert stat.ephemeral_owner == tree.session_id
    refused = tree.multi([Create("/c"), Check("/a", 0), Delete("/b", 0)])
    assert isinstance(refused, Refused)
    assert refused.index == 1
    assert isinstance(refused.error, BadVersion)
    assert tree.exists("/c") is None
    refused = tree.multi([Check("/a", 1), Create("/b")])
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, NodeExists)


def test_the_end_of_a_session_takes_its_ephemeral_nodes_at_once(trees: Trees) -> None:
    tree, other = trees.open(), trees.open()
    tree.create("/here", b"", ephemeral=True)
    assert other.exists("/here")
    tree.stop()
    began = time.monotonic()
    wait_until(lambda: other.exists("/here") is None, "gone")
    assert time.monotonic() - began < 1.0
    with pytest.raises(Unreachable) as error:
        tree.get("/here")
    assert not error.value.sent


def test_a_watch_tells_everything_below_and_is_set_again_after_a_cut(
    zookeeper: Ensemble, trees: Trees
) -> None:
    tree, other = trees.open(), trees.open()
    seen: queue.Queue[str | None] = queue.Queue()
    tree.watch_tree("/req", seen.put)
    assert seen.get(timeout=10) is None
    other.create("/req/ab/one", b"", makepath=True)
    assert [seen.get(timeout=10) for _ in range(3)] == ["/req", "/req/ab", "/req/ab/one"]
    other.set("/req/ab/one", b"2", 0)
    assert seen.get(timeout=10) == "/req/ab/one"
    other.create("/request", b"")  # begins alike, and is no part of it
    session = tree.session_id
    tree.drop()
    assert seen.get(timeout=10) is None
    other.delete("/req/ab/one", 1)
    assert seen.get(timeout=10) == "/req/ab/one"
    assert tree.session_id == session


def test_state_and_session_are_told(trees: Trees) -> None:
    with Relay(int(trees.hosts.split(",")[0].split(":")[1])) as relay:
        tree = Tree(f"127.0.0.1:{relay.port}", trees.namespace, T)
        states: queue.Queue[bool] = queue.Queue()
        tree.on_state(states.put)
        assert tree.session_id is None
        assert tree.negotiated_timeout is None
        assert tree.start(20)
        assert states.get(timeout=10) is True
        assert tree.negotiated_timeout == T
        relay.cut()
        assert states.get(timeout=10) is False
        assert states.get(timeout=10) is True
        tree.stop()
        assert states.get(timeout=10) is False
        assert not tree.connected


def test_the_timeout_that_the_servers_grant_is_known(trees: Trees) -> None:
    assert trees.open(timeout=0.2).negotiated_timeout == 1.0  # minSessionTimeout of the tests' servers


def test_a_call_on_a_dead_link_ends_in_time_and_another_server_is_tried(
    zookeeper: Ensemble, trees: Trees
) -> None:
    with Relay(zookeeper.servers[0].place.client) as relay:
        tree = trees.open(hosts=f"127.0.0.1:{relay.port}", timeout=10.0)
        tree.create("/x", b"")
        session = tree.session_id
        relay.silence()
        began = time.monotonic()
        with pytest.raises(Unreachable) as error:
            tree.get("/x", timeout=0.5)
        assert error.value.sent
        assert time.monotonic() - began < 2.0
        # Long before kazoo itself would have noticed (6 s), since the connection is broken by us.
        wait_until(lambda: not tree.connected, "given up", 2.0)
        relay.speak()
        wait_until(lambda: tree.connected, "back")
        assert tree.get("/x")[0] == b""
        assert tree.session_id == session


def test_while_it_is_not_connected_calls_fail_at_once(zookeeper: Ensemble, trees: Trees) -> None:
    with Relay(zookeeper.servers[0].place.client) as relay:
        tree = trees.open(hosts=f"127.0.0.1:{relay.port}")
        relay.silence()
        relay.cut()
        relay.silence()
        wait_until(lambda: not tree.connected, "cut")
        began = time.monotonic()
        for _ in range(500):
            with pytest.raises(Unreachable):
                tree.exists("/x")
        assert time.monotonic() - began < 0.5
        relay.speak()


def test_more_calls_than_may_be_under_way_wait_and_all_are_answered(trees: Trees) -> None:
    tree = trees.open(timeout=60.0)  # for so long a call may wait for its turn
    tree.create("/n", b"")
    done: queue.Queue[int] = queue.Queue()

    def ask() -> None:
        for _ in range(20):
            done.put(tree.get("/n")[1].version)

    for _ in range(3 * IN_FLIGHT):
        threading.Thread(target=ask, daemon=True).start()
    assert [done.get(timeout=60) for _ in range(3 * IN_FLIGHT * 20)] == [0] * (3 * IN_FLIGHT * 20)


def test_without_the_password_nothing_can_be_read_or_written(trees: Trees) -> None:
    owner = trees.open(login=("arimonitor", "right"))
    owner.create("/epoch", b"1")
    for login in (("", ""), ("arimonitor", "wrong")):
        stranger = trees.open(login=login)
        for attempt in (
            lambda tree: tree.get("/epoch"),
            lambda tree: tree.set("/epoch", b"2", 0),
            lambda tree: tree.children("/"),
            lambda tree: tree.create("/lease", b"", ephemeral=True),
            lambda tree: tree.delete("/epoch", ANY),
        ):
            with pytest.raises(NoAuth, match="user or password") as error:
                attempt(stranger)
            assert "right" not in str(error.value)
            assert "wrong" not in str(error.value)
        refused = stranger.multi([Set("/epoch", b"2", 0)])
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, NoAuth)
    assert owner.get("/epoch")[0] == b"1"


def test_a_password_is_never_logged(trees: Trees, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tree = trees.open(login=("arimonitor", "sesame"))
    tree.create("/epoch", b"1")
    assert "Sending request" in caplog.text  # the libraries talk
    assert "sesame" not in caplog.text


def test_who_votes_and_who_leads_is_known(zookeeper: Ensemble, trees: Trees) -> None:
    said = trees.open().servers()
    assert said.voters == 3
    assert sorted(server.mode for server in said.servers) == ["follower", "follower", "leader"]
    assert said.leader is not None
    assert said.leader.address == zookeeper.leader().address
    assert said.tick == 0.5
    assert not said.servers[0].too_old


def test_the_servers_restart_and_the_session_goes_on(zookeeper: Ensemble, trees: Trees) -> None:
    tree = trees.open(timeout=10.0)
    tree.create("/mine", b"", ephemeral=True)
    session = tree.session_id
    zookeeper.kill()
    wait_until(lambda: not tree.connected, "gone")
    zookeeper.start()
    began = time.monotonic()
    wait_until(lambda: tree.connected, "back")
    assert time.monotonic() - began < 3.0  # kazoo's own back-off reaches an hour
    stat = wait_until(lambda: _found(tree, "/mine"), "the node")
    assert stat.ephemeral_owner == session == tree.session_id


def _found(tree: Tree, path: str) -> object:
    try:
        return tree.exists(path)
    except Unreachable:
        return None
