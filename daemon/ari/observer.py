"""Everything that is concluded from one Asterisk's events: its calls, and its endpoints. Pure.

It is what the monitor drives: each event goes to both, and what both want to
be remembered over a restart is stored together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from daemon.ari.events import Event
from daemon.calls.model import Fact
from daemon.calls.tracker import Tracker
from daemon.directory.endpoints import EndpointChange, EndpointTable, EndpointView

_ENDPOINT: Final = "endpoint/"
"""Begins the keys under which endpoints are stored; calls are stored under a channel's id."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EndpointView).decode


class Observer:
    """The call tracker and the table of endpoints of one Asterisk."""

    def __init__(self, tracker: Tracker, endpoints: EndpointTable) -> None:
        self.tracker = tracker
        self.endpoints = endpoints
        self._stored: dict[str, bytes] = {}
        self._stale = False

    @property
    def active(self) -> int:
        """Calls that have not ended."""
        return self.tracker.active

    def apply(self, event: Event, now: float) -> list[Fact | EndpointChange]:
        """What an event tells, at the receive time `now`."""
        if event.endpoint is None and not self.endpoints.looking:
            return [*self.tracker.apply(event, now)]
        self._stale = True
        return [*self.tracker.apply(event, now), *self.endpoints.apply(event, now)]

    def tick(self, now: float) -> list[Fact | EndpointChange]:
        """What the passing of time tells."""
        changes = self.endpoints.tick(now)
        self._stale = self._stale or bool(changes) or self.endpoints.looking
        return [*self.tracker.tick(now), *changes]

    def changes(self) -> dict[str, bytes | None]:
        """What is to be stored since the last call, by key; None: no more."""
        found = self.tracker.changes()
        if self._stale:
            self._stale = self.endpoints.looking
            now = {_ENDPOINT + view.endpoint: _encode(view) for view in self.endpoints.views()}
            found |= {key: data for key, data in now.items() if self._stored.get(key) != data}
            found |= dict.fromkeys(self._stored.keys() - now.keys())
            self._stored = now
        return found


def known_endpoints(state: Mapping[str, bytes]) -> Sequence[EndpointView]:
    """The endpoints that an earlier process stored; what can't be read is left out: a look finds it again."""
    views = []
    for key, data in state.items():
        if key.startswith(_ENDPOINT):
            try:
                views.append(_decode(data))
            except msgspec.MsgspecError:
                continue
    return views


def calls_only(state: Mapping[str, bytes]) -> list[bytes]:
    """The tracker's records among what was stored."""
    return [data for key, data in state.items() if not key.startswith(_ENDPOINT)]
