"""The identity of a fact: the same fact has the same id, whoever saw it. Pure.

A UUID of version 7 in form (RFC 9562, 5.7), with nothing random in it::

     0                   48   52           64 66                          128
     | call's time in ms | 7  | hash       |10| hash, goes on             |

The time is floored to the second, so that ids sort by when their call began
and two observers whose clocks are not asked agree. The 74 other bits are the
first bits of a SHA-256 over what tells the fact from every other one.
"""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

_LATEST_MS = (1 << 48) - 1


def fact_id(server: str, call: str, type: str, created_ms: int, *parts: str) -> str:
    """The id of one fact, as the 36 characters of a UUID.

    `server` is the Asterisk's configured name: two Asterisks do make the same
    channel ids. `call` is the linkedid, "" where there is no call. `created_ms`
    is the call's creation time (where there is no call, the event's own time)
    in milliseconds since the epoch; a time before 1970 counts as 1970, since a
    broken clock must not stop a message. `parts` are what tells facts of one
    type within a call apart:

    =====================  ==============================
    type                   parts
    =====================  ==============================
    recording-*            file name
    dtmf                   channel, time in ms, digit
    endpoint-status        endpoint, state, time in ms
    monitor-gap            node, from in ms
    click-to-call-result   request, outcome
    all others             none
    =====================  ==============================

    What is hashed is each of server, call, type and parts in turn, in UTF-8,
    behind its length in bytes as 4 bytes, big end first: ("ab", "c") and
    ("a", "bc") are different facts.
    """
    digest = sha256()
    for piece in (server, call, type, *parts):
        encoded = piece.encode()
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    moment = min(max(created_ms // 1000 * 1000, 0), _LATEST_MS)
    value = moment << 80 | int.from_bytes(digest.digest()[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))
