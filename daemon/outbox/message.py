"""One message on its way out: what the outbox keeps and a broker gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered message.

    `id` is its identity (UUID v7 in form): storing it twice keeps it once.
    `order` is what order is kept within: server and call, or the message's own
    id where there is no call. `broker` names a message server of the
    definition files, "" is the `[mq]` of the configuration. `timestamp` is in
    seconds since the epoch. `body` is one JSON object in UTF-8.
    """

    id: str
    type: str
    order: str
    broker: str
    routing_key: str
    headers: Mapping[str, str]
    timestamp: int
    body: bytes
