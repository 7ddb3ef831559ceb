"""The client's end of the manager port: one JSON line for each JSON line."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from types import TracebackType

from daemon.console.session import dump
from daemon.settings.base import split_address

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 120.0

_ANSWERS = (b'{"ok"', b'{"event"')


class NoAnswerError(Exception):
    """Nobody answers there, or it is no console: the message says which."""


class Connection:
    """A connection to the daemon at `address` (HOST:PORT). NoAnswerError where there is none."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._buffer = b""
        self._notice = ""
        try:
            host, port = split_address(address)
        except ValueError as error:
            raise NoAnswerError(f"{address!r} is no address: {error}") from error
        try:
            self._sock = socket.create_connection((host, port), CONNECT_TIMEOUT)
        except OSError as error:
            why = error.strerror or str(error)
            raise NoAnswerError(f"no daemon answers on {address}: {why}; is arimonitor running?") from error

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def send(self, data: bytes) -> None:
        """Send bytes. NoAnswerError: the connection is lost."""
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise self._lost(str(error)) from error

    def ask(self, request: Mapping[str, object]) -> dict[str, object]:
        """Send a request and read its answer; events of a stream that was left are skipped."""
        self.send(dump(request))
        while True:
            answer = self.read(ANSWER_TIMEOUT)
            if "ok" in answer:
                return answer

    def read(self, timeout: float | None) -> dict[str, object]:
        """The next JSON line, within `timeout` seconds."""
        while True:
            line = _without_greeting(self._line(timeout))
            try:
                value = json.loads(line) if line.startswith(_ANSWERS) else None
            except ValueError:
                value = None
            if isinstance(value, dict):
                return value
            # "Too many connections ..." and greetings: said again if nothing better comes.
            self._notice = line.decode("utf-8", "replace").strip() or self._notice

    def _line(self, timeout: float | None) -> bytes:
        self._sock.settimeout(timeout)
        while b"\n" not in self._buffer:
            try:
                data = self._sock.recv(64 * 1024)
            except TimeoutError as error:
                raise self._lost(f"no answer within {timeout:.0f} s") from error
            except OSError as error:
                raise self._lost(str(error)) from error
            if not data:
                raise self._lost("the connection was closed")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _lost(self, why: str) -> NoAnswerError:
        said = f" ({self._notice})" if self._notice else ""
        return NoAnswerError(f"no answer from {self._address}: {why}{said}")


def _without_greeting(line: bytes) -> bytes:
    """A line without the prompt that a busy daemon wrote before our request arrived."""
    if line.startswith(b"{"):
        return line
    places = [at for start in _ANSWERS if (at := line.find(start)) >= 0]
    return line[min(places) :] if places else line
