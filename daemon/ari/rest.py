"""ARI's REST calls, each with one deadline for all of it.

`AriCalls` is what can be asked; `AriRest` asks over HTTP, `restcall.SocketRest`
over Asterisk's outbound websocket. Over HTTP it is one connection per call: a
monitor makes a handful of them per reconnect, and an Asterisk whose ARI has
locked up must not keep one for ever. Nor is it asked again and again: a
circuit breaker is around everything that passes `call`.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from daemon.ari.address import Address, basic_authorization, explain
from daemon.ari.breaker import Breaker
from daemon.ari.wire import ConnectError, Disconnected, Wire
from daemon.errors import PermanentError, TransientError

log = logging.getLogger("arimonitor.ari")

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of one answer: GET /channels with 10,000 channels is 7 MB."""


class AriUnavailable(TransientError):
    """No usable answer: unreachable, too late, starting (503), broken (5xx)."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AriSilent(AriUnavailable):
    """Nothing answered within the deadline."""


class AriRefused(PermanentError):
    """Asterisk says no (4xx): asking again won't help. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class AriCalls(ABC):
    """What the product asks of one Asterisk; any thread may.

    Every method raises AriUnavailable or AriRefused, and takes no longer than
    `timeout` seconds (plus the DNS). After some calls in a row without an
    answer, `breaker` lets none through for a while: AriUnavailable at once.
    """

    def __init__(self, timeout: float, breaker: Breaker | None) -> None:
        self.timeout = timeout
        self.breaker = breaker or Breaker()

    def ping(self) -> str:
        """Asterisk's own time (ISO 8601), when ARI answers (Asterisk 16.12 and later)."""
        return str(_mapping(self.call("GET", "/asterisk/ping")).get("timestamp", ""))

    def get_info(self) -> Mapping[str, Any]:
        """AsteriskInfo: `system.version`, `status.startup_time` (tells a restart), `system.entity_id`."""
        return _mapping(self.call("GET", "/asterisk/info"))

    def channels(self) -> list[Any]:
        """Snapshots of all channels there are now."""
        return _list(self.call("GET", "/channels"))

    def bridges(self) -> list[Any]:
        """Snapshots of all bridges there are now, with the ids of their channels."""
        return _list(self.call("GET", "/bridges"))

    def endpoints(self) -> list[Any]:
        """All endpoints: technology, resource, state, channel_ids; no address."""
        return _list(self.call("GET", "/endpoints"))

    def channel_variable(self, channel_id: str, name: str) -> str | None:
        """Value of a variable or function of a channel; None when channel or variable is not there."""
        path = f"/channels/{quote(channel_id, safe='')}/variable"
        try:
            value = _mapping(self.call("GET", path, variable=name)).get("value")
        except AriRefused as refused:
            if refused.status == 404:
                return None
            raise
        return None if value is None else str(value)

    def application(self, app: str) -> Mapping[str, Any] | None:
        """What the application is subscribed to and filters; None when Asterisk does not know it.

        Asterisk 16 keeps an application after its websocket has gone, 22 forgets it.
        """
        try:
            return _mapping(self.call("GET", f"/applications/{quote(app, safe='')}"))
        except AriRefused as refused:
            if refused.status == 404:
                return None
            raise

    def subscribe(self, app: str, sources: Iterable[str]) -> Mapping[str, Any]:
        """Subscribe to event sources: `channel:` is all channels, `bridge:ID` one bridge."""
        path = f"/applications/{quote(app, safe='')}/subscription"
        return _mapping(self.call("POST", path, eventSource=",".join(sources)))

    def send_user_event(self, app: str, name: str) -> None:
        """Have Asterisk send a ChannelUserevent of this name to the application, as it sends all events."""
        self.call("POST", f"/events/user/{quote(name, safe='')}", application=app)

    def set_event_filter(
        self, app: str, allowed: Iterable[str], disallowed: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        """Let only the event types `allowed` through (none named: all), and none of `disallowed`."""
        rule = {
            "allowed": [{"type": name} for name in allowed],
            "disallowed": [{"type": name} for name in disallowed],
        }
        return _mapping(self.call("PUT", f"/applications/{quote(app, safe='')}/eventFilter", body=rule))

    def call(self, method: str, resource: str, *, body: object = None, **query: str) -> object:
        """One call: the decoded JSON of its answer, None where it has none."""
        now = time.monotonic()
        if not self.breaker.allows(now):
            raise AriUnavailable(
                f"{self._where()} is not asked: it left {self.breaker.silences} requests in a row without "
                f"an answer; the next is let through in {self.breaker.wait(now):.0f} s"
            )
        target = resource + ("?" + urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        try:
            status, answer = self._ask(method, target, data, now + self.timeout)
        except AriSilent as silence:
            if self.breaker.unanswered(time.monotonic()):
                log.error(
                    "%s, like the %d requests before it: it is not asked for %.0f s, and longer each time. "
                    "ARI may be locked up: see whether 'ari show apps' answers",
                    silence, self.breaker.silences - 1, self.breaker.pause,
                )  # fmt: skip
            raise
        except AriUnavailable:
            self._answered()
            raise
        self._answered()
        if 200 <= status < 300:
            return self._decode(answer, method, resource) if answer.strip() else None
        said = _message(answer)
        # An unknown object is no wrong URL: only ARI itself answers 404 with a JSON message.
        text = f"{said} (404)" if status == 404 and said else self._explain(status, said)
        if 400 <= status < 500 and status not in (408, 429):
            raise AriRefused(text, status)
        raise AriUnavailable(text, status)

    @abstractmethod
    def _ask(self, method: str, target: str, body: bytes | None, deadline: float) -> tuple[int, bytes]:
        """Status and body of the answer. Raises AriSilent (none came in time) or AriUnavailable."""

    @abstractmethod
    def _where(self) -> str:
        """Who is asked, as a message names it."""

    @abstractmethod
    def _explain(self, status: int, said: str) -> str:
        """One sentence with the mend for a status that is no success; `said` is Asterisk's own word."""

    def _answered(self) -> None:
        if self.breaker.answered():
            log.info("%s answers again", self._where())

    def _decode(self, answer: bytes, method: str, resource: str) -> object:
        try:
            return json.loads(answer)
        except ValueError as error:
            raise AriUnavailable(f"{self._where()} answered {method} {resource} with no JSON") from error


class AriRest(AriCalls):
    """The REST client over HTTP. Stateless between calls, but for the breaker, which may be shared."""

    def __init__(
        self,
        address: Address,
        username: str,
        password: str,
        *,
        timeout: float = 5.0,
        context: ssl.SSLContext | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        super().__init__(timeout, breaker)
        self.address = address
        self._authorization = basic_authorization(username, password)
        self._context = context

    def _where(self) -> str:
        return str(self.address)

    def _explain(self, status: int, said: str) -> str:
        return explain(status, self.address, said)

    def _ask(self, method: str, target: str, body: bytes | None, deadline: float) -> tuple[int, bytes]:
        headers = {"Authorization": self._authorization, "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return self._exchange(method, self.address.path(target), headers, body, deadline)
        except ConnectError as error:
            late = isinstance(error.__cause__, TimeoutError)
            raise (AriSilent if late else AriUnavailable)(str(error)) from error
        except TimeoutError as error:
            raise AriSilent(
                f"{self.address} did not answer {method} {target} within {self.timeout:.0f} s"
            ) from error
        except (Disconnected, OSError, http.client.HTTPException, ValueError) as error:
            said = str(error)[:160] or type(error).__name__
            raise AriUnavailable(f"{self.address} broke off {method} {target} ({said})") from error

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes | None, deadline: float
    ) -> tuple[int, bytes]:
        wire = Wire.open(self.address, deadline, self._context)
        wire.allowance = MAX_ANSWER
        connection = http.client.HTTPConnection(self.address.host, self.address.port)
        connection.sock = _HttpSocket(wire)
        try:
            connection.request(method, path, data, dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
            wire.close()


class _HttpSocket:
    """The part of a socket that http.client uses, on a Wire and so under its deadline."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._wire.send(bytes(view)) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_WireReader(self._wire))

    def close(self) -> None:
        """The response is still read from the wire: `_exchange` closes that."""


class _WireReader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._wire.recv(len(buffer))
        except Disconnected as gone:
            if gone.__cause__ is None:  # the other side closed: end of file
                return 0
            raise
        buffer[: len(piece)] = piece
        return len(piece)


def _message(answer: bytes) -> str:
    """Asterisk's own words in an error's JSON, one short line; "" where it has none."""
    try:
        said = json.loads(answer)
    except ValueError:
        return ""
    text = said.get("message") or said.get("error") if isinstance(said, dict) else ""
    return " ".join(str(text or "").split())[:160]


def _mapping(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise AriUnavailable("ARI answered something else than the object that was expected")
    return answer


def _list(answer: object) -> list[Any]:
    if not isinstance(answer, list):
        raise AriUnavailable("ARI answered something else than the list that was expected")
    return answer
