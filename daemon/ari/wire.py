"""A TCP or TLS connection with one deadline, read in large pieces.

Both the websocket and the REST calls go over it. websocket-client takes it in
place of a socket and finds its bytes in our buffer: one recv of 256 KiB
brings hundreds of events, where the library alone needs three a frame.
"""

from __future__ import annotations

import socket
import ssl
import time

from daemon.ari.address import Address
from daemon.errors import TransientError

READ_SIZE = 256 * 1024
_OPTIONS = (
    ("TCP_NODELAY", 1),
    ("TCP_KEEPIDLE", 15),
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 30_000),
)


class ConnectError(TransientError):
    """No connection, or no websocket on it. `status` is the HTTP status, if there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Disconnected(TransientError):
    """The connection is gone. `code` is the websocket close code, None where no close frame came."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Wire:
    """Reads and writes until `deadline` (time.monotonic), then TimeoutError.

    `data[at:]` is what was received and not used yet. `allowance` is how many
    more bytes are taken (None: any number). `heard_at` is when bytes came
    last (time.monotonic).
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._closed = False  # websocket-client looks at it
        self.deadline = deadline
        self.allowance: int | None = None
        self.data = b""
        self.at = 0
        self.heard_at = time.monotonic()

    @classmethod
    def open(cls, address: Address, deadline: float, context: ssl.SSLContext | None = None) -> Wire:
        """Connect. `context` replaces the system's certificates. Raises ConnectError."""
        sock: socket.socket | None = None
        try:
            sock = socket.create_connection(
                (address.host, address.port), max(0.001, deadline - time.monotonic())
            )
            keep_alive(sock)
            if address.tls:
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                tls = context or ssl.create_default_context()
                sock = tls.wrap_socket(sock, server_hostname=address.host)
        except OSError as error:
            if sock is not None:
                sock.close()
            if sock is not None and isinstance(error, TimeoutError):
                raise ConnectError(f"{address} does not speak TLS: is it http rather than https?") from error
            raise ConnectError(_explain(error, address)) from error
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        return cls(sock, deadline)

    def fill(self) -> None:
        """Receive once, up to READ_SIZE, behind what is in `data`. Raises TimeoutError, Disconnected."""
        chunk = self._receive(READ_SIZE if self.allowance is None else min(READ_SIZE, self.allowance))
        self.data = self.data[self.at :] + chunk if self.at < len(self.data) else chunk
        self.at = 0

    def recv(self, size: int) -> bytes:
        """As a socket's recv, out of the buffer first; never an empty answer."""
        if self.at >= len(self.data):
            self.fill()
        piece = self.data[self.at : self.at + size]
        self.at += len(piece)
        return piece

    def send(self, data: bytes) -> int:
        """As a socket's send. Raises TimeoutError, OSError."""
        self._sock.settimeout(self._remaining())
        return self._sock.send(data)

    def gettimeout(self) -> float:
        """For websocket-client: anything but 0, which would mean non-blocking."""
        return max(0.001, self.deadline - time.monotonic())

    def settimeout(self, timeout: float | None) -> None:
        """For websocket-client: `deadline` rules, so nothing is to be done."""

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        return self._sock.fileno()

    def shutdown(self, how: int) -> None:
        """As a socket's; an unconnected one is no error."""
        try:
            self._sock.shutdown(how)
        except OSError:
            return

    def close(self) -> None:
        """Close at once; twice is no error."""
        self._closed = True
        self._sock.close()

    def _remaining(self) -> float:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("deadline")
        return remaining

    def _receive(self, size: int) -> bytes:
        if size <= 0:
            raise ConnectError("the answer is too long to be one of Asterisk's HTTP server")
        self._sock.settimeout(self._remaining())
        try:
            chunk = self._sock.recv(size)
        except TimeoutError:
            raise
        except OSError as error:
            raise Disconnected(f"the connection broke: {error.strerror or error}") from error
        if not chunk:
            raise Disconnected("the connection was closed without a close frame")
        if self.allowance is not None:
            self.allowance -= len(chunk)
        self.heard_at = time.monotonic()
        return chunk


def keep_alive(sock: socket.socket) -> None:
    """Send at once, and notice within half a minute that the other machine is gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _explain(error: OSError, address: Address) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"{address} refuses the connection: is Asterisk running, with http.conf enabled on that port?"
    if isinstance(error, TimeoutError):
        return f"{address} does not answer in time: check the address and the firewall"
    if isinstance(error, socket.gaierror):
        return f"the name {address.host} is not known: check the URL or the DNS"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {address} is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"the TLS of {address} is not acceptable ({error.reason}): is it http rather than https?"
    return f"no connection to {address}: {error.strerror or error}"
