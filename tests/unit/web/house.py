"""What the web is given in these tests: plain values that a test changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any

from daemon.calls.statistics import CallStatistics
from daemon.console.views import CallRow
from daemon.snapshot import (
    AsteriskStatus,
    BrokerStatus,
    HaStatus,
    HubStatus,
    QueueStatus,
    ServiceStatus,
    Snapshot,
)
from daemon.web.pages import application
from daemon.web.routing import App
from daemon.web.sources import Sources

PICTURE = Snapshot(
    node="AUDIO2",
    role="master",
    epoch=7,
    version="1.2.3",
    uptime_s=183845.0,
    asterisk=(
        AsteriskStatus("voip3", True, 123, 2, url="http://192.0.2.10:8088", last_event_s=0.2),
        AsteriskStatus("voip-1", True, 4, 0),
    ),
    brokers=(BrokerStatus("main.br", True, 3, 1.5, backend="rabbitmq", confirmed=4321),),
    queue=QueueStatus(1, 2, 3, 4),
    ha=HaStatus("file", True, "AUDIO2"),
    services=(ServiceStatus("outbox", "running"), ServiceStatus("monitor-voip3", "running", 2)),
    hub=HubStatus(0.1, 2.0, 12.0),
    log="/var/log/arimonitor/ARI-42-2025-10-27.LOG",
)

CALLS = (
    CallRow("voip3", "1761562800.42", "1013010", "1013015", "101", 2, 1761562800120, 2),
    CallRow("voip3", "1761562801.44", "+551155500100", "1121", None, 1, 1761562801000, 1),
    CallRow("voip-1", "1761562802.1", "1023010", None, "102", 1, 1761562802000, 1),
)

COUNTERS: dict[str, int | float] = {
    "events": 127,
    "active_calls": 2,
    "asterisk.voip3.active_calls": 2,
    "asterisk.voip3.reconnects": 3,
    "asterisk.voip3.malformed": 1,
    "asterisk.voip3.gaps": 2,
    "asterisk.voip3.gap_seconds": 12.5,
    "asterisk.voip-1.active_calls": 0,
    "asterisk.voip-1.reconnects": 0,
    "broker.main.br.outbox": 3,
    "broker.main.br.oldest_s": 1.5,
    "broker.main.br.published": 4321,
    "broker.main.br.returned": 1,
    "broker.main.br.nacked": 0,
    "outbox.stored_total": 4324,
    "hub.p99_ms": 2.0,
    "uptime_s": 183845.0,
}


@dataclass
class House:
    """Everything that the root provides."""

    picture: Snapshot = PICTURE
    calls: tuple[CallRow, ...] = CALLS
    counters: dict[str, int | float] = field(default_factory=lambda: dict(COUNTERS))
    events: dict[str, dict[str, int]] = field(
        default_factory=lambda: {"voip3": {"Dial": 5, "ChannelCreated": 9}}
    )
    endpoints: dict[str, dict[str, int]] = field(default_factory=dict)
    statistics: CallStatistics = field(default_factory=CallStatistics)
    started: bool = True

    def change(self, **values: Any) -> None:
        self.picture = replace(self.picture, **values)

    @property
    def sources(self) -> Sources:
        return Sources(
            snapshot=lambda: self.picture,
            calls=lambda: self.calls,
            counters=lambda: self.counters,
            event_counts=lambda: self.events,
            statistics=self.statistics,
            timezone=UTC,
            started=lambda: self.started,
            endpoints=lambda: self.endpoints,
        )

    def app(self) -> App:
        return application(self.sources)
