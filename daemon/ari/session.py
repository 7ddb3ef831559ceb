"""One connection to an Asterisk: what it is subscribed to, what it filters, whether it is sound."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from daemon.ari.address import Address
from daemon.ari.connection_state import names_recording
from daemon.ari.rest import AriCalls, AriRefused, AriUnavailable
from daemon.ari.wire import ConnectError, Disconnected

log = logging.getLogger("arimonitor.ari")

SOURCES: Final = ("channel:", "bridge:", "endpoint:")
WANTED: Final = (
    "ApplicationReplaced",
    "BridgeAttendedTransfer",
    "BridgeBlindTransfer",
    "BridgeCreated",
    "BridgeDestroyed",
    "BridgeMerged",
    "ChannelCallerId",
    "ChannelConnectedLine",
    "ChannelCreated",
    "ChannelDestroyed",
    "ChannelDtmfReceived",
    "ChannelEnteredBridge",
    "ChannelHangupRequest",
    "ChannelHold",
    "ChannelLeftBridge",
    "ChannelStateChange",
    "ChannelUnhold",
    "ChannelUserevent",
    "ContactStatusChange",
    "Dial",
    "EndpointStateChange",
    "PeerStatusChange",
    "RESTResponse",
)
"""The event types that the product reads, beside ChannelVarset (see `filter_varset`).

RESTResponse is the answer to a request over the websocket, which Asterisk
puts through the filter too. ChannelUserevent is what `check` has sent to it.
"""

_SIGN: Final = "arimonitor-check"
"""Name of the event by which Asterisk shows that it still sends events."""


class EventStream(Protocol):
    """What reads a websocket: `socket.EventSocket`, `server_socket.ServerSocket`."""

    @property
    def heard_at(self) -> float:
        """When bytes came last, on time.monotonic's clock."""

    def read_batch(self, timeout: float) -> list[bytes]:
        """Complete messages, [] when none came within `timeout` seconds. Raises Disconnected."""

    def ping(self) -> None:
        """Ask for a sign of life. Raises Disconnected."""

    def close(self, timeout: float = 1.0) -> None:
        """Close properly. Never raises."""


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """What one `[[asterisk]]` says, and the times (seconds) that nobody configures.

    `app` already has the node's name appended. `filter_varset`: keep asks for
    ChannelVarset, drop does not, auto drops it once a channel snapshot has
    shown that `channelvars` brings the recording's name.
    """

    address: Address
    username: str
    password: str = field(repr=False)
    app: str
    subscribe: Literal["sources", "all"] = "sources"
    filter_varset: Literal["auto", "keep", "drop"] = "auto"
    connect_timeout: float = 5.0
    ping_after: float = 15.0
    pong_within: float = 10.0
    check_after: float = 2.0
    check_every: float = 60.0
    replaced_pause: float = 60.0


class Session:
    """One connection and what is known about it."""

    asks_for_signs = True
    """Whether Asterisk is asked to send an event when none comes."""

    def __init__(self, options: ListenerOptions, rest: AriCalls, socket: EventStream, asterisk: str) -> None:
        self.options = options
        self.rest = rest
        self.socket = socket
        self.asterisk = asterisk
        self.began = time.monotonic()
        self.pinged_at = 0.0
        self.replaced = False
        self.deaf = False
        self._varset = True
        self._check_at = self.began + options.check_after
        self._sign_is_due: float | None = None
        self._sign_is_under_way = False

    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self.began

    def subscribe(self) -> None:
        """Subscribe to all sources. Raises ConnectError when Asterisk does not know the app (any more)."""
        try:
            answer = self.rest.subscribe(self.options.app, SOURCES)
        except AriRefused as refused:
            if refused.status == 404:
                raise ConnectError(
                    f"Asterisk forgot the application {self.options.app} while it connected "
                    f"(the last session's clean-up took it away)"
                ) from refused
            raise
        _require_sources(answer, self.options.app)

    def set_filter(self, *, keep_varset: bool) -> None:
        """Ask for the event types that are read. An Asterisk without filters (before 16.3) sends all."""
        wanted = (*WANTED, "ChannelVarset") if keep_varset else WANTED
        try:
            self.rest.set_event_filter(self.options.app, wanted)
        except AriRefused as refused:
            log.warning("%s takes no event filter, so every event is read: %s", self.asterisk, refused)
        self._varset = keep_varset

    def note(self, frames: list[bytes]) -> list[bytes]:
        """Events came: the application is known and fed, so no check is needed for a while.

        Returns them without the sign that a check has asked for.
        """
        if frames:
            self._check_at = time.monotonic() + self.options.check_every
            self._sign_is_due = None
        if not self._sign_is_under_way:
            return frames
        events = [frame for frame in frames if _SIGN.encode() not in frame]
        self._sign_is_under_way = len(events) == len(frames)
        return events

    def check_is_due(self, now: float) -> bool:
        """Time to ask whether the silence is right?"""
        return now >= self._check_at

    def check(self) -> None:
        """Raises Disconnected when Asterisk does not know or does not feed the application any more."""
        self._check_at = time.monotonic() + self.options.check_every
        try:
            answer = self.rest.application(self.options.app)
            if answer is None:
                raise Disconnected(f"Asterisk no longer knows the application {self.options.app}")
            _require_sources(answer, self.options.app)
        except (AriRefused, ConnectError) as error:
            raise Disconnected(str(error)) from error
        if self.asks_for_signs and self._sign_is_due is None:
            self._ask_for_a_sign()

    def _ask_for_a_sign(self) -> None:
        """What Asterisk says of the application is the same whether it sends it events or not."""
        self._sign_is_under_way = True
        self._sign_is_due = time.monotonic() + self.options.pong_within
        try:
            self.rest.send_user_event(self.options.app, _SIGN)
        except AriRefused as refused:
            log.debug("%s sends no user events: %s", self.asterisk, refused)
            self._sign_is_due, self.asks_for_signs = None, False
        except AriUnavailable:
            self._sign_is_due = None
            raise

    def is_deaf(self, now: float) -> bool:
        """Has no event come, though Asterisk was asked for one?"""
        return self._sign_is_due is not None and now > self._sign_is_due

    def adapt_filter(self, frames: list[bytes]) -> bool:
        """Drop ChannelVarset once it is needless, ask for it again if that changes; is it kept?"""
        if self.options.filter_varset != "auto":
            return self._varset
        for frame in frames if self._varset else frames[:1]:
            proven = names_recording(frame)
            if proven is None:
                continue
            if proven is self._varset:  # proven and still kept, or dropped and no longer proven
                self._change_filter(keep_varset=not proven)
            break
        return self._varset

    def _change_filter(self, *, keep_varset: bool) -> None:
        try:
            self.set_filter(keep_varset=keep_varset)
        except AriUnavailable as error:
            log.warning("the event filter of %s could not be changed: %s", self.asterisk, error)
            self._varset = keep_varset  # not tried with every batch; the next connection does
            return
        if keep_varset:
            log.warning(
                "channelvars of %s lost MIXMONITOR_FILENAME: ChannelVarset is read again", self.asterisk
            )
        else:
            log.info("channelvars of %s bring the recording's name: ChannelVarset is dropped", self.asterisk)


def _require_sources(application: Mapping[str, object], app: str) -> None:
    """An application that is subscribed to all channels and bridges says so; else ConnectError."""
    for key in ("channel_ids", "bridge_ids"):
        if not application.get(key):
            raise ConnectError(f"Asterisk has no subscription to {key} for the application {app}")
