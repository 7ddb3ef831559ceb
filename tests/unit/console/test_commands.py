"""The commands about the daemon itself as a table: words in, text and data out. No sockets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.console.status import banner
from daemon.console.views import Reloaded
from daemon.errors import PermanentError
from daemon.snapshot import BrokerStatus, HaStatus, NodeStatus, Problem, QueueStatus, Snapshot
from tests.unit.console.house import PICTURE, House
from tests.unit.console.house import house as house


def test_the_commands_of_this_console(house: House) -> None:
    names = {entry["name"] for entry in house.run("help").data["commands"]}  # type: ignore[attr-defined]
    assert names == set(
        "status stats health version debug set get reload log quit role calls events list help".split()
    )


def test_status(house: House) -> None:
    assert house.run("status").data == PICTURE.as_dict()
    assert house.run("status").text == (
        "Node      AUDIO2, master, epoch 7\n"
        "Version   1.2.3\n"
        "Up        2 d 03:04:05\n"
        "Failover  file, connected, master: AUDIO2\n"
        "Hub lag   p50 0.1 ms, p99 2.0 ms, worst 12.0 ms (last minute)\n"
        "Log       /var/log/arimonitor/ARI-42-2025-10-27.LOG\n"
        "\n"
        "ASTERISK  STATE       EVENTS  CALLS  LAST EVENT  NOTE\n"
        "voip3     connected  123,456     12       0.2 s\n"
        "voip1     AWAY             0      0           -  connection refused\n"
        "\n"
        "BROKER  STATE      OUTBOX  OLDEST  CONFIRMED  NOTE\n"
        "main    connected       0       -      4,321\n"
        "\n"
        "Services: 1 of 2 running.\n"
        "  ari-voip1  backoff  3 restarts  refused\n"
        "\n"
        "WRONG: asterisk voip1 is not connected: connection refused\n"
        "WRONG: service ari-voip1 is in state backoff: refused"
    )


def test_status_with_nothing(house: House) -> None:
    house.picture = Snapshot("node", "master", 1, "1.2.3", 0.0)
    assert house.run("status").text == (
        "Node     node, master, epoch 1\nVersion  1.2.3\nUp       00:00:00\nLog      -\n\n"
        "No Asterisk is configured.\n\nNo broker is configured.\n\nAll is well."
    )


def test_status_of_two_nodes(house: House) -> None:
    nodes = (
        NodeStatus("AUDIO", True, "auto", 100, "2025-10-27T08:00:01.250-03:00"),
        NodeStatus("AUDIO2", False, "auto", 110, "2025-10-27T08:05:00.000-03:00"),
    )
    ha = HaStatus("zookeeper", True, "AUDIO2", reason="AUDIO2 is master", since=nodes[0].since, nodes=nodes)
    brokers = (BrokerStatus("main", False, 3, 2.0, standby=True),)
    house.picture = Snapshot(
        "AUDIO",
        "slave",
        (1 << 32) + 4,
        "1.2.3",
        0.0,
        brokers=brokers,
        queue=QueueStatus(0, 0, 0, 0),
        ha=ha,
        advice=(Problem("ha", "better elsewhere"),),
    )
    assert house.run("status").text.splitlines()[0:9] == [
        "Node      AUDIO, slave, epoch 1.4",
        "Version   1.2.3",
        "Up        00:00:00",
        "Failover  zookeeper, connected, master: AUDIO2",
        "Nodes     AUDIO here, AUDIO2 AWAY since 2025-10-27 08:05:00",
        "Decision  AUDIO2 is master (since 2025-10-27 08:00:01)",
        "Mail      read by AUDIO2",
        "Queue     0 pending, 0 processing, 0 completed, 0 failed",
        "Log       -",
    ]
    assert "main    standby       3   2.0 s          0  AUDIO2 publishes" in house.run("status").text
    assert house.run("status").text.endswith("All is well.\nNOTE: ha better elsewhere")
    house.picture = replace(house.picture, ha=replace(ha, master=None))
    text = house.run("status").text
    assert "connected, master: NOBODY\n" in text
    assert "Mail      not read: nobody is master\n" in text
    assert "nobody publishes: it is kept here" in text
    assert "WRONG: ha nobody is master: calls are kept and mails wait until somebody is" in text
    house.picture = replace(house.picture, ha=replace(ha, connected=False, master=None))
    assert "NOT CONNECTED, master: not known\n" in house.run("status").text


def test_the_lab_says_so(house: House) -> None:
    house.picture = replace(PICTURE, lab=True)
    assert house.run("status").text.startswith("*** LAB: recorded calls")
    assert house.run("status").data["lab"] is True
    assert banner(house.picture).splitlines()[1].startswith("*** LAB")
    assert banner(PICTURE) == "ARIMONITOR 1.2.3 on AUDIO2 (master); help lists the commands."


def test_health(house: House) -> None:
    result = house.run("health")
    assert result.text == (
        "2 wrong:\n"
        "  asterisk voip1     is not connected: connection refused\n"
        "  service ari-voip1  is in state backoff: refused"
    )
    assert result.data["ok"] is False
    house.picture = Snapshot("node", "master", 1, "1.2.3", 0.0)
    assert house.run("health").data == {"ok": True, "problems": []}


def test_small_ones(house: House) -> None:
    assert house.run("stats").text == (
        "active_calls              12\nevents               123,456\noutbox.main.waiting        0"
    )
    assert house.run("version").data == {"version": "1.2.3", "arimonitor": "1.2.3", "python": "3.11.2"}
    assert house.run("role").text == "AUDIO2 is master, epoch 7; master: AUDIO2"
    assert house.run("quit").close
    assert house.run("exit").close


def test_log(house: House) -> None:
    assert house.run("log").text == "line 0\nline 1\nline 2"
    assert house.run("log 1").data == {
        "path": "/var/log/arimonitor/ARI-42-2025-10-27.LOG",
        "lines": ["line 2"],
    }


@pytest.mark.parametrize("line", ["log 0", "log -1", "log x", "log 1 2", "log ²"])
def test_log_of_nonsense(house: House, line: str) -> None:
    assert house.refusal(line) == ("usage", "N is a number of lines; usage: log [N]")


@pytest.mark.parametrize(
    "line",
    [
        "reload x",
        "reload clients config",
        "debug maybe",
        "set a",
        "get",
        "get a b",
        "calls 5",
        "events x",
        "list 1 2",
    ],
)
def test_wrong_usage(house: House, line: str) -> None:
    assert house.refusal(line)[0] == "usage"


def test_reload(house: House) -> None:
    house.reloaded = [Reloaded("endpoints", "voip3", True, "70 endpoints", ("line 12: no Endpoint",))]
    result = house.run("reload ENDPOINTS")
    assert result.text == "endpoints (voip3): 70 endpoints\n  line 12: no Endpoint"
    house.run("reload")
    assert house.asked == ["endpoints", None]


def test_a_failed_reload_is_a_failed_command(house: House) -> None:
    house.reloaded = [Reloaded("clients", "voip3", False, "no such file")]
    assert house.refusal("reload clients") == (
        "failed",
        "clients (voip3): NOT reloaded, the old stays: no such file",
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("get active_calls", "active_calls = 12"),
        ("get debug", "log.debug = false"),
        ("get mq.password", "mq.password = ***"),
        ("get log", "log.debug          = false\nlog.debug_verbose  = false"),
        ("set debug_verbose true", "log.debug_verbose = true (was false)"),
        ("set mq.password hunter2", "mq.password = *** (was ***)"),
        (
            "set asterisk.voip3.url http://a:b@192.0.2.4:8088",
            "asterisk.voip3.url = http://a:***@192.0.2.4:8088 (was http://192.0.2.3:8088)",
        ),
        ("debug", "Debug is off."),
        ("debug on", "Debug is on."),
        ("debug VERBOSE", "Debug is verbose."),
    ],
)
def test_knobs(house: House, line: str, text: str) -> None:
    assert house.run(line).text == text


def test_what_is_set_is_in_force(house: House) -> None:
    house.run("debug verbose")
    assert house.settings["log.debug"] is True
    assert house.settings["log.debug_verbose"] is True
    house.run("debug off")
    assert house.settings["log.debug"] is False


def test_knobs_that_are_not_there(house: House) -> None:
    assert house.refusal("get nothing") == ("not-found", "there is no key 'nothing'")
    assert house.refusal("set events 0") == ("refused", "events is a counter: it can only be read")
    with pytest.raises(PermanentError):
        house.run("set nothing 5")


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        (("debug", ""), ["off", "on", "verbose"]),
        (("reload", "c"), ["clients", "config"]),
        (("events", "f"), ["follow"]),
        (("list", ""), ["101", "200", "300"]),
        (("get", "a"), ["active_calls", "asterisk.voip3.url"]),
        (("set", "mq.password", ""), []),
    ],
)
def test_completion(house: House, words: tuple[str, ...], candidates: list[str]) -> None:
    assert house.registry.complete(words) == candidates
