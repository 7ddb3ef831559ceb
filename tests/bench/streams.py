"""What captured packets say: events with their arrival, messages with their publish and confirm. Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.bench.capture import Packet

Stream = list[tuple[float, bytes]]
"""The bytes of one direction, in order, with the time at which each piece came."""

_HTTP_UPGRADED = b"HTTP/1.1 101"
_ACK = (60, 80)


@dataclass(slots=True)
class Published:
    """A message on its way to the broker; `confirmed` is None where no ack came."""

    id: str
    type: str
    call: str  # "" where it is about none
    published: float
    confirmed: float | None = None


def streams(found: Iterable[Packet]) -> dict[tuple[int, int], Stream]:
    """Each direction of each connection, by source and target port, put together."""
    result: dict[tuple[int, int], Stream] = {}
    expected: dict[tuple[int, int], int] = {}
    early: dict[tuple[int, int], dict[int, Packet]] = {}
    for packet in found:
        key = (packet.source, packet.target)
        if packet.syn:
            expected[key] = (packet.seq + 1) & 0xFFFFFFFF
            result[key], early[key] = [], {}
            continue
        if not packet.data or key not in expected:
            continue
        early[key][packet.seq] = packet
        while (ready := early[key].pop(expected[key], None)) is not None:
            result[key].append((ready.at, ready.data))
            expected[key] = (ready.seq + len(ready.data)) & 0xFFFFFFFF
    return result


class _Reader:
    """Cuts a stream into pieces; `at` is when the last byte of the last piece came."""

    def __init__(self, stream: Stream) -> None:
        self._data = b"".join(data for _, data in stream)
        self._ends: list[tuple[int, float]] = []
        end = 0
        for at, data in stream:
            end += len(data)
            self._ends.append((end, at))
        self._chunk = 0
        self._place = 0
        self.at = 0.0

    def take(self, size: int) -> bytes:
        """The next bytes. EOFError: so many did not come."""
        if self._place + size > len(self._data):
            raise EOFError
        piece = self._data[self._place : self._place + size]
        self._place += size
        while self._ends[self._chunk][0] < self._place:
            self._chunk += 1
        self.at = self._ends[self._chunk][1]
        return piece

    def skip_past(self, mark: bytes) -> None:
        """Go on behind the next `mark`."""
        found = self._data.find(mark, self._place)
        if found < 0:
            raise EOFError
        self.take(found + len(mark) - self._place)


def events(all_streams: dict[tuple[int, int], Stream], port: int) -> list[tuple[float, bytes]]:
    """The text frames of the event websocket that the server at `port` sent, with their arrival."""
    found: list[tuple[float, bytes]] = []
    for (source, _), stream in all_streams.items():
        if source == port and stream and stream[0][1].startswith(_HTTP_UPGRADED):
            found += _text_frames(_Reader(stream))
    return sorted(found, key=lambda event: event[0])


def _text_frames(reader: _Reader) -> Iterator[tuple[float, bytes]]:
    try:
        reader.skip_past(b"\r\n\r\n")
        while True:
            opcode, size = reader.take(2)
            if size >= 126:
                size = int.from_bytes(reader.take(2 if size == 126 else 8), "big")
            payload = reader.take(size)
            if opcode == 0x81:
                yield reader.at, payload
    except EOFError:
        return


def publications(all_streams: dict[tuple[int, int], Stream], port: int) -> dict[str, Published]:
    """Every message published to the broker at `port`, by its id, with its confirm."""
    found: dict[str, Published] = {}
    for (source, target), stream in all_streams.items():
        if target != port or (port, source) not in all_streams:
            continue
        by_tag = dict(enumerate(_published(_Reader(stream)), 1))
        waiting = dict(by_tag)
        for at, tag, multiple in _acks(_Reader(all_streams[(port, source)])):
            for each in [t for t in waiting if t <= tag] if multiple else [tag]:
                message = waiting.pop(each, None)
                if message is not None:
                    message.confirmed = at
        found |= {message.id: message for message in by_tag.values()}
    return found


def _frames(reader: _Reader) -> Iterator[tuple[int, bytes]]:
    """AMQP frames (0-9-1, 4.2.3): type and payload."""
    try:
        while True:
            kind, _channel, size = struct.unpack(">BHI", reader.take(7))
            yield kind, reader.take(size + 1)[:-1]
    except EOFError:
        return


def _published(reader: _Reader) -> Iterator[Published]:
    try:
        reader.take(8)  # the protocol header
    except EOFError:
        return
    left = 0
    body = b""
    for kind, payload in _frames(reader):
        if kind == 2:
            left, body = int.from_bytes(payload[4:12], "big"), b""
        elif kind == 3:
            body += payload
            left -= len(payload)
            if left == 0:
                said = json.loads(body)
                operation, data = said["operation"], said["data"]
                yield Published(operation["id"], operation["type"], data.get("call", ""), reader.at)


def _acks(reader: _Reader) -> Iterator[tuple[float, int, bool]]:
    for kind, payload in _frames(reader):
        if kind == 1 and struct.unpack_from(">HH", payload) == _ACK:
            yield reader.at, int.from_bytes(payload[4:12], "big"), bool(payload[12] & 1)
