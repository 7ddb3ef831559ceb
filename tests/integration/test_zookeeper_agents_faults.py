"""Elections of real processes where a process freezes, a link is cut or the ensemble itself fails.

Times are printed (`-rA` shows them): whoever lost the lease stops before another begins, T = 4 s.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ha.deadman import EXIT_STATUS
from ha.lease import token
from tests.integration.ha_parts import SLACK, Nodes, T, assert_apart, takeover
from tests.integration.ha_parts import nodes as nodes
from tests.integration.ha_parts import zookeeper as zookeeper
from tests.servers.relay import Relay
from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble, unavailable_reason

if reason := unavailable_reason():
    pytest.skip(f"no ZooKeeper: {reason}", allow_module_level=True)


def test_a_master_that_was_frozen_is_not_master_when_it_wakes(nodes: Nodes) -> None:
    master, slave = nodes.pair()
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    mark = master.count()
    master.freeze()
    assert takeover(master, slave, began, "freeze") < T + SLACK
    time.sleep(2 * T)  # what is tested: that it sleeps much longer than the lease
    woke = time.clock_gettime(time.CLOCK_BOOTTIME)
    master.thaw()
    lost = master.next("lost", after=mark)
    invalid = master.next("invalid", after=mark)
    assert invalid["at"] - woke < 1.0
    assert lost["at"] - woke < 1.0
    wait_until(lambda: master.view()["master"] == "AUDIO2", "it follows", every=0.1)
    wait_until(lambda: master.view()["epoch"] == token(1, 1), "it knows the epoch", every=0.1)
    # From the moment it woke it never held itself for master again.
    assert len(master.leases()) == 1


def test_a_short_freeze_changes_nothing(nodes: Nodes) -> None:
    master, slave = nodes.pair()
    master.freeze()
    time.sleep(1.5)  # what is tested
    master.thaw()
    time.sleep(1.5)
    assert master.view()["epoch"] == token(1, 0)
    assert not slave.leases()


def test_a_master_whose_hub_hangs_is_ended_and_followed(nodes: Nodes) -> None:
    master, slave = nodes.pair()
    master.tell("hang")
    began = master.next("hangs")["at"]
    assert master.process.wait(30) == EXIT_STATUS
    assert "the hub is stuck" in master.next("emergency")["text"]
    assert slave.next("valid")["at"] - began < 2 * T + SLACK


@pytest.mark.parametrize("traffic", [False, True])
def test_a_master_whose_link_is_cut_stops_before_another_begins(
    nodes: Nodes, zookeeper: Ensemble, traffic: bool
) -> None:
    """Whether its other session is busy or not: traffic hides a dead link from kazoo."""
    relays = [Relay(server.place.client) for server in zookeeper.servers]
    try:
        for relay in relays:
            relay.__enter__()
        hosts = ",".join(f"127.0.0.1:{relay.port}" for relay in relays)
        master = nodes.start("AUDIO", hosts=hosts)
        master.next("valid")
        slave = nodes.start("AUDIO2")
        if traffic:
            master.tell("busy on")
        wait_until(lambda: len(master.view()["here"]) == 2, "both are seen", every=0.1)
        cut = time.clock_gettime(time.CLOCK_BOOTTIME)
        for relay in relays:
            relay.silence()
        assert takeover(master, slave, cut, "link cut") < T + SLACK
        stopped = master.next("invalid")["at"]
        print(f"the old master had stopped {slave.next('valid')['at'] - stopped:.2f} s before")
        assert stopped - cut < T - 1.0 + 0.2
        for relay in relays:
            relay.cut()  # and new connections pass again
        wait_until(lambda: master.view()["master"] == "AUDIO2", "it follows", every=0.1)
        assert slave.view()["epoch"] == token(1, 1)
        assert_apart(nodes.all)
    finally:
        for relay in relays:
            relay.__exit__()


def test_one_black_holed_server_costs_neither_the_lease_nor_the_session(
    nodes: Nodes, zookeeper: Ensemble
) -> None:
    with Relay(zookeeper.servers[0].place.client) as relay:
        others = [server.address for server in zookeeper.servers[1:]]
        master = nodes.start("AUDIO", hosts=",".join([f"127.0.0.1:{relay.port}", *others]))
        master.next("valid")
        slave = nodes.start("AUDIO2")
        for _ in range(3):
            relay.silence()
            time.sleep(T / 2)  # what is tested
            relay.speak()
            time.sleep(0.2)
        assert not slave.leases()
        assert master.view()["epoch"] == token(1, 0)


def test_an_ensemble_that_was_away_costs_only_its_outage(nodes: Nodes, zookeeper: Ensemble) -> None:
    """The sessions outlive it; who had stopped by its clock leads again under a new epoch."""
    master, slave = nodes.pair()
    mark = master.count()
    zookeeper.kill()
    down = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert master.next("invalid", after=mark)["at"] - down < 1.0  # suspended at once
    assert master.next("lost", after=mark)["reason"] == "the lease was not renewed in time"
    zookeeper.start()
    back = time.clock_gettime(time.CLOCK_BOOTTIME)
    won = master.next("won", after=mark)
    print(f"ensemble away for {back - down:.1f} s: master again {won['at'] - back:.2f} s after it was back")
    assert won["at"] - back < 3.0
    assert won["epoch"] == token(1, 1)
    assert not slave.leases()
    wait_until(lambda: slave.view()["master"] == "AUDIO", "it follows", every=0.1)


def test_a_wiped_ensemble_is_refused_until_it_is_adopted(nodes: Nodes, zookeeper: Ensemble) -> None:
    master, slave = nodes.pair()
    slave.ask("switchover AUDIO2")
    seen = slave.next("won")["epoch"]
    zookeeper.wipe()
    for node in (master, slave):
        wait_until(lambda n=node: "no epoch, and this node has seen" in n.log_text(), "refused")
    assert slave.next("lost")
    mark = slave.count()
    # Its other session is back in its own time.
    wait_until(lambda: "accepted" in master.ask("adopt")["text"], "adopted", every=0.2)
    wait_until(lambda: any(n.view()["role"] == "master" for n in (master, slave)), "a master", every=0.1)
    epoch = max(node.view()["epoch"] for node in (master, slave))
    assert epoch > token(2, 1)
    assert epoch & 0xFFFFFFFF > seen & 0xFFFFFFFF  # so that no old fence fits by chance
    assert "nothing to adopt" in master.ask("adopt")["text"]
    assert_apart(nodes.all)
    assert slave.count() >= mark


def test_a_short_session_that_the_servers_stretch_is_said(nodes: Nodes) -> None:
    node = nodes.start("AUDIO", timeout=0.5)
    node.next("valid")
    assert any("grants a session of 1 s, not the 0.5 s" in said for said in node.view()["problems"])


def test_a_master_on_a_server_that_is_cut_from_the_others_stops_in_time(tmp_path: Path) -> None:
    """Such a server answers plain reads for syncLimit x tickTime more: they would renew what has run out."""
    with Ensemble(3, relayed=True, sync_limit=20) as own:  # the 10 s of ZooKeeper's own zoo.cfg
        made = Nodes(tmp_path, own.hosts, "/arimonitor")
        try:
            cut_off = own.followers()[0]
            rest = ",".join(server.address for server in own.servers if server is not cut_off)
            master = made.start("AUDIO", hosts=cut_off.address)
            master.next("valid")
            slave = made.start("AUDIO2", hosts=rest)
            wait_until(lambda: len(master.view()["here"]) == 2, "both are seen", every=0.1)
            cut = time.clock_gettime(time.CLOCK_BOOTTIME)
            own.isolate(cut_off)
            assert takeover(master, slave, cut, "server cut from the others") < T + SLACK
            stopped = master.next("invalid")["at"]
            print(f"the old master had stopped {slave.next('valid')['at'] - stopped:.2f} s before")
            own.heal(cut_off)
            wait_until(lambda: master.view()["master"] == "AUDIO2", "it follows", every=0.1)
            assert_apart(made.all)
        finally:
            made.close()


def test_the_loss_of_the_server_that_leads_is_survived(nodes: Nodes, zookeeper: Ensemble) -> None:
    master, slave = nodes.pair()
    leader = zookeeper.leader()
    leader.freeze()
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    # With syncLimit x tick for the followers to notice, the sessions live on: nobody else becomes master.
    wait_until(
        lambda: any(s.mode() == "leader" for s in zookeeper.servers if s is not leader), "another leads"
    )
    wait_until(lambda: master.view()["role"] == "master" and master.view()["left"], "master", every=0.1)
    lasted = time.clock_gettime(time.CLOCK_BOOTTIME) - began
    print(f"ZooKeeper's leader frozen: master again after {lasted:.1f} s")
    leader.thaw()
    assert not slave.leases()


def test_a_host_with_the_leading_server_is_lost(nodes: Nodes, zookeeper: Ensemble) -> None:
    master, slave = nodes.pair()
    leader = zookeeper.leader()
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    leader.freeze()
    master.freeze()
    assert takeover(master, slave, began, "host with ZooKeeper's leader") < 8.0 + SLACK
    leader.thaw()
    master.thaw()
    wait_until(lambda: master.view()["master"] == "AUDIO2", "it follows", every=0.1)
    assert len(master.leases()) == 1
