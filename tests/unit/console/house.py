"""What the console's commands are given in these tests: plain values that a test changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

import pytest

from daemon.console.commands.calls import calls_commands
from daemon.console.commands.endpoints import endpoints_commands
from daemon.console.commands.settings import settings_commands
from daemon.console.commands.system import system_commands
from daemon.console.live import Feed
from daemon.console.registry import CommandError, Registry, Result, SessionInfo
from daemon.console.views import CallRow, EndpointState, Reloaded
from daemon.directory.model import Client, Directory, EndpointEntry
from daemon.errors import PermanentError
from daemon.snapshot import AsteriskStatus, BrokerStatus, HaStatus, HubStatus, ServiceStatus, Snapshot

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
