"""One connection that an Asterisk made to us: its events in, REST requests out. Adapter.

The same to its reader as `socket.EventSocket`. The handshake is over when it
is made (`server_door`); reading never blocks anybody who sends.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from daemon.ari.frames import Fragments, OutOfOrder, closing
from daemon.ari.restcall import MARK
from daemon.ari.server_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    BadFrame,
    Frame,
    decode,
    encode,
    split,
)
from daemon.ari.wire import Disconnected, Wire

MAX_BATCH: Final = 1000
MAX_MESSAGE: Final = 16 * 1024 * 1024  # GET /channels with 20,000 channels
MAX_KEPT: Final = 512 * 1024 * 1024  # 800,000 events that came while an answer was waited for
_HEAD: Final = 96  # bytes of a message in which its type is looked for
_FRAME_SECONDS: Final = 10.0
_SEND_SECONDS: Final = 2.0
_STEP: Final = 0.25
_QUIET: Final = 0.03  # seconds without an event before we close
_LEAVE: Final = 0.5  # seconds for what a superseded connection still has


class ServerSocket:
    """One websocket. One thread reads; any may send. `peer` is who connected, HOST:PORT.

    `on_answer` takes what looks like the answer to a REST request, and says
    whether it was one; answers are not among the messages that are read.
    `at_close` takes the messages that come between our close frame and Asterisk's.
    """

    def __init__(
        self,
        sock: socket.socket,
        received: bytes,
        peer: str,
        on_answer: Callable[[bytes], bool],
        at_close: Callable[[list[bytes]], None],
    ) -> None:
        self.peer = peer
        self.spoke = False
        """Has a message come? Asterisk sends one as soon as it is ready (ApplicationRegistered)."""
        self.clean = False
        """Did Asterisk send its close frame? Then everything that it sent before has been read."""
        self._sock = sock
        self._wire = Wire(sock, 0.0)
        self._wire.data = received
        self._on_answer = on_answer
        self._at_close = at_close
        self._kept: deque[list[bytes]] = deque()
        self._kept_bytes = 0
        self._ended: Disconnected | None = None
        self._superseded = ""
        self._leave_at = 0.0
        self._fragments = Fragments()
        self._half_since: float | None = None
        self._sending = threading.Lock()
        self._closing = False

    @property
    def heard_at(self) -> float:
        """When bytes came last, on time.monotonic's clock."""
        return self._wire.heard_at

    @property
    def ended(self) -> bool:
        """Did it end while an answer was waited for? What came before can still be read."""
        return self._ended is not None

    def read_batch(self, timeout: float) -> list[bytes]:
        """All complete messages that are there, at most MAX_BATCH, in order.

        Waits up to `timeout` seconds for the first; [] when none came. Raises
        Disconnected once everything that came before the end has been read.
        """
        if self._kept:
            messages = self._kept.popleft()
            self._kept_bytes -= sum(map(len, messages))
            return messages
        if self._ended is not None:
            raise self._ended
        if self._superseded and time.monotonic() > self._leave_at:
            raise Disconnected(self._superseded)
        return self._receive(timeout)

    @property
    def kept(self) -> bool:
        """Whether `collect` kept messages that are still to be read."""
        return bool(self._kept)

    def collect(self, done: Callable[[], bool], deadline: float) -> None:
        """Read until `done` or `deadline`; what comes is kept for `read_batch`. For the reading thread.

        Also ends with the connection (`read_batch` raises it later), and when
        too much came.
        """
        while not done() and self._ended is None and self._kept_bytes < MAX_KEPT:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            try:
                messages = self._receive(min(remaining, _STEP))
            except Disconnected as gone:
                self._ended = gone
                return
            if messages:
                self._kept.append(messages)
                self._kept_bytes += sum(map(len, messages))
                time.sleep(0)

    def supersede(self, reason: str) -> None:
        """A newer connection took over: `read_batch` raises Disconnected once nothing is left to read."""
        self._leave_at = time.monotonic() + _LEAVE
        self._superseded = reason

    def send_text(self, text: str) -> None:
        """Send one message. Raises Disconnected."""
        self._send(TEXT, text.encode())

    def ping(self) -> None:
        """Ask for a sign of life: the pong moves `heard_at`. Raises Disconnected."""
        self._send(PING, b"")

    def close(self, timeout: float = 1.0) -> None:
        """Close properly: what comes before Asterisk's close frame goes to `at_close`. Never raises.

        Up to three times `timeout` is for a quiet moment, once more for Asterisk's close frame.
        """
        until = time.monotonic() + timeout
        try:
            while self._kept:
                self._at_close(self.read_batch(0))
            if self._ended is None and not self.clean:
                self._wait_for_quiet(until + 2 * timeout)
                until = time.monotonic() + timeout
                self._closing = True
                self._send(CLOSE, b"\x03\xe8")
                while (remaining := until - time.monotonic()) > 0:
                    if messages := self._receive(remaining):
                        self._at_close(messages)
        except Disconnected:
            return
        finally:
            self._wire.close()

    def _wait_for_quiet(self, until: float) -> None:
        """Read on until no event comes for a moment.

        An event that Asterisk 22 is about to write as its connection ends is
        dropped, and can even crash it: another of its threads uses the websocket
        that is being freed (22.10.1: 4 crashes in 365 closes at 14 calls/s, none
        in 692 with this wait).
        """
        quiet = time.monotonic() + _QUIET
        while (now := time.monotonic()) < min(quiet, until):
            if messages := self._receive(min(quiet, until) - now):
                self._at_close(messages)
                quiet = time.monotonic() + _QUIET

    def _receive(self, timeout: float) -> list[bytes]:
        wire = self._wire
        wire.deadline = time.monotonic() + timeout
        while True:
            messages: list[bytes] = []
            if not self._fragments.begun:
                messages, wire.at = split(wire.data, wire.at, MAX_BATCH)
            if not messages:
                frame = self._decode()
                if frame is None:
                    if not self._fill():
                        return []
                    continue
                messages = self._use(frame)
            self._half_since = None
            self.spoke = True
            if messages:  # an answer alone is none: whoever waits for it is to look at once
                return [m for m in messages if not (MARK in m[:_HEAD] and self._on_answer(m))]
            if time.monotonic() >= wire.deadline:
                return []

    def _fill(self) -> bool:
        """Receive more; False when the time is over."""
        wire = self._wire
        if wire.at < len(wire.data):
            now = time.monotonic()
            if self._half_since is None:
                self._half_since = now
            elif now - self._half_since > _FRAME_SECONDS:
                raise Disconnected(f"a frame stopped half way for {_FRAME_SECONDS:.0f} s")
        elif self._superseded:
            wire.deadline = min(wire.deadline, time.monotonic() + 0.01)  # what is there, and no more
        try:
            wire.fill()
        except TimeoutError:
            if self._superseded:
                raise Disconnected(self._superseded) from None
            return False
        return True

    def _decode(self) -> Frame | None:
        wire = self._wire
        try:
            frame = decode(wire.data, wire.at, MAX_MESSAGE - self._fragments.size)
        except BadFrame as error:
            self._bad(str(error), error.code)
        else:
            if frame is not None:
                wire.at = frame.after
            return frame

    def _use(self, frame: Frame) -> list[bytes]:
        """What a frame brings: a whole message, or nothing yet."""
        opcode, data = frame.opcode, frame.payload
        if opcode in (CONTINUATION, TEXT, BINARY):
            try:
                message = self._fragments.take(data, first=opcode != CONTINUATION, final=frame.final)
            except OutOfOrder as error:
                self._bad(str(error))
            return [] if message is None else [message]
        if opcode == PING:
            self._send(PONG, data)
        elif opcode == CLOSE:
            self._closed_by_peer(data)
        return []

    def _bad(self, said: str, code: int = 1002) -> NoReturn:
        self._ended = Disconnected(f"what came is no websocket frame of Asterisk's: {said}", code)
        with suppress(Disconnected):
            self._send(CLOSE, code.to_bytes(2, "big"))
        raise self._ended

    def _closed_by_peer(self, data: bytes) -> None:
        self.clean = True
        if not self._closing:
            with suppress(Disconnected):  # it need not wait for our answer
                self._send(CLOSE, b"\x03\xe8")
        raise Disconnected(*closing(data))

    def _send(self, opcode: int, payload: bytes) -> None:
        """Send a frame, whole: one that got stuck half way ends the connection."""
        view = memoryview(encode(opcode, payload))
        until = time.monotonic() + _SEND_SECONDS
        with self._sending:
            try:
                while view:
                    self._sock.settimeout(max(0.001, until - time.monotonic()))
                    view = view[self._sock.send(view) :]
            except OSError as error:
                with suppress(OSError):  # it may be gone already
                    self._sock.shutdown(socket.SHUT_RDWR)
                said = error.strerror or str(error)
                raise Disconnected(f"nothing can be sent any more: {said}") from error
