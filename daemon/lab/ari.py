"""ARI's REST calls as the played Asterisk answers them, and who gets which events. Pure.

Answers have Asterisk's shape. Nothing can be changed but one's own
application: there is no call behind the channels that could be hung up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from daemon.lab.play import iso
from daemon.lab.player import Player

ASTERISK_VERSION: Final = "22.10.1 (LAB: recorded calls)"
ENTITY_ID: Final = "02:00:00:00:00:22"
SOURCES: Final = {
    "channel": ("channel_ids", "__AST_CHANNEL_ALL_TOPIC"),
    "bridge": ("bridge_ids", "__AST_BRIDGE_ALL_TOPIC"),
    "endpoint": ("endpoint_ids", "__AST_ENDPOINT_ALL_TOPIC"),
    "deviceState": ("device_names", "__AST_DEVICE_STATE_TOPIC"),
}
"""What can be subscribed to, all of a kind: its key in an application, and Asterisk's word for all."""

Answer = tuple[int, object]
"""The HTTP status, and what goes out as JSON."""

_ENDPOINT_EVENTS: Final = ("ContactStatusChange", "EndpointStateChange", "PeerStatusChange")
_MOST_APPLICATIONS: Final = 64


@dataclass
class Application:
    """A Stasis application: the kinds of sources and the types of events that it gets."""

    name: str
    sources: set[str] = field(default_factory=set)
    allowed: tuple[str, ...] = ()
    disallowed: tuple[str, ...] = ()

    def wants(self, event_type: str) -> bool:
        """Whether subscription and filter let such an event through."""
        if event_type in self.disallowed or (self.allowed and event_type not in self.allowed):
            return False
        return source_of(event_type) in self.sources

    def as_json(self) -> dict[str, Any]:
        """ARI's Application."""
        answer: dict[str, Any] = {"name": self.name}
        answer |= {key: [topic] if kind in self.sources else [] for kind, (key, topic) in SOURCES.items()}
        answer["events_allowed"] = [{"type": name} for name in self.allowed]
        answer["events_disallowed"] = [{"type": name} for name in self.disallowed]
        return answer


def source_of(event_type: str) -> str:
    """The kind of source that such events come from."""
    if event_type == "DeviceStateChanged":
        return "deviceState"
    if event_type in _ENDPOINT_EVENTS:
        return "endpoint"
    return "bridge" if event_type.startswith("Bridge") else "channel"


class Ari:
    """The REST interface over what `player` plays. `started`: seconds since the epoch."""

    def __init__(self, player: Player, started: float) -> None:
        self.applications: dict[str, Application] = {}
        self._player = player
        self._started = iso(started)
        self._lists: dict[str, tuple[str, str, Callable[[], list[Mapping[str, Any]]]]] = {
            "channels": ("id", "Channel not found", player.channels),
            "bridges": ("id", "Bridge not found", player.bridges),
            "endpoints": ("resource", "Endpoint not found", player.endpoints),
        }

    @property
    def subscribed(self) -> bool:
        """Whether anybody listens to the calls."""
        return any("channel" in app.sources for app in self.applications.values())

    def register(self, name: str, *, everything: bool) -> Application | None:
        """A websocket connected for this application; None: there are too many."""
        if name not in self.applications and len(self.applications) >= _MOST_APPLICATIONS:
            return None
        self.applications[name] = Application(name, set(SOURCES) if everything else set())
        return self.applications[name]

    def forget(self, application: Application) -> None:
        """Its websocket is gone, and Asterisk 22 forgets it (unless another has taken the name)."""
        if self.applications.get(application.name) is application:
            del self.applications[application.name]

    def answer(self, method: str, resource: str, query: Mapping[str, str], body: bytes, now: float) -> Answer:
        """Answer one call; `resource` is the path below /ari, beginning with a slash."""
        parts = [unquote(part) for part in resource.strip("/").split("/")]
        if parts[0] == "applications":
            return self._application(method, parts[1:], query, body)
        if parts[0] not in self._lists and parts not in (["asterisk", "info"], ["asterisk", "ping"]):
            return _error(404, "Resource not found")
        if method != "GET":
            return _error(405, "Invalid method: nothing can be changed in the lab")
        match parts:
            case ["asterisk", "info"]:
                return 200, self._info()
            case ["asterisk", _]:
                return 200, {"asterisk_id": ENTITY_ID, "ping": "pong", "timestamp": iso(now)}
            case [kind]:
                return 200, self._lists[kind][2]()
            case ["endpoints", technology]:
                return 200, [e for e in self._player.endpoints() if e["technology"] == technology]
            case ["endpoints", _, name] | ["channels" | "bridges", name]:
                key, missing, snapshots = self._lists[parts[0]]
                found = [snapshot for snapshot in snapshots() if snapshot[key] == name]
                return (200, found[0]) if found else _error(404, missing)
            case ["channels", _, "variable"]:
                return self._variable(parts[1], query.get("variable", ""))
        return _error(404, "Resource not found")

    def _info(self) -> dict[str, Any]:
        return {
            "build": {
                "os": "Linux", "kernel": "", "machine": "x86_64", "options": "",
                "date": "", "user": "lab",
            },
            "system": {"version": ASTERISK_VERSION, "entity_id": ENTITY_ID},
            "config": {
                "name": "lab", "default_language": "en",
                "setid": {"user": "asterisk", "group": "asterisk"},
            },
            "status": {"startup_time": self._started, "last_reload_time": self._started},
        }  # fmt: skip

    def _variable(self, channel: str, variable: str) -> Answer:
        """Only `channelvars` are known of a channel."""
        for snapshot in self._player.channels():
            if snapshot["id"] == channel:
                value = snapshot.get("channelvars", {}).get(variable)
                if value is None:
                    return _error(404, "Provided variable was not found")
                return 200, {"value": value}
        return _error(404, "Channel not found")

    def _application(self, method: str, parts: list[str], query: Mapping[str, str], body: bytes) -> Answer:
        if not parts:
            return 200, [application.as_json() for application in self.applications.values()]
        application = self.applications.get(parts[0])
        if application is None:
            return _error(404, "Application not found")
        match method, parts[1:]:
            case "GET", []:
                return 200, application.as_json()
            case "POST" | "DELETE", ["subscription"]:
                return _subscribe(application, query.get("eventSource", ""), add=method == "POST")
            case "PUT", ["eventFilter"]:
                return _filter(application, body)
            case _, [] | ["subscription"] | ["eventFilter"]:
                return _error(405, "Invalid method")
        return _error(404, "Resource not found")


def _subscribe(application: Application, sources: str, *, add: bool) -> Answer:
    kinds = set()
    for source in sources.split(","):
        kind, colon, one = source.strip().partition(":")
        if not colon or kind not in SOURCES:
            return _error(400, f"Invalid event source scheme: {source[:80]}")
        if one:
            return _error(
                404, "EventSource does not exist: the lab knows all of a kind only, such as channel:"
            )
        kinds.add(kind)
    application.sources = application.sources | kinds if add else application.sources - kinds
    return 200, application.as_json()


def _filter(application: Application, body: bytes) -> Answer:
    try:
        rule = json.loads(body) if body.strip() else {}
        lists = [tuple(str(one["type"]) for one in rule.get(key, ())) for key in ("allowed", "disallowed")]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return _error(400, 'Bad request: {"allowed": [{"type": ...}], "disallowed": [...]}')
    application.allowed, application.disallowed = lists
    return 200, application.as_json()


def _error(status: int, message: str) -> Answer:
    return status, {"message": message}
