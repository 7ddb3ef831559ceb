"""From a fact to the message that is sent: the v3 and v2.7 forms. Pure.

Keys that a type has are always there, null where nothing is known, so that a
consumer needs no look before it reads. Two tell by their presence alone:
`agent_answertime` (a click to call), `merged_into` (an ended-call whose call
went on as part of another). docs/messages.md describes every message for
those who read them; daemon/calls/schemas has the JSON Schemas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal

import msgspec

from daemon.calls.ids import fact_id
from daemon.calls.model import Answered, Dtmf, Ended, Fact, Gap, Received
from daemon.directory.endpoints import EndpointChange
from daemon.directory.model import Directory
from daemon.outbox.message import Message

MessageFormat = Literal["v3", "v2.7"]

VERSION = 3
"""`operation.version` of the v3 form; a new one is a breaking change for consumers."""

V27_TYPES = ("received-call", "answered-call", "ended-call")
"""The types of v2.7, one for each status it had.

No digit is among them: v2.7 read ChannelDtmfReceived, but no message of it is
known to have carried one, its payload has no field for it, and its consumers
go by `status`: a digit with status 1 would be a second call to them.
"""


@dataclass(frozen=True, slots=True)
class Context:
    """What a message says beyond its fact.

    `server` is the Asterisk's configured name, `node` ours. `timezone` is what
    times are written in. `now_ms` is when the message is made, in milliseconds
    since the epoch.
    """

    server: str
    node: str
    directory: Directory
    timezone: tzinfo
    message_format: MessageFormat
    now_ms: int


_Added = dict[str, Any]


def render(fact: Fact, ctx: Context) -> Message | None:
    """The message of a fact, or None where the message format has no such type."""
    type_, describe = _TYPES[type(fact)]
    if ctx.message_format == "v2.7" and type_ not in V27_TYPES:
        return None
    status, parts, added = describe(fact, ctx.timezone)
    directory = ctx.directory
    client = directory.client_of(fact.origin) or directory.client_of(fact.destiny)
    id_ = fact_id(ctx.server, fact.call, type_, fact.created, *parts)
    operation: dict[str, Any] = {"type": type_, "id": id_, "timestamp": iso(ctx.now_ms, ctx.timezone)}
    if ctx.message_format == "v2.7":
        payload = {
            "origin": fact.origin,
            "destiny": fact.destiny,
            "status": status,
            "creationtime": iso(fact.created, ctx.timezone),
        }
        document = {"operation": operation, "payload": payload}
    else:
        operation.update(version=VERSION, server=ctx.server, seq=fact.seq, recovered=fact.recovered)
        data = {
            "call": fact.call,
            "origin": fact.origin,
            "destiny": fact.destiny,
            "status": status,
            "creationtime": iso(fact.created, ctx.timezone),
            "client": client,
            "origin_guid": _guid(directory, fact.origin),
            "destiny_guid": _guid(directory, fact.destiny),
            **added,
        }
        document = {"operation": operation, "data": data}
    return _message(document, ctx, id_, type_, f"{ctx.server}/{fact.call}", client)


def render_endpoint(change: EndpointChange, ctx: Context) -> Message | None:
    """The `endpoint-status` message of a change; None in the v2.7 format, which has no such type."""
    if ctx.message_format == "v2.7":
        return None
    type_, endpoint = "endpoint-status", change.endpoint
    client = ctx.directory.client_of(endpoint)
    id_ = fact_id(ctx.server, "", type_, change.at, endpoint, change.state, str(change.at))
    document = {
        "operation": {
            "type": type_,
            "id": id_,
            "timestamp": iso(ctx.now_ms, ctx.timezone),
            "version": VERSION,
            "server": ctx.server,
            "seq": change.seq,
            "recovered": change.recovered,
        },
        "data": {
            "endpoint": endpoint,
            "state": change.state,
            "ip": change.ip,
            "time": iso(change.at, ctx.timezone),
            "client": client,
            "guid": _guid(ctx.directory, endpoint),
        },
    }
    return _message(document, ctx, id_, type_, f"{ctx.server}/{endpoint}", client)


def render_gap(gap: Gap, ctx: Context) -> Message | None:
    """The `monitor-gap` message of this node; None in the v2.7 format, which has no such type."""
    if ctx.message_format == "v2.7":
        return None
    type_ = "monitor-gap"
    since = iso(gap.since, ctx.timezone)
    id_ = fact_id(ctx.server, "", type_, gap.since, ctx.node, str(gap.since))
    document = {
        "operation": {
            "type": type_,
            "id": id_,
            "timestamp": iso(ctx.now_ms, ctx.timezone),
            "version": VERSION,
            "server": ctx.server,
            "seq": 1,
            "recovered": False,
        },
        "data": {
            "node": ctx.node,
            "from": since,
            "to": iso(gap.until, ctx.timezone),
            "reason": gap.reason,
            "calls_reconciled": gap.reconciled,
        },
    }
    return _message(document, ctx, id_, type_, id_, None)


def _message(
    document: Mapping[str, Any], ctx: Context, id_: str, type_: str, order: str, client: str | None
) -> Message:
    return Message(
        id=id_,
        type=type_,
        order=order,
        broker=_broker(ctx.directory, client),
        routing_key=f"call.{type_}.{_word(client)}.{ctx.server}",
        headers={
            "server": ctx.server,
            "client": client or "-",
            "node": ctx.node,
            "x-deduplication-header": id_,
        },
        timestamp=ctx.now_ms // 1000,
        body=msgspec.json.encode(document),
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The last day whose every hour can be written in every time zone.
_LAST_MS = (datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def iso(moment_ms: int, zone: tzinfo) -> str:
    """Milliseconds since the epoch as ISO 8601 with milliseconds and offset.

    What can't be written (before 1970, after 9999) becomes the nearest moment
    that can: a broken clock must not stop a message.

    >>> iso(1761562800123, UTC)
    '2025-10-27T11:00:00.123+00:00'
    """
    seconds, millis = divmod(min(max(moment_ms, 0), _LAST_MS), 1000)
    return (
        datetime.fromtimestamp(seconds, zone)
        .replace(microsecond=millis * 1000)
        .isoformat(timespec="milliseconds")
    )


def _received(_fact: Received, _zone: tzinfo) -> tuple[int, tuple[str, ...], _Added]:
    return 1, (), {}


def _answered(fact: Answered, zone: tzinfo) -> tuple[int, tuple[str, ...], _Added]:
    added: _Added = {
        "answertime": iso(fact.answertime, zone),
        "answered_by": fact.answered_by,
        "application": fact.application,
    }
    if fact.agent_answertime is not None:
        added["agent_answertime"] = iso(fact.agent_answertime, zone)
    return 2, (), added


def _dtmf(fact: Dtmf, _zone: tzinfo) -> tuple[int, tuple[str, ...], _Added]:
    parts = (fact.channel, str(fact.at), fact.digit)
    return fact.status, parts, {"digit": fact.digit, "by": fact.by, "duration_ms": fact.duration_ms}


def _ended(fact: Ended, zone: tzinfo) -> tuple[int, tuple[str, ...], _Added]:
    added: _Added = {
        "endtime": iso(fact.endtime, zone),
        "duration": fact.duration,
        "billsec": fact.billsec,
        "disposition": fact.disposition,
        "cause": fact.cause,
        "cause_text": fact.cause_text,
        "hangup_by": fact.hangup_by,
        "answertime": None if fact.answertime is None else iso(fact.answertime, zone),
        "answered_by": fact.answered_by,
        "recordings": fact.recordings,
    }
    if fact.agent_answertime is not None:
        added["agent_answertime"] = iso(fact.agent_answertime, zone)
    if fact.merged_into is not None:
        added["merged_into"] = fact.merged_into
    return 3, (), added


# The operation type of each fact; status, what tells facts of one type apart, and the added data.
_TYPES: dict[type[Fact], tuple[str, Callable[[Any, tzinfo], tuple[int, tuple[str, ...], _Added]]]] = {
    Received: ("received-call", _received),
    Answered: ("answered-call", _answered),
    Dtmf: ("dtmf", _dtmf),
    Ended: ("ended-call", _ended),
}


def _guid(directory: Directory, endpoint: str | None) -> str | None:
    entry = directory.endpoints.get(endpoint) if endpoint else None
    return (entry.guid or None) if entry else None


def _broker(directory: Directory, client: str | None) -> str:
    """The message server that the client's `mq=` names; "" where it names none that is known."""
    known = directory.clients.get(client) if client else None
    return known.mq if known and known.mq in directory.servers else ""


_NOT_IN_A_WORD = re.compile(r"[^A-Za-z0-9_-]")
# A routing key is at most 255 bytes long (AMQP 0-9-1, short string).
_LONGEST_WORD = 100


def _word(client: str | None) -> str:
    """A client as one word of a routing key: no dot (a level), no `*` or `#` (binding wildcards)."""
    return _NOT_IN_A_WORD.sub("_", client)[:_LONGEST_WORD] if client else "-"
