"""Every command as a table: words in, text and data out. No sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC

import pytest

from daemon.ari.events import CallerId, Channel, Dialplan, Event
from daemon.console.commands.calls import calls_commands
from daemon.console.commands.endpoints import endpoints_commands
from daemon.console.commands.settings import settings_commands
from daemon.console.commands.system import system_commands
from daemon.console.live import Feed
from daemon.console.registry import CommandError, Item, Registry, Result, SessionInfo
from daemon.console.status import banner
from daemon.console.views import CallRow, EndpointState, Reloaded
from daemon.directory.model import Client, Directory, EndpointEntry
from daemon.errors import PermanentError
from daemon.snapshot import (
    AsteriskStatus,
    BrokerStatus,
    HaStatus,
    HubStatus,
    NodeStatus,
    Problem,
    QueueStatus,
    ServiceStatus,
    Snapshot,
)

PICTURE = Snapshot(
    node="AUDIO2",
    role="master",
    epoch=7,
    version="1.2.3",
    uptime_s=183845.0,
    asterisk=(
        AsteriskStatus("voip3", True, 123456, 12, last_event_s=0.21),
        AsteriskStatus("voip1", False, 0, 0, error="connection refused"),
    ),
    brokers=(BrokerStatus("main", True, 0, 0.0, confirmed=4321),),
    ha=HaStatus("file", True, "AUDIO2"),
    services=(ServiceStatus("ari-voip3", "running"), ServiceStatus("ari-voip1", "backoff", 3, "refused")),
    hub=HubStatus(0.1, 2.04, 12.0),
    log="/var/log/arimonitor/ARI-42-2025-10-27.LOG",
)

DIRECTORY = Directory(
    clients={"101": Client("101", "Condominio Exemplo"), "300": Client("300")},
    endpoints={
        name: EndpointEntry(name, client, kind)
        for name, client, kind in (
            ("1013010", "101", "condominio"),
            ("1121", "101", ""),
            ("porta", "200", "portaria"),
        )
    },
)

Settings = dict[str, object]


class House:
    """What the commands are given: plain values that a test changes."""

    def __init__(self) -> None:
        self.settings: Settings = {
            "log.debug": False,
            "log.debug_verbose": False,
            "asterisk.voip3.url": "http://192.0.2.3:8088",
            "mq.password": "***",
        }
        self.feed = Feed()
        self.directories = {"voip3": DIRECTORY}
        self.calls: list[CallRow] = []
        self.counts: dict[str, dict[str, int]] = {}
        self.reloaded: list[Reloaded] = []
        self.asked: list[str | None] = []
        self.picture = PICTURE
        counters = {"events": 123456, "active_calls": 12, "outbox.main.waiting": 0}
        knobs = settings_commands(
            settings=lambda: self.settings,
            get=self._get,
            with_value=self._with_value,
            apply=self._apply,
            counters=lambda: counters,
            names=lambda: self.settings,
        )
        self.registry = Registry(
            (
                *system_commands(
                    snapshot=lambda: self.picture,
                    counters=lambda: counters,
                    versions={"arimonitor": "1.2.3", "python": "3.11.2"},
                    reload=self._reload,
                    log_lines=lambda n: [f"line {at}" for at in range(3)][-n:],
                    knobs=knobs,
                ),
                *calls_commands(
                    calls=lambda: self.calls,
                    event_counts=lambda: self.counts,
                    feed=self.feed,
                    timezone=UTC,
                    now=lambda: 1761562860.0,
                ),
                *endpoints_commands(directories=lambda: self.directories, states=self._state, timezone=UTC),
            )
        )

    def run(self, line: str) -> Result:
        return self.registry.run(line.split(), SessionInfo("192.0.2.7:4000"))

    def refusal(self, line: str) -> tuple[str, str]:
        with pytest.raises(CommandError) as caught:
            self.run(line)
        return caught.value.code, caught.value.message

    def _get(self, settings: Settings, name: str) -> object:
        if name not in settings:
            below = {key: value for key, value in settings.items() if key.startswith(name + ".")}
            if not below:
                raise PermanentError(f"there is no key {name!r}")
            return below
        return settings[name]

    def _with_value(self, settings: Settings, name: str, text: str) -> Settings:
        if name.startswith("log.debug"):
            if text not in ("true", "false"):
                raise PermanentError(f"{name} is true or false, not {text!r}")
            return {**settings, name: text == "true"}
        if name == "mq.password":
            return settings
        return {**settings, name: text}

    def _apply(self, settings: Settings) -> None:
        self.settings = settings

    def _reload(self, what: str | None) -> Sequence[Reloaded]:
        self.asked.append(what)
        return self.reloaded

    def _state(self, _server: str, endpoint: str) -> EndpointState | None:
        return EndpointState("online", "198.51.100.7:5060", 1761562800000) if endpoint == "1121" else None


@pytest.fixture
def house() -> House:
    return House()


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


def test_calls(house: House) -> None:
    assert house.run("calls").text == "No calls now."
    house.calls = [
        CallRow("voip3", "1761562800.42", "1013010", "1013015", "101", 2, 1761562800120, 2),
        CallRow("voip3", "1761562855.44", None, None, None, 1, 1761562855000, 1),
    ]
    assert house.run("calls").text == (
        "SERVER  CALL           CLIENT  ORIGIN   DESTINY  STATUS         FOR  LEGS\n"
        "voip3   1761562800.42  101     1013010  1013015  answered  00:00:59     2\n"
        "voip3   1761562855.44  -       -        -        ringing   00:00:05     1\n"
        "2 calls."
    )
    assert house.run("calls").data["calls"][0] == {  # type: ignore[index]
        "server": "voip3",
        "call": "1761562800.42",
        "client": "101",
        "origin": "1013010",
        "destiny": "1013015",
        "status": 2,
        "creationtime": "2025-10-27T11:00:00.120+00:00",
        "legs": 2,
    }


def test_events(house: House) -> None:
    assert house.run("events").text == "No events yet."
    house.counts = {"voip3": {"Dial": 2, "ChannelCreated": 1000}}
    assert house.run("events").text == (
        "EVENT           TOTAL\nChannelCreated  1,000\nDial                2\nall             1,002"
    )
    house.counts["voip1"] = {"Dial": 5}
    assert house.run("events").text == (
        "EVENT           voip1  voip3  TOTAL\n"
        "ChannelCreated      0  1,000  1,000\n"
        "Dial                5      2      7\n"
        "all                 5  1,002  1,007"
    )
    assert house.run("events").data == {"total": 1007, "by_server": house.counts}


def test_events_follow(house: House) -> None:
    seen: list[Item] = []
    result = house.run("events follow dial Channel*")
    assert result.stream is not None
    assert not house.feed.watched
    end = result.stream(seen.append)
    assert house.feed.watched
    channel = Channel(
        id="1761562800.42",
        name="PJSIP/1013010-00000001",
        state="Ring",
        caller=CallerId("1013010"),
        dialplan=Dialplan("1013015"),
    )
    house.feed.publish("voip3", Event("ChannelCreated", channel=channel), 1761562800.1234)
    house.feed.publish("voip3", Event("DeviceStateChanged"), 1761562800.2)
    end()
    end()
    house.feed.publish("voip3", Event("Dial"), 1761562800.3)
    assert not house.feed.watched
    assert [item.text for item in seen] == [
        "11:00:00.123  voip3  ChannelCreated            channel=PJSIP/1013010-00000001 "
        "channel_id=1761562800.42 state=Ring caller=1013010 exten=1013015"
    ]
    assert seen[0].data == {
        "at": "2025-10-27T11:00:00.123+00:00",
        "server": "voip3",
        "type": "ChannelCreated",
        "channel": "PJSIP/1013010-00000001",
        "channel_id": "1761562800.42",
        "state": "Ring",
        "caller": "1013010",
        "exten": "1013015",
    }


def test_list(house: House) -> None:
    assert house.run("list").text == (
        "=== ALL ENDPOINTS (3) ===\n"
        "1121     -           online   198.51.100.7:5060  2025-10-27 11:00:00\n"
        "1013010  condominio  unknown  -                  -\n"
        "porta    portaria    unknown  -                  -"
    )
    assert house.run("list_endpoints 200").text == (
        "=== ENDPOINTS FOR CLIENT 200 (1) ===\nporta  portaria  unknown  -  -"
    )
    assert house.run("list 300").text == "=== ENDPOINTS FOR CLIENT 300 (0) ==="
    assert house.refusal("list 999") == ("not-found", "no client '999' in the definition files")


def test_list_as_data(house: House) -> None:
    assert house.run("list 101").data == {
        "client": "101",
        "count": 2,
        "endpoints": [
            {
                "endpoint": "1121",
                "client": "101",
                "type": None,
                "state": "online",
                "address": "198.51.100.7:5060",
                "since": "2025-10-27T11:00:00.000+00:00",
                "server": "voip3",
            },
            {
                "endpoint": "1013010",
                "client": "101",
                "type": "condominio",
                "state": "unknown",
                "address": None,
                "since": None,
                "server": "voip3",
            },
        ],
    }


def test_list_of_two_asterisks_names_them(house: House) -> None:
    one = Directory(endpoints={"1121": EndpointEntry("1121", "101", "ramal")})
    house.directories = {"voip3": one, "voip1": one}
    assert house.run("list").text == (
        "=== ALL ENDPOINTS (2) ===\n"
        "1121  ramal  online  198.51.100.7:5060  2025-10-27 11:00:00  voip1\n"
        "1121  ramal  online  198.51.100.7:5060  2025-10-27 11:00:00  voip3"
    )


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
