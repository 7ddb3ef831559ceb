"""A table of routes as a WSGI application. Adapter of WSGI (PEP 3333); no server, no socket.

    method + path --> Route.handler(Request) --> Response --> WSGI

HEAD is GET without the body. An unknown path is 404, another method 405 with
Allow. What a handler raises is 500: logged, never shown.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger("arimonitor.web")

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

SECURITY = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
"""On every answer: what is true now is not kept, and no browser makes anything else of it."""

PROGRESS = "arimonitor.progress"
"""In the WSGI environment: called for each piece of a stream, so that a long answer is not a late one."""

_FAILURES_EVERY = 600.0
"""Seconds between two lines about handlers that fail; a scraper asks four times a minute."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is decoded, without the query; `query` has each key's values, empty ones left out.

    `headers` by their names in lower case; `client` is who is connected.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    client: str = ""


class Stream(Protocol):
    """The pieces of a long body."""

    def __iter__(self) -> Iterator[bytes]:
        """Each piece, as the client takes them."""

    def close(self) -> None:
        """It was taken, or nobody wants it."""


@dataclass(frozen=True, slots=True)
class Response:
    """`headers` are in addition to type, length and those of security, which they replace by name.

    With `stream` its pieces are the body, `length` bytes in all, and its
    `close` is called whatever happens.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: Sequence[tuple[str, str]] = ()
    stream: Stream | None = None
    length: int = 0


Handler = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for; `summary` is its line in the list.

    `below`: every path that begins with `path`, which ends with "/".
    """

    path: str
    summary: str
    handler: Handler
    method: str = "GET"
    below: bool = False


def as_json(status: int, data: object, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """Plain data as an answer: one line, UTF-8."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return Response(status, f"{text}\n".encode(), JSON, headers)


def failure(status: int, code: str, message: str, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """An error, in the words of the console: a code for programs, one sentence for people."""
    return as_json(status, {"ok": False, "error": {"code": code, "message": message}}, headers)


class _Sending:
    """A stream as WSGI's iterable."""

    def __init__(self, stream: Stream, progress: object) -> None:
        self._stream = stream
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            if callable(self._progress):
                self._progress()
            yield piece

    def close(self) -> None:
        self._stream.close()


class App:
    """The WSGI application over `routes`. `clock` is monotonic (s)."""

    def __init__(self, routes: Sequence[Route], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.routes = tuple(routes)
        self._by_path: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            self._by_path.setdefault(route.path, {})[route.method] = route
        self._clock = clock
        self._failures = 0
        self._said_at: float | None = None

    @property
    def failures(self) -> int:
        """Requests that ended in 500."""
        return self._failures

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI (PEP 3333)."""
        request = Request(
            method=str(environ["REQUEST_METHOD"]),
            path=str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace"),
            query=parse_qs(str(environ.get("QUERY_STRING", ""))),
            headers={
                key[5:].replace("_", "-").lower(): str(value)
                for key, value in environ.items()
                if key.startswith("HTTP_")
            },
            client=str(environ.get("REMOTE_ADDR", "")),
        )
        response = self.answer(request)
        status = HTTPStatus(response.status)
        own = {name for name, _ in response.headers}
        start_response(
            f"{status.value} {status.phrase}",
            [
                ("Content-Type", response.content_type),
                ("Content-Length", str(response.length if response.stream else len(response.body))),
                *((name, value) for name, value in SECURITY if name not in own),
                *response.headers,
            ],
        )
        if response.stream is None:
            return [] if request.method == "HEAD" else [response.body]
        if request.method == "HEAD":
            response.stream.close()
            return []
        return _Sending(response.stream, environ.get(PROGRESS))

    def answer(self, request: Request) -> Response:
        """The answer to a request; a HEAD's still has its body here."""
        routes = self._by_path.get(request.path) or self._below(request.path)
        if routes is None:
            return self._no_such_path(request)
        route = routes.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            allowed = ", ".join(sorted({*routes, "HEAD"} if "GET" in routes else routes))
            message = f"{request.path} understands {allowed} only"
            return failure(405, "method-not-allowed", message, (("Allow", allowed),))
        try:
            return route.handler(request)
        except Exception:
            if self._worth_a_line():
                log.exception("%s %s failed failures=%d", route.method, route.path, self._failures)
            return failure(500, "failed", "it went wrong; the log says more")

    def _below(self, path: str) -> dict[str, Route] | None:
        for route in self.routes:
            if route.below and path.startswith(route.path):
                return self._by_path[route.path]
        return None

    def _no_such_path(self, request: Request) -> Response:
        if request.path == "/":
            width = max((len(route.path) for route in self.routes), default=0)
            rows = [f"  {route.path.ljust(width)}  {route.summary}" for route in self.routes]
            lines = ["There is no page here. What can be asked for:", "", *rows, ""]
            return Response(404, "\n".join(lines).encode(), TEXT)
        paths = ", ".join(self._by_path)
        return failure(404, "not-found", f"there is no such path; these are: {paths}")

    def _worth_a_line(self) -> bool:
        self._failures += 1
        now = self._clock()
        if self._said_at is not None and now - self._said_at < _FAILURES_EVERY:
            return False
        self._said_at = now
        return True
