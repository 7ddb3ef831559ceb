"""Asks one Asterisk for everything that is alive: the input of a reconciliation."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import msgspec

from daemon.ari.events import Channel, millis
from daemon.ari.rest import AriRefused, AriUnavailable
from daemon.calls.reconcile import Live, LiveBridge, missing_variables

_AT_ONCE: Final = 8  # requests for variables under way at a time


class Rest(Protocol):
    """What is asked of an ARI client; AriRest is one."""

    def channels(self) -> list[Any]:
        """GET /channels."""
        ...

    def bridges(self) -> list[Any]:
        """GET /bridges."""
        ...

    def channel_variable(self, channel_id: str, name: str) -> str | None:
        """GET /channels/ID/variable; None where the channel or the variable is not there."""
        ...


class _Bridge(msgspec.Struct):
    id: str
    bridge_type: str = ""
    creator: str = ""
    creationtime: str = ""
    channels: tuple[str, ...] = ()


def gather(rest: Rest, now_ms: int) -> Live:
    """Channels, bridges and the variables that the channels' snapshots do not bring.

    Raises AriUnavailable or AriRefused when the lists can't be had; a channel
    that goes meanwhile costs only its variables.
    """
    try:
        channels = tuple(msgspec.convert(each, Channel) for each in rest.channels())
        bridges = tuple(_bridge(each, now_ms) for each in rest.bridges())
    except msgspec.ValidationError as error:
        raise AriUnavailable(f"its list of channels or bridges makes no sense: {error}") from error
    return Live(now_ms, channels, bridges, _variables(rest, channels))


def _bridge(data: Any, now_ms: int) -> LiveBridge:
    bridge = msgspec.convert(data, _Bridge)
    try:
        created = millis(bridge.creationtime)
    except ValueError:
        created = now_ms
    return LiveBridge(bridge.id, bridge.bridge_type, bridge.creator, created, bridge.channels)


def _variables(rest: Rest, channels: tuple[Channel, ...]) -> Mapping[str, Mapping[str, str]]:
    wanted = [(channel, name) for channel, names in missing_variables(channels).items() for name in names]
    if not wanted:
        return {}
    found: dict[str, dict[str, str]] = {}
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="reconcile") as pool:
        answers = pool.map(lambda each: _variable(rest, *each), wanted)
        for (channel, name), value in zip(wanted, answers, strict=True):
            if value:
                found.setdefault(channel, {})[name] = value
    return found


def _variable(rest: Rest, channel: str, name: str) -> str:
    try:
        return rest.channel_variable(channel, name) or ""
    except AriRefused:
        return ""  # 409, 500: not every channel has every function
