"""What a standby asks its master about messages that the journal does not name, and the answer. Pure.

First by id: was it published, does it wait with you, or don't you know it? What the
master does not know, though it happened on a call and was seen as it happened, only
the standby saw: it is then handed over whole (`messages`) and the master publishes it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from daemon.outbox.message import Message

MAX_IDS: Final = 1000
"""Ids in a question: some 20 kB."""
MAX_BYTES: Final = 128 * 1024
"""Bytes of messages in a question before they are compressed; one message always fits."""
_LARGEST = 16 * 1024 * 1024  # bytes that a question may have once it is unpacked

PUBLISHED: Final = "p"
WAITS: Final = "w"
UNKNOWN: Final = "u"

OF_A_NODE: Final = frozenset({"endpoint-status", "monitor-gap"})
"""Types whose facts may be a node's own: its gap, its look at the endpoints. Another node makes its own."""


class Unusable(Exception):
    """These bytes are no question or answer of this version."""


@dataclass(frozen=True, slots=True)
class Question:
    """Either ids (`outbox.rows.key_of`) or whole messages. `token` is another one each time.

    `epoch` is the master's that is asked. Another one leaves it: what it holds may be of last week, and
    forgotten by who published it.
    """

    token: str
    epoch: int
    ids: tuple[bytes, ...] = ()
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """To the question of that token: PUBLISHED, WAITS or UNKNOWN of each id or message, in its order."""

    token: str
    states: str


def seen_as_it_happened(message: Message) -> bool:
    """Whether its fact is of a call and was no later discovery, so that any node would tell the same."""
    return message.type not in OF_A_NODE and not _operation(message).get("recovered", False)


def found_late(message: Message) -> Message:
    """The same message, marked as `recovered` where its format has that mark."""
    operation = _operation(message)
    if operation.get("recovered") is not False:
        return message
    document = msgspec.json.decode(message.body)
    document["operation"] = {**operation, "recovered": True}
    return replace(message, body=msgspec.json.encode(document))


def _operation(message: Message) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(message.body)["operation"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def namesakes(key: bytes) -> tuple[bytes, ...]:
    """The ids of the same fact, had its call begun a second earlier or later (docs/decisions/recovery.md)."""
    if len(key) != 16 or key[6] >> 4 != 7:
        return ()
    at = int.from_bytes(key[:6], "big")
    moments = (each for each in (at - 1000, at + 1000) if 0 <= each < 1 << 48)
    return tuple(each.to_bytes(6, "big") + key[6:] for each in moments)


def batch(messages: Sequence[Message]) -> int:
    """How many of these, from the first on, one question takes."""
    size = 0
    for number, message in enumerate(messages):
        size += len(message.body) + 300
        if number and size > MAX_BYTES:
            return number
    return len(messages)


def encode_question(question: Question) -> bytes:
    """A question as bytes."""
    messages = [
        [m.id, m.type, m.order, m.broker, m.routing_key, dict(m.headers), m.timestamp, m.body.decode()]
        for m in question.messages
    ]
    ids = [each.hex() for each in question.ids]
    document = {
        "version": 1,
        "token": question.token,
        "epoch": question.epoch,
        "ids": ids,
        "messages": messages,
    }
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 1)


def decode_question(data: bytes) -> Question:
    """The question that these bytes are. Raises Unusable."""
    try:
        unpacking = zlib.decompressobj()
        document = json.loads(unpacking.decompress(data, _LARGEST))
        if document["version"] != 1:
            raise Unusable(f"a question of version {document['version']}")
        return Question(
            str(document["token"]),
            int(document["epoch"]),
            tuple(bytes.fromhex(each) for each in document["ids"]),
            tuple(_message(*each) for each in document["messages"]),
        )
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise Unusable(f"no question: {error!r}") from error


def _message(
    id_: str,
    type_: str,
    order: str,
    broker: str,
    routing_key: str,
    headers: dict[str, str],
    timestamp: int,
    body: str,
) -> Message:
    return Message(id_, type_, order, broker, routing_key, headers, int(timestamp), body.encode())


def encode_answer(answer: Answer) -> bytes:
    """An answer as bytes."""
    return json.dumps({"version": 1, "token": answer.token, "states": answer.states}).encode()


def decode_answer(data: bytes) -> Answer:
    """The answer that these bytes are. Raises Unusable."""
    try:
        document = json.loads(data)
        if document["version"] != 1:
            raise Unusable(f"an answer of version {document['version']}")
        return Answer(str(document["token"]), str(document["states"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable(f"no answer: {error!r}") from error
