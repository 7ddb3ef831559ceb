# ruff: noqa: E501 - a table has a row a line
"""What the ensemble says of itself, and what an operator is told about it."""

from __future__ import annotations

import pytest

from ha.ensemble import Ensemble, Server, parse, split, voters
from ha.problems import advice, sentences

MNTR = """zk_version\t3.8.0-${mvngit.commit.id}, built on 2022-12-18
zk_server_state\tfollower
zk_peer_state\tfollowing - broadcast
"""
SRVR = """Zookeeper version: 3.9.2-abc, built on 2024-02-12 22:16 UTC
Latency min/avg/max: 0/0.4/3
Mode: leader
Node count: 5
"""
THREE = Ensemble(
    (Server("192.0.2.1:2181", "follower", "3.8.0", 0.5), Server("192.0.2.3:2181", "leader", "3.8.0", 0.5)), 3
)


def test_the_answers_of_a_server() -> None:
    assert parse("a:1", MNTR) == Server("a:1", "follower", "3.8.0")
    assert parse("a:1", SRVR) == Server("a:1", "leader", "3.9.2")
    assert parse("a:1", "").problem == "it closes the connection"
    assert parse("a:1", "This ZooKeeper instance is not currently serving requests\n").problem
    assert parse("a:1", "srvr is not executed because it is not in the whitelist.\n").problem
    assert Server("a:1", "leader", "3.4.13").too_old
    assert not Server("a:1", "leader", "3.6.0").too_old
    assert not Server("a:1", "leader", "").too_old


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (b"version=0", 1),
        (b"", 1),
        (b"server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\nversion=0", 2),
        (b"server.1=a:2:3:participant\nserver.2=b:2:3:participant\nserver.3=c:2:3:observer\nversion=0", 2),
        (b"server.1=a:2:3:participant;0.0.0.0:2181\nserver.2=b:2:3\nserver.3=c:2:3:participant", 3),
    ],
)
def test_how_many_vote(data: bytes, number: int) -> None:
    assert voters(data) == number


def test_addresses() -> None:
    assert split("zk1.example.com:2182") == ("zk1.example.com", 2182)
    assert split("zk1.example.com") == ("zk1.example.com", 2181)
    assert split("[2001:db8::1]:2182") == ("2001:db8::1", 2182)
    assert split("[2001:db8::1]") == ("2001:db8::1", 2181)


def test_a_sound_ensemble_is_no_problem() -> None:
    assert sentences(asked=4.0, granted=4.0, ensemble=THREE) == ()
    assert sentences(asked=4.0, granted=None, ensemble=None) == ()


@pytest.mark.parametrize(
    ("words", "ensemble", "granted"),
    [
        ("two voters only", Ensemble(THREE.servers, 2), 4.0),
        ("one server only", Ensemble(THREE.servers, 1), 4.0),
        ("4 voters", Ensemble(THREE.servers, 4), 4.0),
        ("a session of 10 s, not the 4 s", THREE, 10.0),
        ("192.0.2.2:2181 is of no use: Connection refused", Ensemble((*THREE.servers, Server("192.0.2.2:2181", problem="Connection refused")), 3), 4.0),
        ("is 3.4.13: 3.6 or later", Ensemble((Server("192.0.2.1:2181", "leader", "3.4.13"),), 3), 4.0),
    ],
)  # fmt: skip
def test_each_problem_is_a_sentence(words: str, ensemble: Ensemble, granted: float) -> None:
    (sentence,) = sentences(asked=4.0, granted=granted, ensemble=ensemble)
    assert words in sentence


def test_what_hinders_this_node_comes_first() -> None:
    said = sentences(asked=4.0, granted=4.0, ensemble=Ensemble((), 2), trouble="denied", barred="disk full")
    assert said[:2] == ("denied", "this node can't lead: disk full")


def test_a_leader_on_this_host_is_no_problem_but_a_word_of_advice() -> None:
    (sentence,) = advice(THREE, leader_here=True)
    assert "192.0.2.3:2181 runs on this host" in sentence
    assert advice(THREE, leader_here=False) == ()
    assert advice(Ensemble(THREE.servers, 1), leader_here=True) == (), "there is no other"
    assert advice(None, leader_here=True) == ()
