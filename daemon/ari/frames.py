"""Websocket frames out of a large buffer, the common case only; parts of a message, and its close. Pure.

What Asterisk sends is nearly always a whole, unmasked text frame of 2 to
65535 bytes (RFC 6455, 5.2: 0x81, then the length in one byte, or 126 and two
bytes). Those are cut out here, a thousand at a time; everything else (control
frames, fragments, giants, crumbs, nonsense) is left to websocket-client.
"""

from __future__ import annotations

import struct

_TEXT = 0x8100  # final, no reserved bits, opcode 1, unmasked
_LONG_TEXT = _TEXT | 126
_SHORTEST = 2  # so that the first four bytes can always be read at once
_first_words = struct.Struct(">HH").unpack_from


def split(data: bytes, at: int, limit: int) -> tuple[list[bytes], int]:
    """Cut out at most `limit` whole plain text frames that begin at `at`.

    Returns their payloads and where the first byte not used is: the buffer's
    end, a frame that is not complete yet, or one that is not plain.
    """
    payloads: list[bytes] = []
    end = len(data)
    try:
        for _ in range(limit):
            head, length = _first_words(data, at)
            if head == _LONG_TEXT:
                start = at + 4
            elif _TEXT + _SHORTEST <= head < _LONG_TEXT:
                length = head - _TEXT
                start = at + 2
            else:
                break
            after = start + length
            if after > end:
                break
            payloads.append(data[start:after])
            at = after
    except struct.error:  # fewer than four bytes are left: no plain frame is complete in them
        pass
    return payloads, at


class OutOfOrder(ValueError):
    """A part of a message where RFC 6455, 5.4 allows none."""


class Fragments:
    """A message that comes in parts. `size`: bytes of it so far."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Has a message begun and not ended?"""
        return bool(self._parts)

    def take(self, payload: bytes, *, first: bool, final: bool) -> bytes | None:
        """The whole message, or None while parts are missing. Raises OutOfOrder."""
        if first and self._parts:
            raise OutOfOrder("a message began inside another one")
        if not first and not self._parts:
            raise OutOfOrder("a continuation came without a beginning")
        if first and final:
            return payload
        self._parts.append(payload)
        self.size += len(payload)
        if not final:
            return None
        message = b"".join(self._parts)
        self._parts, self.size = [], 0
        return message


def closing(payload: bytes) -> tuple[str, int | None]:
    """What a close frame says, as a sentence, and its code (RFC 6455, 5.5.1)."""
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
    reason = payload[2:].decode("utf-8", "replace")
    return f"Asterisk closed the websocket ({code}{': ' + reason if reason else ''})", code


def is_plain(data: bytes, at: int) -> bool:
    """Can what begins here be a plain text frame, as far as its first bytes tell?"""
    match data[at : at + 2]:
        case b"" | b"\x81":
            return True
        case head if len(head) == 2:
            return _TEXT + _SHORTEST <= int.from_bytes(head, "big") <= _LONG_TEXT
        case _:
            return False


def announced(data: bytes, at: int) -> int | None:
    """Payload length that the frame at `at` announces; None while its header is not complete."""
    rest = len(data) - at
    if rest < 2:
        return None
    length = data[at + 1] & 0x7F
    size = {126: 2, 127: 8}.get(length, 0)
    if rest < 2 + size:
        return None
    return int.from_bytes(data[at + 2 : at + 2 + size], "big") if size else length
