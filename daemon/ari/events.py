"""ARI events, typed: bytes in, one frozen value out. Pure.

Only what the product reads is declared; everything else in an event is
skipped by the decoder. One type serves every event, since most events carry
the same channel snapshot. Fields absent from an event are None (or empty).

Source: docs.asterisk.org, "Asterisk REST Data Models" (Event and below).
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class MalformedEvent(ValueError):
    """The bytes are no ARI event: no JSON, no object, or a field of a wrong type."""


class CallerId(msgspec.Struct, frozen=True, gc=False):
    """CallerID: `number` may be empty."""

    number: str = ""
    name: str = ""


class Dialplan(msgspec.Struct, frozen=True, gc=False):
    """DialplanCEP: where the channel is in the dialplan. 16 and 22 have app_name."""

    exten: str = ""
    context: str = ""
    app_name: str = ""


_NOBODY = CallerId()
_NOWHERE = Dialplan()


class Channel(msgspec.Struct, frozen=True, gc=False):
    """Channel snapshot. `creationtime` is ISO 8601 with milliseconds.

    `channelvars` is there only where ari.conf names some: CHANNEL(linkedid)
    and MIXMONITOR_FILENAME are the ones that are read.
    """

    id: str = ""
    name: str = ""
    state: str = ""
    caller: CallerId = _NOBODY
    connected: CallerId = _NOBODY
    dialplan: Dialplan = _NOWHERE
    creationtime: str = ""
    channelvars: dict[str, str] | None = None


class Bridge(msgspec.Struct, frozen=True, gc=False):
    """Bridge snapshot; `channels` are the ids of those in it just now."""

    id: str
    bridge_type: str = ""
    creator: str = ""
    channels: tuple[str, ...] = ()


class ContactInfo(msgspec.Struct, frozen=True, gc=False):
    """ContactInfo of ContactStatusChange."""

    uri: str = ""
    contact_status: str = ""
    aor: str = ""


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """Endpoint snapshot: technology PJSIP, resource 1013010."""

    technology: str = ""
    resource: str = ""
    state: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """Any ARI event.

    `timestamp` is Asterisk's own, ISO 8601 with milliseconds; see `millis`.
    """

    type: str
    timestamp: str = ""
    application: str = ""
    channel: Channel | None = None
    # Dial (caller is absent where Asterisk itself originates)
    caller: Channel | None = None
    peer: Channel | None = None  # of a PeerStatusChange it is a Peer, of which nothing is read
    forwarded: Channel | None = None
    dialstatus: str = ""
    dialstring: str = ""
    forward: str = ""
    # Channel*
    cause: int | None = None
    cause_txt: str = ""
    soft: bool = False
    variable: str = ""
    value: str = ""
    digit: str = ""
    duration_ms: int = 0
    # Bridge*, transfers
    bridge: Bridge | None = None
    transferee: Channel | None = None
    transfer_target: Channel | None = None
    transferer_first_leg: Channel | None = None
    transferer_second_leg: Channel | None = None
    replace_channel: Channel | None = None
    exten: str = ""
    result: str = ""
    # Endpoints
    endpoint: Endpoint | None = None
    contact_info: ContactInfo | None = None


_decode = msgspec.json.Decoder(Event).decode


def parse(data: bytes | str) -> Event:
    """Decode one event. Raises MalformedEvent, whose text never holds the payload."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error)) from error


def millis(timestamp: str) -> int:
    """Asterisk's ISO 8601 timestamp as milliseconds since the epoch.

    Raises ValueError when it is none.

    >>> millis("2026-11-20T16:05:45.034+0000")
    1795190745034
    """
    moment = datetime.fromisoformat(timestamp)
    if moment.tzinfo is None:
        raise ValueError(f"{timestamp!r} has no time zone")
    return round(moment.timestamp() * 1000)
