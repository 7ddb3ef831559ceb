"""Messages and entries for the outbox's tests."""

from __future__ import annotations

import uuid

from daemon.outbox.entry import Entry
from daemon.outbox.message import Message


def message(name: str, order: str = "voip3/1", broker: str = "", kind: str = "received-call") -> Message:
    """A message whose id is a hash of its name."""
    return Message(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        type=kind,
        order=order,
        broker=broker,
        routing_key=f"call.{kind}.101.voip3",
        headers={"server": "voip3", "client": "101", "node": "AUDIO2"},
        timestamp=1_761_562_800,
        body=b'{"operation": {"type": "'
        + kind.encode()
        + b'"}, "data": {"call": "'
        + order.encode()
        + b'"}}',
    )


def entry(seq: int, order: str, next_try: float = 0.0) -> Entry:
    """A stored message."""
    return Entry(seq, message(str(seq), order), next_try=next_try)
