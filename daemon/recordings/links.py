"""Links to published recordings: signed tokens that expire. Pure.

    token = base64url( publication (16 bytes) | entry (3) | expires (4) | HMAC-SHA256 of these (16) )

`entry` 0 is the whole ZIP, n its n-th recording; `expires` seconds since 1970.
A publication's id is the HMAC of its request's id: nobody guesses it, and the
same request always has the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final

import msgspec

_LENGTH: Final = 16 + 3 + 4
_MAC: Final = 16
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{52}")
MAX_ENTRY: Final = (1 << 24) - 1


class Link(msgspec.Struct, frozen=True):
    """What a token means. `publication` is 32 hex digits."""

    publication: str
    entry: int
    expires: int


def publication_id(key: bytes, request_id: str) -> str:
    """The unguessable, repeatable name of what a request publishes."""
    return hmac.new(
        key, b"publication\0" + request_id.encode("utf-8", "replace"), hashlib.sha256
    ).hexdigest()[:32]


def check(key: bytes) -> str:
    """The same on two nodes if their keys are; it tells nothing of the key."""
    return hmac.new(key, b"check\0", hashlib.sha256).hexdigest()[:32]


def sign(key: bytes, link: Link) -> str:
    """A link as a token."""
    body = bytes.fromhex(link.publication) + link.entry.to_bytes(3, "big") + link.expires.to_bytes(4, "big")
    return base64.urlsafe_b64encode(body + _mac(key, body)).decode().rstrip("=")


def read(key: bytes, token: str) -> Link | None:
    """A token as a link; None: we never made it. Whether it has expired is the caller's to see."""
    if not _TOKEN.fullmatch(token):
        return None
    try:
        data = base64.urlsafe_b64decode(token)
    except (binascii.Error, ValueError):
        return None
    body, mac = data[:_LENGTH], data[_LENGTH:]
    if not hmac.compare_digest(mac, _mac(key, body)) or len(mac) != _MAC:
        return None
    return Link(
        body[:16].hex(), int.from_bytes(body[16:19], "big"), int.from_bytes(body[19:23], "big")
    )  # fmt: skip


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, b"link\0" + body, hashlib.sha256).digest()[:_MAC]
