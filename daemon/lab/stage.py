"""What exists in the played Asterisk just now: channels, bridges, endpoints. Pure.

Everything comes out of the events, so what REST answers is what was played.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from daemon.lab.people import Company

_CHANNEL_KEYS: Final = (
    "channel", "caller", "peer", "forwarded", "transferee", "transfer_target", "replace_channel",
    "transferer", "transferer_first_leg", "transferer_second_leg",
)  # fmt: skip
_BRIDGE_KEYS: Final = ("bridge", "bridge_from", "transferer_first_leg_bridge", "transferer_second_leg_bridge")

Snapshot = Mapping[str, Any]


class Stage:
    """Snapshots as the last event showed them. What is gone does not come back with a late event."""

    def __init__(self, people: Iterable[Company]) -> None:
        self._channels: dict[str, Snapshot] = {}
        self._bridges: dict[str, Snapshot] = {}
        self._gone: set[str] = set()
        numbers = [phone.number for company in people for phone in company.phones]
        self._endpoints = dict.fromkeys((*numbers, "trunk"), "online")

    def show(self, event: Mapping[str, Any]) -> set[str]:
        """Take in an event that is played; the ids of the channels and bridges in it."""
        seen = {
            *self._keep(self._channels, (event.get(key) for key in _CHANNEL_KEYS), "dialplan"),
            *self._keep(self._bridges, (event.get(key) for key in _BRIDGE_KEYS), "bridge_type"),
        }
        match event["type"]:
            case "ChannelDestroyed":
                self._remove(self._channels, event["channel"]["id"])
            case "BridgeDestroyed":
                self._remove(self._bridges, event["bridge"]["id"])
            case "PeerStatusChange":
                self._endpoints[event["endpoint"]["resource"]] = event["endpoint"]["state"]
        return seen

    def clear(self, ids: Iterable[str]) -> None:
        """Forget what a play that is over has left."""
        for id_ in ids:
            self._channels.pop(id_, None)
            self._bridges.pop(id_, None)
            self._gone.discard(id_)

    def channels(self) -> list[Snapshot]:
        """GET /channels."""
        return list(self._channels.values())

    def bridges(self) -> list[Snapshot]:
        """GET /bridges."""
        return list(self._bridges.values())

    def endpoints(self) -> list[Snapshot]:
        """GET /endpoints."""
        channels: dict[str, list[str]] = {}
        for id_, channel in self._channels.items():
            technology, _, rest = str(channel["name"]).partition("/")
            if technology == "PJSIP":
                channels.setdefault(rest.rpartition("-")[0], []).append(id_)
        return [
            {"technology": "PJSIP", "resource": name, "state": state, "channel_ids": channels.get(name, [])}
            for name, state in self._endpoints.items()
        ]

    def _keep(self, kept: dict[str, Snapshot], found: Iterable[object], mark: str) -> set[str]:
        ids = set()
        for value in found:
            # `peer` is a channel in Dial and something else in PeerStatusChange.
            if isinstance(value, dict) and mark in value:
                ids.add(value["id"])
                if value["id"] not in self._gone:
                    kept[value["id"]] = value
        return ids

    def _remove(self, kept: dict[str, Snapshot], id_: str) -> None:
        kept.pop(id_, None)
        self._gone.add(id_)
