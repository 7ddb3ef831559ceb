"""The JSON of `status` is a contract; health is a table of what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from daemon.snapshot import (
    AsteriskStatus,
    BrokerStatus,
    HaStatus,
    HubStatus,
    MailStatus,
    Problem,
    QueueStatus,
    ServiceStatus,
    Snapshot,
    health,
)

WELL = Snapshot(
    node="AUDIO2",
    role="master",
    epoch=7,
    version="1.2.3",
    uptime_s=61.5,
    asterisk=(AsteriskStatus("voip3", True, events=1200, active_calls=3, last_event_s=0.2),),
    brokers=(BrokerStatus("main", True, outbox=0, oldest_s=0.0, backend="rabbitmq", confirmed=40),),
    ha=HaStatus("file", True, "AUDIO2"),
    services=(ServiceStatus("ari-voip3", "running"),),
    hub=HubStatus(0.1, 2.0, 9.5),
    log="/var/log/arimonitor/ARI-1-2025-10-27.LOG",
)


def test_the_json_of_status() -> None:
    assert json.loads(json.dumps(WELL.as_dict())) == {
        "node": "AUDIO2",
        "role": "master",
        "epoch": 7,
        "version": "1.2.3",
        "uptime_s": 61.5,
        "asterisk": [
            {
                "name": "voip3",
                "connected": True,
                "events": 1200,
                "active_calls": 3,
                "url": "",
                "version": None,
                "last_event_s": 0.2,
                "backlog": 0,
                "gaps": 0,
                "error": None,
            }
        ],
        "brokers": [
            {
                "name": "main",
                "connected": True,
                "outbox": 0,
                "oldest_s": 0.0,
                "backend": "rabbitmq",
                "confirmed": 40,
                "stuck": 0,
                "error": None,
                "standby": False,
            }
        ],
        "mail": None,
        "queue": None,
        "ha": {
            "backend": "file",
            "connected": True,
            "master": "AUDIO2",
            "mode": "auto",
            "reason": "",
            "since": None,
            "lease_left_s": None,
            "nodes": [],
        },
        "lab": False,
        "shadow": False,
        "services": [{"name": "ari-voip3", "state": "running", "restarts": 0, "error": None}],
        "hub": {"p50_ms": 0.1, "p99_ms": 2.0, "max_ms": 9.5},
        "log": "/var/log/arimonitor/ARI-1-2025-10-27.LOG",
        "notices": [],
        "advice": [],
    }


def test_a_standby_keeps_what_the_master_publishes_for_a_while() -> None:
    """It is connected to no broker, and that is no trouble; what is never told to be published is."""
    waiting = replace(WELL.brokers[0], connected=False, standby=True, outbox=12, oldest_s=900.0)
    assert health(replace(WELL, role="slave", brokers=(waiting,))) == ()
    old = replace(waiting, oldest_s=901.0)
    assert [str(p.message) for p in health(replace(WELL, role="slave", brokers=(old,)))] == [
        "12 messages wait here, the oldest for 901 s: it is not known what the master has published"
    ]


def test_mail_and_queue_have_the_keys_of_the_contract() -> None:
    snapshot = replace(WELL, mail=MailStatus(True, None), queue=QueueStatus(1, 2, 3, 4))
    assert snapshot.as_dict()["mail"] == {"reading": True, "last_check": None}
    assert snapshot.as_dict()["queue"] == {"pending": 1, "processing": 2, "completed": 3, "failed": 4}


def test_lists_are_lists_also_before_json() -> None:
    assert isinstance(WELL.as_dict()["asterisk"], list)


def test_all_is_well() -> None:
    assert health(WELL) == ()
    assert health(Snapshot("a", "master", 1, "1", 0.0)) == ()


BROKER = WELL.brokers[0]


@pytest.mark.parametrize(
    ("snapshot", "problem"),
    [
        (
            replace(WELL, asterisk=(AsteriskStatus("voip3", False, 0, 0, error="connection refused"),)),
            Problem("asterisk voip3", "is not connected: connection refused"),
        ),
        (
            replace(WELL, brokers=(replace(BROKER, connected=False),)),
            Problem("broker main", "is not connected"),
        ),
        (
            replace(WELL, brokers=(replace(BROKER, outbox=9, oldest_s=61.0),)),
            Problem("broker main", "9 messages wait, the oldest for 61 s"),
        ),
        (
            replace(WELL, brokers=(replace(BROKER, stuck=2),)),
            Problem("broker main", "2 messages can't be routed or are refused"),
        ),
        (
            replace(WELL, ha=HaStatus("zookeeper", False, None)),
            Problem("ha", "zookeeper is not reachable: nobody can become master"),
        ),
        (
            replace(WELL, services=(ServiceStatus("publisher-main", "backoff", 3, "no route"),)),
            Problem("service publisher-main", "is in state backoff: no route"),
        ),
        (
            replace(WELL, hub=HubStatus(1.0, 412.0, 700.0)),
            Problem("hub", "the event loop runs up to 412 ms late (p99)"),
        ),
        (
            replace(WELL, mail=MailStatus(False, None)),
            Problem("mail", "the mailbox is not being read"),
        ),
        (
            replace(WELL, notices=(Problem("definitions voip3", "can't be read"),)),
            Problem("definitions voip3", "can't be read"),
        ),
    ],
)
def test_what_is_wrong(snapshot: Snapshot, problem: Problem) -> None:
    assert health(snapshot) == (problem,)


def test_a_standby_may_keep_old_messages_and_reads_no_mail() -> None:
    standby = replace(
        WELL, role="slave", brokers=(replace(BROKER, outbox=9, oldest_s=900.0),), mail=MailStatus(False, None)
    )
    assert health(standby) == ()
