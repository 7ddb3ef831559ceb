"""Websocket frames as a client sends them, masked, out of a large buffer. Pure.

The counterpart of `frames` for the side that is connected to (RFC 6455, 5.2
and 5.3). What Asterisk sends is nearly always a whole text frame of 2 to 65535
bytes; `split` cuts those out and unmasks them, `decode` reads any frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PROTOCOL_ERROR: Final = 1002
TOO_BIG: Final = 1009

_TEXT = 0x8180  # final, no reserved bits, opcode 1, masked
_LONG_TEXT = _TEXT | 126
_SHORTEST = 2  # so that the first four bytes can always be read at once
_first_words = struct.Struct(">HH").unpack_from


class BadFrame(ValueError):
    """What came is no frame of a client. `code` is the close code to answer with."""

    def __init__(self, message: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, unmasked; `after` is where the next one begins."""

    opcode: int
    final: bool
    payload: bytes
    after: int


def unmask(data: bytes, at: int, size: int) -> bytes:
    """The `size` bytes of payload behind the four of the masking key at `at`.

    As one long number: for 600 bytes that is 2 us, byte by byte it would be 40.
    """
    start = at + 4
    key = (data[at:start] * ((size >> 2) + 1))[:size]
    mixed = int.from_bytes(data[start : start + size], "little") ^ int.from_bytes(key, "little")
    return mixed.to_bytes(size, "little")


def split(data: bytes, at: int, limit: int) -> tuple[list[bytes], int]:
    """Cut out at most `limit` whole masked text frames that begin at `at`.

    Returns their payloads and where the first byte not used is: the buffer's
    end, a frame that is not complete yet, or one that is for `decode`.
    """
    payloads: list[bytes] = []
    end = len(data)
    try:
        for _ in range(limit):
            head, size = _first_words(data, at)
            if head == _LONG_TEXT:
                key = at + 4
            elif _TEXT + _SHORTEST <= head < _LONG_TEXT:
                size = head - _TEXT
                key = at + 2
            else:
                break
            after = key + 4 + size
            if after > end:
                break
            payloads.append(unmask(data, key, size))
            at = after
    except struct.error:  # fewer than four bytes are left: no such frame is complete in them
        pass
    return payloads, at


def decode(data: bytes, at: int, most: int) -> Frame | None:
    """The frame that begins at `at`; None while it is not complete. Raises BadFrame.

    `most`: bytes of payload that are accepted, known from the frame's head.
    """
    if len(data) - at < 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, size, key = first & 0x0F, second & 0x7F, at + 2
    if first & 0x70:
        raise BadFrame("a frame uses bits that are reserved")
    if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        raise BadFrame(f"a frame has the unknown opcode {opcode}")
    if not second & 0x80:
        raise BadFrame("a frame is not masked, as a client's must be")
    if opcode >= CLOSE and (size > 125 or not first & 0x80):
        raise BadFrame("a control frame is longer than 125 bytes or in parts")
    if size > 125:
        width = 2 if size == 126 else 8
        if len(data) - key < width:
            return None
        size = int.from_bytes(data[key : key + width], "big")
        key += width
    if size > most:
        raise BadFrame(f"a message of {size} bytes was announced, which no ARI event has", TOO_BIG)
    after = key + 4 + size
    if after > len(data):
        return None
    return Frame(opcode, bool(first & 0x80), unmask(data, key, size), after)


def encode(opcode: int, payload: bytes) -> bytes:
    """One whole frame as a server sends it, unmasked."""
    size = len(payload)
    if size < 126:
        return struct.pack(">BB", 0x80 | opcode, size) + payload
    if size < 65536:
        return struct.pack(">BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack(">BBQ", 0x80 | opcode, 127, size) + payload
