"""The event websocket: the one file that knows websocket-client.

The library does the handshake, answers pings, decodes the rare frames and
closes; the common frames come straight out of `Wire`'s buffer (`frames`).
Reading blocks, with a deadline; there are no callbacks and no reconnecting.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Final

import websocket

from daemon.ari.address import Address, basic_authorization, explain
from daemon.ari.frames import Fragments, OutOfOrder, announced, closing, is_plain, split
from daemon.ari.wire import ConnectError, Disconnected, Wire

MAX_BATCH: Final = 1000
MAX_MESSAGE: Final = 16 * 1024 * 1024
_HANDSHAKE_BYTES: Final = 64 * 1024
_FRAME_SECONDS: Final = 5.0
_SEND_SECONDS: Final = 2.0

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING = 0x0, 0x1, 0x2, 0x8, 0x9


class EventSocket:
    """One connected event websocket. Used by one thread at a time."""

    def __init__(self, wire: Wire, client: websocket.WebSocket) -> None:
        """Use `connect`."""
        self._wire = wire
        self._client = client
        self._fragments = Fragments()

    @classmethod
    def connect(
        cls,
        address: Address,
        username: str,
        password: str,
        app: str,
        *,
        subscribe_all: bool = False,
        timeout: float = 5.0,
        context: ssl.SSLContext | None = None,
    ) -> EventSocket:
        """Connect and shake hands within `timeout` seconds altogether. Raises ConnectError."""
        wire = Wire.open(address, time.monotonic() + timeout, context)
        wire.allowance = _HANDSHAKE_BYTES
        # A masked client frame is sent by one thread only: no locks.
        client = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
        try:
            client.connect(  # type: ignore[no-untyped-call]
                address.events_url(app, subscribe_all),
                socket=wire,
                header=["Authorization: " + basic_authorization(username, password)],
                suppress_origin=True,
                redirect_limit=0,
            )
        except (websocket.WebSocketException, Disconnected, OSError, ValueError) as error:
            wire.close()
            raise _handshake_error(error, client.getstatus(), address, timeout) from error
        except BaseException:
            wire.close()
            raise
        wire.allowance = None
        return cls(wire, client)

    @property
    def heard_at(self) -> float:
        """When bytes came last, on time.monotonic's clock."""
        return self._wire.heard_at

    def read_batch(self, timeout: float) -> list[bytes]:
        """All complete messages that are there, at most MAX_BATCH, in order.

        Waits up to `timeout` seconds for the first; [] when none came.
        Pings are answered on the way. Raises Disconnected, also for a clean
        close (with its code) and for what is no websocket frame.
        """
        wire = self._wire
        wire.deadline = time.monotonic() + timeout
        while True:
            if not self._fragments.begun:
                messages, wire.at = split(wire.data, wire.at, MAX_BATCH)
                if messages:
                    return messages
            if not self._fragments.begun and is_plain(wire.data, wire.at):
                try:
                    wire.fill()
                except TimeoutError:
                    return []
            else:
                message = self._rare_frame()
                if message is not None:
                    return [message]
                if time.monotonic() >= wire.deadline:
                    return []

    def ping(self) -> None:
        """Ask for a sign of life: the pong moves `heard_at`. Raises Disconnected."""
        self._guarded_send(lambda: self._client.ping(b""))

    def close(self, timeout: float = 1.0) -> None:
        """Close properly, waiting up to `timeout` for Asterisk's close frame. Never raises.

        An abrupt close makes Asterisk clean up late, and the next connection
        under the same name may then lose its application.
        """
        until = time.monotonic() + timeout
        try:
            if self._client.connected:
                self._guarded_send(lambda: self._client.send_close(1000))
                while (remaining := until - time.monotonic()) > 0:
                    self.read_batch(remaining)
        except Disconnected:
            return
        finally:
            self._wire.close()

    def _rare_frame(self) -> bytes | None:
        """Read one frame by websocket-client: a whole message, or None for a part or a control frame."""
        wire = self._wire
        wanted, wire.deadline = wire.deadline, time.monotonic() + _FRAME_SECONDS
        try:
            while (length := announced(wire.data, wire.at)) is None:
                wire.fill()
            if length > MAX_MESSAGE or length + self._fragments.size > MAX_MESSAGE:
                raise Disconnected(f"a message of {length} bytes was announced, which no ARI event has")
            frame = self._client.recv_frame()  # type: ignore[no-untyped-call]
        except (TimeoutError, websocket.WebSocketTimeoutException) as error:
            raise Disconnected(f"a frame stopped half way for {_FRAME_SECONDS:.0f} s") from error
        except (websocket.WebSocketException, ValueError) as error:
            raise Disconnected(f"what came is no websocket frame: {error}") from error
        except OSError as error:
            raise Disconnected(f"the connection broke: {error.strerror or error}") from error
        finally:
            wire.deadline = wanted
        return self._use(frame.opcode, bool(frame.fin), bytes(frame.data))

    def _use(self, opcode: int, final: bool, data: bytes) -> bytes | None:
        if opcode in (_CONTINUATION, _TEXT, _BINARY):
            try:
                return self._fragments.take(data, first=opcode != _CONTINUATION, final=final)
            except OutOfOrder as error:
                raise Disconnected(str(error)) from error
        if len(data) > 125:
            raise Disconnected("a control frame was longer than 125 bytes")
        if opcode == _PING:
            self._guarded_send(lambda: self._client.pong(data))
        elif opcode == _CLOSE:
            self._closed_by_peer(data)
        return None

    def _closed_by_peer(self, data: bytes) -> None:
        if self._client.connected:  # else it answers our own close
            self._guarded_send(lambda: self._client.send_close(1000))
        raise Disconnected(*closing(data))

    def _guarded_send(self, send: Callable[[], object]) -> None:
        wire = self._wire
        wanted, wire.deadline = wire.deadline, time.monotonic() + _SEND_SECONDS
        try:
            send()
        except (websocket.WebSocketException, OSError) as error:
            raise Disconnected(f"nothing can be sent any more: {error}") from error
        finally:
            wire.deadline = wanted


def _handshake_error(error: Exception, status: int | None, address: Address, timeout: float) -> ConnectError:
    """What a failed handshake means, in one sentence with the mend. `status` is a redirect's."""
    if isinstance(error, websocket.WebSocketBadStatusException):
        status = error.status_code
    if status is not None and status != 101:
        return ConnectError(explain(status, address), status)
    if isinstance(error, TimeoutError | websocket.WebSocketTimeoutException):
        return ConnectError(
            f"{address} accepts connections but did not answer the websocket handshake within "
            f"{timeout:.0f} s: Asterisk's ARI may be stuck, see whether 'ari show apps' answers"
        )
    said = str(error)[:160]
    if isinstance(error, Disconnected | OSError | websocket.WebSocketConnectionClosedException):
        return ConnectError(f"{address} broke off during the websocket handshake ({said})")
    return ConnectError(f"{address} answers, but not as Asterisk's websocket ({said})")
