"""Listens on the loopback to what goes over some TCP ports: the daemon is timed without being touched.

    python -m tests.bench.capture FILE PORT...

A raw socket with a kernel filter; each packet is written with the kernel's own
time stamp. Needs the right to do so (root, CAP_NET_RAW). Prints "ready"; at
SIGTERM, the number of packets that were missed.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ALL = 0x0003
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 26, 35, 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_BUFFER = 64 << 20
_LARGEST = 128 << 10
_HEAD = struct.Struct("<dI")


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP segment: when it came (seconds since the epoch), from and to which port, its place, its bytes."""

    at: float
    source: int
    target: int
    seq: int
    syn: bool
    data: bytes


def _filter(ports: list[int]) -> bytes:
    """Classic BPF: IPv4, TCP, one of the ports, and each packet once (the loopback shows it twice)."""
    code: list[tuple[int, int, int, int]] = [
        (0x20, 0, 0, 0xFFFFF004),  # A = packet type
        (0x15, -1, 0, 4),  # outgoing: refuse
        (0x28, 0, 0, 12),  # A = protocol
        (0x15, 0, -1, 0x0800),
        (0x30, 0, 0, 23),
        (0x15, 0, -1, 6),
        (0xB1, 0, 0, 14),  # X = length of the IP header
        (0x48, 0, 0, 14),  # A = source port
        *((0x15, -2, 0, port) for port in ports),
        (0x48, 0, 0, 16),  # A = target port
        *((0x15, -2, 0, port) for port in ports),
    ]
    refuse, accept = len(code), len(code) + 1
    ends = {-1: refuse, -2: accept}
    packed = b""
    for at, (op, yes, no, value) in enumerate(code):
        yes = ends[yes] - at - 1 if yes < 0 else yes
        no = ends[no] - at - 1 if no < 0 else no
        packed += struct.pack("HBBI", op, yes, no, value)
    return packed + struct.pack("HBBI", 0x06, 0, 0, 0) + struct.pack("HBBI", 0x06, 0, 0, 0xFFFFFFFF)


def listen(ports: list[int]) -> socket.socket:
    """The raw socket. Raises PermissionError."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    program = _filter(ports)
    kept = ctypes.create_string_buffer(program, len(program))
    raw.setsockopt(
        socket.SOL_SOCKET,
        _SO_ATTACH_FILTER,
        struct.pack("HL", len(program) // 8, ctypes.addressof(kept)),
    )
    raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    raw.bind(("lo", _ALL))
    return raw


def packets(path: Path) -> Iterator[Packet]:
    """What was captured, in order."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        when, size = _HEAD.unpack_from(data, at)
        frame = data[at + _HEAD.size : at + _HEAD.size + size]
        at += _HEAD.size + size
        ip = 14
        tcp = ip + (frame[ip] & 15) * 4
        source, target, seq = struct.unpack_from(">HHI", frame, tcp)
        begin = tcp + (frame[tcp + 12] >> 4) * 4
        end = ip + (int.from_bytes(frame[ip + 2 : ip + 4], "big") or len(frame) - ip)
        yield Packet(when, source, target, seq, bool(frame[tcp + 13] & 2), frame[begin:end])


def main() -> None:
    """Capture until SIGTERM."""
    path, *ports = sys.argv[1:]
    raw = listen([int(port) for port in ports])
    going = True

    def stop(*_: object) -> None:
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, stop)
    raw.settimeout(0.2)
    print("ready", flush=True)
    with Path(path).open("wb") as out:
        while going:
            try:
                frame, extra, _, _ = raw.recvmsg(_LARGEST, 64)
            except TimeoutError:
                continue
            seconds, nanos = struct.unpack("ll", extra[0][2][:16])
            out.write(_HEAD.pack(seconds + nanos / 1e9, len(frame)) + frame)
    missed = struct.unpack("II", raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
    print(missed, flush=True)


if __name__ == "__main__":
    main()
