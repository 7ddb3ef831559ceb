"""A message as a row of the outbox's file, and back. Pure."""

from __future__ import annotations

import json

from daemon.outbox.entry import Entry
from daemon.outbox.message import Message

Row = tuple[int, bytes, str, str, str, str, str, str, int, str]
"""seq, key, id, broker, order_key, type, routing_key, headers, timestamp, body."""

StateKey = tuple[str, str]
"""Whose state it is (an Asterisk's name), and its key there."""


def key_of(message_id: str) -> bytes:
    """A message id as the dedup table has it: a UUID's 16 bytes, else its text."""
    if len(message_id) == 36 and message_id[8] == message_id[13] == message_id[18] == message_id[23] == "-":
        packed = message_id.replace("-", "")
        if len(packed) == 32 and packed == packed.lower() and packed.isalnum() and packed.isascii():
            try:
                return bytes.fromhex(packed)
            except ValueError:
                return message_id.encode()
    return message_id.encode()


def row_of(seq: int, message: Message) -> Row:
    """A message as its row. Raises UnicodeError if the body or a text is no UTF-8."""
    headers = json.dumps(dict(message.headers), ensure_ascii=False, separators=(",", ":"))
    check_text(message.id, message.broker, message.order, message.type, message.routing_key, headers)
    return (
        seq,
        key_of(message.id),
        message.id,
        message.broker,
        message.order,
        message.type,
        message.routing_key,
        headers,
        message.timestamp,
        message.body.decode(),
    )


def check_text(*texts: str) -> None:
    """SQLite takes no lone surrogates. Raises UnicodeEncodeError."""
    "".join(texts).encode()


def entry_of(
    seq: int,
    message_id: str,
    broker: str,
    order: str,
    kind: str,
    routing_key: str,
    headers: str,
    timestamp: int,
    body: str,
    attempts: int,
    next_try: float,
) -> Entry:
    """A stored message from its columns."""
    message = Message(
        id=message_id,
        type=kind,
        order=order,
        broker=broker,
        routing_key=routing_key,
        headers=json.loads(headers),
        timestamp=timestamp,
        body=body.encode(),
    )
    return Entry(seq, message, attempts, next_try)
