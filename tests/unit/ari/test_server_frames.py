"""Masked frames out of a buffer, against wsproto as the client that makes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from daemon.ari.server_frames import BadFrame, Frame, decode, encode, split

MASKED_HELLO = bytes.fromhex("818537fa213d7f9f4d5158")  # RFC 6455, 5.7


def sent(*events: Event) -> bytes:
    client = Connection(ConnectionType.CLIENT)
    return b"".join(client.send(event) for event in events)


def test_the_examples_of_the_rfc() -> None:
    assert split(MASKED_HELLO, 0, 10) == ([b"Hello"], 11)
    assert decode(MASKED_HELLO, 0, 100) == Frame(1, True, b"Hello", 11)
    assert encode(1, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert encode(2, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert encode(2, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


@given(st.lists(st.text(min_size=2, max_size=400), max_size=8), st.integers(1, 5))
def test_whole_texts_come_out_in_order(texts: list[str], limit: int) -> None:
    data = sent(*(TextMessage(data=text) for text in texts))
    found: list[bytes] = []
    at = 0
    while at < len(data):
        some, at = split(data, at, limit)
        assert 1 <= len(some) <= limit
        found += some
    assert found == [text.encode() for text in texts]


@given(st.integers(2, 70_000), st.data())
def test_what_is_cut_off_is_left(size: int, data: st.DataObject) -> None:
    first, second = sent(TextMessage(data="ab")), sent(TextMessage(data="x" * size))
    cut = data.draw(st.integers(0, len(second) - 1))
    buffer = first + second[:cut]
    assert split(buffer, 0, 10) == ([b"ab"], len(first))
    assert decode(buffer, len(first), 100_000) is None
    whole = decode(first + second, len(first), 100_000)
    assert whole == Frame(1, True, b"x" * size, len(first + second))


@pytest.mark.parametrize(
    "event",
    [Ping(payload=b"hi"), CloseConnection(code=1000), BytesMessage(data=b"abc"), TextMessage(data="")],
)
def test_anything_else_is_left_to_decode(event: Event) -> None:
    data = sent(event)
    assert split(data, 0, 10) == ([], 0)
    frame = decode(data, 0, 100)
    assert frame is not None
    assert frame.after == len(data)


def test_parts_of_a_message() -> None:
    data = sent(
        TextMessage(data="one ", message_finished=False),
        Ping(payload=b"between"),
        TextMessage(data="two", message_finished=True),
    )
    frames = []
    at = 0
    while (frame := decode(data, at, 100)) is not None:
        frames.append((frame.opcode, frame.final, frame.payload))
        at = frame.after
    assert frames == [(1, False, b"one "), (9, True, b"between"), (0, True, b"two")]


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        ("8105 48656c6c6f", 1002, "not masked"),
        ("c185 37fa213d 7f9f4d5158", 1002, "reserved"),
        ("8385 37fa213d 7f9f4d5158", 1002, "unknown opcode 3"),
        ("89fe 0080 00000000", 1002, "control frame"),
        ("0980 00000000", 1002, "control frame"),
        ("81fe 0065", 1009, "101 bytes"),
        ("81ff 7fffffffffffffff", 1009, "9223372036854775807 bytes"),
    ],
)
def test_no_frame_of_a_client(data: str, code: int, said: str) -> None:
    with pytest.raises(BadFrame, match=said) as caught:
        decode(bytes.fromhex(data), 0, 100)
    assert caught.value.code == code


@given(st.binary(max_size=300), st.integers(0, 20))
def test_garbage_never_breaks_it(data: bytes, at: int) -> None:
    payloads, after = split(data, at, 10)
    assert after >= at
    assert payloads or after == at
    try:
        frame = decode(data, at, 1000)
    except BadFrame:
        return
    assert frame is None or at < frame.after <= len(data)
