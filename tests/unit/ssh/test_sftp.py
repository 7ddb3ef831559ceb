"""The packets: as OpenSSH's documents have them, and what is cut short or nonsense."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssh import sftp


def test_hello() -> None:
    assert sftp.hello() == bytes.fromhex("00000005 01 00000003")


def test_the_answer_to_hello() -> None:
    body = struct.pack(">I", 3)
    for word in (b"fsync@openssh.com", b"1", b"limits@openssh.com", b"1"):
        body += struct.pack(">I", len(word)) + word
    assert sftp.extensions(body) == {"fsync@openssh.com": "1", "limits@openssh.com": "1"}
    assert sftp.extensions(struct.pack(">I", 3)) == {}
    with pytest.raises(sftp.Malformed):
        sftp.extensions(body[:-1])


def test_opening() -> None:
    read = bytes.fromhex("00000013 03 00000007 00000002 2f78 00000001 00000000")
    assert sftp.open_file(7, "/x", sftp.READ) == read
    new = bytes.fromhex("00000017 03 00000007 00000002 2f78 0000001a 00000004 00000180")
    assert sftp.open_file(7, "/x", sftp.WRITE | sftp.TRUNCATE) == new


def test_reading_writing_closing() -> None:
    assert sftp.read_piece(8, b"h", 2**33, 5) == bytes.fromhex(
        "00000016 05 00000008 00000001 68 0000000200000000 00000005"
    )
    assert sftp.write_head(9, b"h", 0, 3) + b"abc" == bytes.fromhex(
        "00000019 06 00000009 00000001 68 0000000000000000 00000003 616263"
    )
    assert sftp.close_file(1, b"h") == bytes.fromhex("0000000a 04 00000001 00000001 68")
    assert sftp.sync_file(1, b"h").endswith(b"fsync@openssh.com\0\0\0\1h")


def test_limits() -> None:
    assert sftp.limits(1)[9:] == b"\0\0\0\x12limits@openssh.com"
    body = struct.pack(">QQQQ", 262144, 261120, 261120, 1019)
    assert sftp.piece(body) == 261120
    assert sftp.piece(struct.pack(">QQQQ", 0, 0, 0, 0)) == 261120
    assert sftp.piece(struct.pack(">QQQQ", 0, 4096, 0, 0)) == 4096
    with pytest.raises(sftp.Malformed):
        sftp.piece(body[:20])


def test_status_and_handle() -> None:
    assert sftp.status(struct.pack(">II", 4, 7) + b"Failure" + struct.pack(">I", 0)) == (4, "Failure")
    assert sftp.status(struct.pack(">I", 2)) == (2, "")
    assert sftp.string(struct.pack(">I", 3) + b"abc") == b"abc"


@given(st.binary(max_size=40))
def test_nonsense_is_malformed_or_read_never_something_else(data: bytes) -> None:
    for read in (sftp.extensions, sftp.piece, sftp.status, sftp.string):
        try:
            read(data)
        except sftp.Malformed:
            continue
