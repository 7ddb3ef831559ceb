"""The audio of a phone: a tone as RTP, and digits after RFC 4733."""

import contextlib
import random
import socket
import struct
import threading
import time

TONE = (b"\x8f" * 10 + b"\x0f" * 10) * 8  # 20 ms of a 400 Hz square wave, mu-law
DIGITS = "0123456789*#"
FRAME = 0.02


class Audio:
    """One direction of RTP: sends a tone to `target` until it is closed; what comes in is thrown away."""

    def __init__(self, ip: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind((ip, 0))
        self.port: int = self.socket.getsockname()[1]
        self.target: tuple[str, int] | None = None
        self.muted = False
        self.sequence = random.randrange(1000)
        self.stamp = 0
        self.source = random.randrange(1 << 32)
        self.lock = threading.Lock()
        self.closed = threading.Event()

    def start(self, target: tuple[str, int]) -> None:
        known, self.target = self.target, target
        if known is None:
            threading.Thread(target=self._run, name=f"audio {self.port}", daemon=True).start()

    def close(self) -> None:
        self.closed.set()

    def _send(self, kind: int, payload: bytes, *, marker: bool = False) -> None:
        head = struct.pack(
            "!BBHII", 0x80, kind | (0x80 if marker else 0), self.sequence & 0xFFFF, self.stamp, self.source
        )
        self.sequence += 1
        if self.target is not None:
            with contextlib.suppress(OSError):
                self.socket.sendto(head + payload, self.target)

    def _run(self) -> None:
        due = time.monotonic()
        while not self.closed.wait(max(0.0, due - time.monotonic())):
            due += FRAME
            with self.lock:
                if not self.muted:
                    self._send(0, TONE)
                self.stamp += 160
        self.socket.close()

    def digits(self, text: str, length: float = 0.12, gap: float = 0.1) -> None:
        """Press the keys; returns when the last one was released."""
        for digit in text:
            with self.lock:
                event = DIGITS.index(digit)
                frames = int(length / FRAME)
                for n in range(1, frames + 1):
                    self._send(101, struct.pack("!BBH", event, 10, n * 160), marker=n == 1)
                    time.sleep(FRAME)
                for _ in range(3):
                    self._send(101, struct.pack("!BBH", event, 0x80 | 10, frames * 160))
                self.stamp += frames * 160
            time.sleep(gap)
