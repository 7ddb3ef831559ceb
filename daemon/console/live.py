"""Events as they happen, for those who watch: `events follow`. Pure, but for the list of watchers.

The monitor publishes each event as it is applied; nothing is built for it
while nobody watches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from daemon.ari.events import Channel, Event


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event of the Asterisk `server`, received at `at` (seconds since the epoch)."""

    server: str
    event: Event
    at: float


Watcher = Callable[[LiveEvent], None]
"""Takes an event at once: it neither blocks nor raises."""


class Feed:
    """Hands each event to all who watch.

    >>> feed = Feed()
    >>> feed.watched
    False
    """

    def __init__(self) -> None:
        self._watchers: tuple[Watcher, ...] = ()

    @property
    def watched(self) -> bool:
        """Whether anybody watches: publishing is for nobody otherwise."""
        return bool(self._watchers)

    def publish(self, server: str, event: Event, at: float) -> None:
        """Tell everybody. Costs one comparison while nobody watches."""
        if self._watchers:
            live = LiveEvent(server, event, at)
            for watcher in self._watchers:
                watcher(live)

    def subscribe(self, watcher: Watcher) -> Callable[[], None]:
        """Begin to watch; what is returned ends it, once or again."""
        self._watchers = (*self._watchers, watcher)

        def end() -> None:
            self._watchers = tuple(other for other in self._watchers if other is not watcher)

        return end


def as_data(live: LiveEvent) -> dict[str, object]:
    """The event as plain data: when, where, what, and those facts that it has."""
    at = datetime.fromtimestamp(live.at, UTC).isoformat(timespec="milliseconds")
    return {"at": at, "server": live.server, "type": live.event.type, **facts(live.event)}


def as_line(live: LiveEvent, timezone: tzinfo) -> str:
    """The event as one line: 11:00:00.123  voip3  ChannelDestroyed  channel=... cause=16."""
    at = datetime.fromtimestamp(live.at, timezone).strftime("%H:%M:%S.%f")[:-3]
    said = " ".join(f"{name}={value}" for name, value in facts(live.event).items())
    return f"{at}  {live.server}  {live.event.type:<24}  {said}".rstrip()


def facts(event: Event) -> dict[str, object]:
    """What of an event tells most, in the order in which it is read."""
    found: dict[str, object] = {}
    if event.channel is not None:
        found |= _channel("channel", event.channel)
        found["state"] = event.channel.state or None
        found["caller"] = event.channel.caller.number or None
        found["exten"] = event.channel.dialplan.exten or None
    for name, channel in (("dialler", event.caller), ("peer", event.peer)):
        if channel is not None:
            found |= _channel(name, channel)
    found["dialstatus"] = event.dialstatus or None
    found["dialstring"] = event.dialstring or None
    found["digit"] = event.digit or None
    if event.variable:
        found["variable"] = event.variable
        found["value"] = event.value
    if event.bridge is not None:
        found["bridge"] = event.bridge.id
        found["channels"] = len(event.bridge.channels)
    if event.endpoint is not None:
        found["endpoint"] = f"{event.endpoint.technology}/{event.endpoint.resource}"
        found["endpoint_state"] = event.endpoint.state
    if event.contact_info is not None:
        found["contact"] = event.contact_info.uri
        found["contact_status"] = event.contact_info.contact_status
    found["cause"] = event.cause
    found["cause_text"] = event.cause_txt or None
    return {name: value for name, value in found.items() if value is not None}


def _channel(name: str, channel: Channel) -> dict[str, object]:
    return {name: channel.name or None, f"{name}_id": channel.id or None}
