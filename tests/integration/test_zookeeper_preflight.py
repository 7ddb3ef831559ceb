"""`arimonitor check` against a real ZooKeeper: what it finds, the mend, and that it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gevent import monkey

from daemon.preflight.report import Check
from daemon.settings import Settings
from tests.servers.zookeeper import Ensemble, unavailable_reason

if reason := unavailable_reason():
    pytest.skip(f"no ZooKeeper: {reason}", allow_module_level=True)
if not monkey.is_module_patched("threading"):
    pytest.skip("needs python -m gevent.monkey --module pytest", allow_module_level=True)

from daemon.preflight.zookeeper import zookeeper_checks
from ha.zookeeper import Tree


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[Ensemble]:
    with Ensemble(3) as ensemble:
        yield ensemble


def check(hosts: str, namespace: str, login: tuple[str, str] | None = None, **more: object) -> list[Check]:
    ha: dict[str, object] = {"backend": "zookeeper", "hosts": hosts, "namespace": namespace, **more}
    if login is not None:
        ha.update(username=login[0], password=login[1])
    return list(zookeeper_checks(Settings.model_validate({"ha": ha})))


def made(hosts: str, namespace: str, login: tuple[str, str] = ("", "")) -> None:
    """The namespace as a node makes it."""
    tree = Tree(hosts, namespace, 4.0, username=login[0], password=login[1])
    assert tree.start(20)
    tree.create("/epoch", b"")
    tree.stop()


def names(hosts: str) -> tuple[str, ...]:
    tree = Tree(hosts, "", 4.0)
    assert tree.start(20)
    found = tree.children("/")
    tree.stop()
    return found


def test_a_sound_ensemble_where_nothing_is_yet(zookeeper: Ensemble) -> None:
    before = names(zookeeper.hosts)
    *servers, namespace, ensemble = check(zookeeper.hosts, "/fresh/arimonitor")
    assert [each.ok for each in servers] == [True] * 3
    assert sorted(each.reason for each in servers) == ["3.8.0, follower", "3.8.0, follower", "3.8.0, leader"]
    assert (namespace.ok, namespace.reason) == (True, "will be made below /")
    assert ensemble.reason == "3 voters, session 4 s"
    assert "runs on this host" in ensemble.mend  # all of the tests' servers do
    assert names(zookeeper.hosts) == before


def test_a_namespace_of_this_login(zookeeper: Ensemble) -> None:
    made(zookeeper.hosts, "/mine", ("arimonitor", "right"))
    namespace = check(zookeeper.hosts, "/mine", ("arimonitor", "right"))[-2]
    assert (namespace.ok, namespace.reason, namespace.mend) == (True, "can be read and written", "")


@pytest.mark.parametrize("login", [None, ("arimonitor", "wrong"), ("other", "right")])
def test_another_login_fails_with_the_mend(zookeeper: Ensemble, login: tuple[str, str] | None) -> None:
    space = f"/theirs{login[0] + str(len(login[1])) if login else ''}"
    made(zookeeper.hosts, space, ("arimonitor", "right"))
    namespace = check(zookeeper.hosts, space, login)[-2]
    assert not namespace.ok
    assert "another user or password" in namespace.reason
    assert "ha.username and ha.password" in namespace.mend
    assert "right" not in namespace.reason + namespace.mend


def test_below_what_is_another_ones_nothing_can_be_made(zookeeper: Ensemble) -> None:
    made(zookeeper.hosts, "/closed", ("somebody", "else"))
    namespace = check(zookeeper.hosts, "/closed/arimonitor", ("arimonitor", "right"))[-2]
    assert not namespace.ok
    assert "let this login create below /closed" in namespace.mend


def test_a_namespace_that_is_open_to_everybody_is_an_advice(zookeeper: Ensemble) -> None:
    made(zookeeper.hosts, "/open")
    namespace = check(zookeeper.hosts, "/open", ("arimonitor", "right"))[-2]
    assert namespace.result == "advice"
    assert "everybody may read it" in namespace.mend


def test_a_server_that_is_away_and_a_session_that_is_stretched(zookeeper: Ensemble) -> None:
    away = zookeeper.followers()[0]
    away.stop()
    try:
        found = check(zookeeper.hosts, "/short", session_timeout=1.0)
        failed = [each for each in found if not each.ok]
        assert [(each.where, each.reason) for each in failed] == [(away.address, "Connection refused")]
        assert "start ZooKeeper there" in failed[0].mend
    finally:
        away.start()
    with Ensemble(1, least_session=9000) as alone:
        ensemble = check(alone.hosts, "/arimonitor")[-1]
        assert "one server only" in ensemble.mend
        assert "grants a session of 9 s, not the 4 s" in ensemble.mend


def test_two_voters_are_an_advice_and_without_a_majority_there_is_no_session() -> None:
    with Ensemble(2) as two:
        assert "two voters only" in check(two.hosts, "/arimonitor")[-1].mend
        two.leader().stop()
        found = check(two.hosts, "/arimonitor")
        assert [each.ok for each in found] == [False, False, False]
        assert found[-1].what == "ZooKeeper session"
