"""Cutting frames out of a buffer, against websocket-client's own decoder."""

from __future__ import annotations

import struct

import websocket
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.ari.frames import announced, is_plain, split


def text(payload: bytes, first: int = 0x81) -> bytes:
    size = len(payload)
    if size < 126:
        return struct.pack(">BB", first, size) + payload
    if size < 65536:
        return struct.pack(">BBH", first, 126, size) + payload
    return struct.pack(">BBQ", first, 127, size) + payload


class Ended(Exception):
    """The library's decoder wants more than there is."""


def decoded_by_library(data: bytes) -> list[tuple[int, int, bytes]]:
    """(fin, opcode, payload) of the frames that websocket-client finds, up to the first bad one."""
    at = 0

    def recv(size: int) -> bytes:
        nonlocal at
        if at >= len(data):
            raise Ended
        piece = data[at : at + size]
        at += len(piece)
        return piece

    buffer = websocket.frame_buffer(recv, True)
    frames = []
    try:
        while True:
            frame = buffer.recv_frame()
            frames.append((frame.fin, frame.opcode, bytes(frame.data)))
    except (Ended, websocket.WebSocketException):
        return frames


def test_many_frames_in_one_read_keep_their_order() -> None:
    payloads = [b"%d" % number * 10 for number in range(500)]
    assert split(b"".join(map(text, payloads)), 0, 1000) == (payloads, sum(len(p) + 2 for p in payloads))


def test_the_limit_leaves_the_rest() -> None:
    data = text(b"one") + text(b"two") + text(b"three")
    assert split(data, 0, 2) == ([b"one", b"two"], 10)
    assert split(data, 10, 2) == ([b"three"], len(data))


def test_a_frame_split_at_every_byte() -> None:
    for payload in (b"{}", b"x" * 125, b"x" * 126, b"x" * 300):
        data = text(b"before") + text(payload)
        for cut in range(len(data)):
            frames, at = split(data[:cut], 0, 1000)
            assert frames == ([b"before"] if cut >= 8 else [])
            assert at == (8 if cut >= 8 else 0)
            assert is_plain(data[:cut], at)
        assert split(data, 0, 1000) == ([b"before", payload], len(data))


def test_what_is_not_plain_is_left() -> None:
    for strange in (
        text(b"", 0x89),  # ping
        text(b"\x03\xe8", 0x88),  # close
        text(b"part", 0x01),  # first fragment
        text(b"more", 0x80),  # continuation
        text(b"bits", 0xC1),  # a reserved bit
        text(b"data", 0x82),  # binary
        text(b"x" * 65536),  # a giant
        b"\x81\x84abcdefgh",  # masked
        text(b""),  # crumbs
        text(b"1"),
    ):
        frames, at = split(text(b"before") + strange + b"rest", 0, 1000)
        assert (frames, at) == ([b"before"], 8)
        assert not is_plain(strange, 0)


def test_the_announced_length() -> None:
    assert announced(b"", 0) is None
    assert announced(b"\x81", 0) is None
    assert announced(b"\x89\x00", 0) == 0
    assert announced(b"..\x81\x7e\x01", 2) is None
    assert announced(b"..\x81\x7e\x01\x00", 2) == 256
    assert announced(b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), 0) == 1 << 40
    assert announced(b"\x81\xfe\x00\x80", 0) == 128


FRAMES = st.one_of(
    st.builds(text, st.binary(max_size=300)),
    st.builds(text, st.binary(max_size=20), st.integers(0, 255)),
    st.binary(max_size=12),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(FRAMES, max_size=8).map(b"".join))
def test_the_same_frames_as_the_library(data: bytes) -> None:
    """What is cut out is what the library decodes, frame by frame, and nothing is skipped."""
    frames, at = split(data, 0, 1000)
    library = decoded_by_library(data)
    assert [(1, 1, payload) for payload in frames] == library[: len(frames)]
    assert decoded_by_library(data[at:]) == library[len(frames) :]
    if is_plain(data, at):  # then it only waits for the rest of one
        assert len(library) == len(frames)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=2, max_size=200), min_size=1, max_size=12), st.data())
def test_any_cutting_into_reads_gives_the_same(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(text, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    got: list[bytes] = []
    rest = b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rest += stream[begin:end]
        frames, at = split(rest, 0, 3)
        while frames:
            got += frames
            rest = rest[at:]
            frames, at = split(rest, 0, 3)
    assert (got, rest) == (payloads, b"")
