"""One HTTP connection under limits: pywsgi's handler, which has none of its own. Adapter of gevent.

wait for a first byte (idle) --> head, within deadline and size --> application --> answer
                                    \\-> 400, 408, 411, 413, 431, and the connection is closed
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any

from gevent import Timeout
from gevent.pywsgi import WSGIHandler

from daemon.web.routing import PROGRESS, SECURITY, failure

log = logging.getLogger("arimonitor.web")

IDLE = 60.0
"""Seconds an open connection may ask nothing; more than the usual interval of a scraper."""

DEADLINE = 10.0
"""Seconds from a request's first byte to the last byte of its answer."""

MAX_HEAD = 16 * 1024
MAX_BODY = 64 * 1024
"""Bytes of a request. No route takes a body today; a small one is read and dropped."""

LINGER = 1.0
"""Seconds in which a refused client may go on sending before it is cut off."""

_METHOD_LONGEST = 32


class Refused(ValueError):
    """A request that is not looked at: the status and one sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Head:
    """The lines of a request's head, up to a limit. Raises Refused beyond it."""

    def __init__(self, readline: Callable[[int], bytes], limit: int) -> None:
        self._readline = readline
        self._left = limit

    def readline(self, limit: int = -1) -> bytes:
        """One line, as a file's."""
        wanted = self._left + 1 if limit < 0 else min(limit, self._left + 1)
        line = self._readline(wanted)
        self._left -= len(line)
        if self._left < 0:
            raise Refused(431, "too-long", f"the head of a request has at most {MAX_HEAD} bytes")
        return line


class LimitedHandler(WSGIHandler):  # type: ignore[misc]  # gevent has no types
    """A connection; the server knows which ones are idle and may end those."""

    _refused: Refused | None = None
    _deadline: Timeout

    def handle(self) -> None:
        """Every request of this connection; whatever goes wrong with it ends only this connection."""
        connections = self.server.connections
        try:
            super().handle()
        except (OSError, Timeout) as error:
            log.debug("the connection of %s ended: %s", self.client_address, error)
        finally:
            connections.forget(self)

    def handle_one_request(self) -> object:
        """None: this was the last one; True: another one may follow."""
        if not self._first_byte():
            return None
        self.server.connections.requests += 1
        self._deadline = Timeout.start_new(self.server.deadline)
        try:
            result = super().handle_one_request()
        except Timeout as error:
            if error is not self._deadline:
                raise
            self._refused = Refused(408, "timeout", "the request did not arrive in time")
            result = ("408", b"")
        finally:
            self._deadline.close()
        if not isinstance(result, tuple):
            return result
        self._last_word(self._refused or Refused(414, "too-long", "the first line is too long"))
        return None

    def get_environ(self) -> dict[str, Any]:
        """WSGI's, and what a long answer calls for each piece that was taken."""
        environ: dict[str, Any] = super().get_environ()
        environ[PROGRESS] = self._more_time
        return environ

    def _more_time(self) -> None:
        """The deadline counts from now: each piece of a stream has it for itself."""
        self._deadline.close()
        self._deadline = Timeout.start_new(self.server.deadline)

    def read_request(self, raw_requestline: str) -> bool:
        """Refuse what is no plain HTTP/1 request."""
        words = raw_requestline.split()
        if len(words) != 3 or len(words[0]) > _METHOD_LONGEST or not words[0].isascii():
            raise Refused(400, "bad-request", "the first line is METHOD PATH HTTP/1.1")
        if words[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise Refused(400, "bad-request", "HTTP/1.1 and HTTP/1.0 are understood")
        super().read_request(raw_requestline)
        if self.headers.get("transfer-encoding") is not None:
            raise Refused(411, "length-required", "a body must come with Content-Length")
        lengths = self.headers.get_all("content-length") or []
        if len(set(lengths)) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
            raise Refused(400, "bad-request", "Content-Length is one number")
        if (self.content_length or 0) > MAX_BODY:
            raise Refused(413, "too-long", f"a body has at most {MAX_BODY} bytes")
        return True

    def MessageClass(self, rfile: Any, *args: Any) -> Any:
        """The headers, of a bounded number of bytes in all."""
        return super().MessageClass(_Head(rfile.readline, MAX_HEAD), *args)

    def handle_error(self, t: type[BaseException], v: BaseException, tb: TracebackType | None) -> None:
        """The answer could not be made or sent; pywsgi would print a traceback and go on."""
        self.close_connection = True
        if isinstance(v, Timeout | OSError):
            log.debug("%s did not take its answer: %s", self.client_address, v)
            return
        log.error("the answer to %s could not be sent", self.requestline, exc_info=(t, v, tb))
        self._send_error_response_if_possible(500)

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        """pywsgi's hook for requests that can't be read; what it returns makes it end the connection."""
        refused = ex if isinstance(ex, Refused) else Refused(400, "bad-request", "this is no HTTP request")
        log.debug("a request of %s is refused: %s", self.client_address, ex, exc_info=ex is not refused)
        self._refused = refused
        return str(refused.status), b""

    def _last_word(self, refused: Refused) -> None:
        """Say why, and read on a moment: closing with unread bytes would reset what we said."""
        with Timeout(LINGER, False):
            self.socket.sendall(_answer(refused))
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(MAX_BODY):
                pass

    def _first_byte(self) -> bool:
        self.server.connections.idle(self)
        try:
            self.socket.settimeout(self.server.idle)
            return bool(self.rfile.peek(1))
        except (OSError, ValueError):  # cut off, silent for too long, or closed while we waited
            return False
        finally:
            self.server.connections.busy(self)

    def hang_up(self) -> None:
        """End it from outside, while it is idle."""
        try:
            self.socket.shutdown(socket.SHUT_RD)
        except OSError as error:
            log.debug("%s was gone already: %s", self.client_address, error)


def _answer(refused: Refused) -> bytes:
    response = failure(refused.status, refused.code, str(refused))
    head = [
        f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        *(f"{name}: {value}" for name, value in SECURITY),
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + response.body
