"""The packets of SFTP that move a file's bytes, made and read. Pure.

Version 3, draft-ietf-secsh-filexfer-02, with OpenSSH's extensions limits@ and
fsync@ (its file PROTOCOL, 4). Everything else that a remote file system can do
is paramiko's (connection.py): these few run in a child process, where 256 KiB
at a time make Python as fast as OpenSSH's own client.

    length (4) | kind (1) | number (4) | body         hello and version: no number
"""

from __future__ import annotations

from struct import Struct
from typing import Final

VERSION: Final = 2
STATUS: Final = 101
HANDLE: Final = 102
DATA: Final = 103
EXTENDED_REPLY: Final = 201

OK: Final = 0
EOF: Final = 1
WORDS: Final = {2: "no-such-file", 3: "denied", 8: "unsupported"}
"""Status codes that say more than "failure"."""

READ: Final = 0x01
WRITE: Final = 0x02 | 0x08  # and create
TRUNCATE: Final = 0x10

LEAST: Final = 32 * 1024
"""Bytes of one piece that every server takes."""
_MOST: Final = 255 * 1024  # of 256 KiB with the packet's head, OpenSSH's limit

_INIT, _OPEN, _CLOSE, _READ, _WRITE, _FSTAT, _EXTENDED = 1, 3, 4, 5, 6, 8, 200
_HEAD: Final = Struct(">IBI")
_NUMBER: Final = Struct(">I")
_WHERE: Final = Struct(">QI")
_HAS_MODE: Final = 0x04


class Malformed(Exception):
    """The other side's packet can't be read."""


def hello() -> bytes:
    """The first packet."""
    return b"\0\0\0\5" + bytes((_INIT,)) + _NUMBER.pack(3)


def extensions(body: bytes) -> dict[str, str]:
    """What the answer to hello announces. Raises Malformed."""
    found, at = {}, 4
    while at < len(body):
        name, at = _text(body, at)
        value, at = _text(body, at)
        found[name.decode("ascii", "replace")] = value.decode("ascii", "replace")
    return found


def open_file(number: int, path: str, flags: int, mode: int = 0o600) -> bytes:
    """Open; `mode` is a new file's."""
    attributes = _NUMBER.pack(_HAS_MODE) + _NUMBER.pack(mode) if flags & WRITE else _NUMBER.pack(0)
    return _packet(_OPEN, number, _string(path.encode()) + _NUMBER.pack(flags) + attributes)


def close_file(number: int, handle: bytes) -> bytes:
    """Close."""
    return _packet(_CLOSE, number, _string(handle))


def size_of(number: int, handle: bytes) -> bytes:
    """Ask for the attributes of an open file; `size` reads the answer."""
    return _packet(_FSTAT, number, _string(handle))


def size(body: bytes) -> int:
    """Bytes, from the attributes. Raises Malformed."""
    if len(body) < 12 or not _number(body, 0) & 1:
        raise Malformed("attributes without a size")
    return int.from_bytes(body[4:12], "big")


def read_piece(number: int, handle: bytes, offset: int, length: int) -> bytes:
    """Ask for so many bytes; fewer may come."""
    return _packet(_READ, number, _string(handle) + _WHERE.pack(offset, length))


def write_head(number: int, handle: bytes, offset: int, length: int) -> bytes:
    """What stands before `length` bytes of a file that are written there."""
    body = _string(handle) + _WHERE.pack(offset, length)
    return _HEAD.pack(5 + len(body) + length, _WRITE, number) + body


def sync_file(number: int, handle: bytes) -> bytes:
    """fsync@openssh.com."""
    return _packet(_EXTENDED, number, _string(b"fsync@openssh.com") + _string(handle))


def limits(number: int) -> bytes:
    """limits@openssh.com; `piece` reads the answer."""
    return _packet(_EXTENDED, number, _string(b"limits@openssh.com"))


def piece(body: bytes) -> int:
    """Bytes that one read and one write may have, from the answer to `limits`. Raises Malformed."""
    if len(body) < 24:
        raise Malformed("limits without numbers")
    reading, writing = (int.from_bytes(body[at : at + 8], "big") for at in (8, 16))
    return min(_MOST, reading or _MOST, writing or _MOST)


def status(body: bytes) -> tuple[int, str]:
    """Code and text of a status. Raises Malformed."""
    text, _ = _text(body, 4) if len(body) >= 8 else (b"", 0)
    return _number(body, 0), text.decode("utf-8", "replace")


def string(body: bytes) -> bytes:
    """The first string: a handle. Raises Malformed."""
    return _text(body, 0)[0]


def _packet(kind: int, number: int, body: bytes) -> bytes:
    return _HEAD.pack(5 + len(body), kind, number) + body


def _string(data: bytes) -> bytes:
    return _NUMBER.pack(len(data)) + data


def _number(body: bytes, at: int) -> int:
    if at + 4 > len(body):
        raise Malformed("a packet that is cut short")
    return int(_NUMBER.unpack_from(body, at)[0])


def _text(body: bytes, at: int) -> tuple[bytes, int]:
    end = at + 4 + _number(body, at)
    if end > len(body):
        raise Malformed("a packet that is cut short")
    return bytes(body[at + 4 : end]), end
