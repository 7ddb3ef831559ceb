"""What each path answers. No sockets."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any
from urllib.parse import parse_qs

import pytest

from daemon.console.commands.calls import calls_commands
from daemon.console.live import Feed
from daemon.console.registry import Registry, SessionInfo
from daemon.snapshot import AsteriskStatus, HubStatus, Problem, ServiceStatus
from daemon.web.routing import App, Request, Response, Route
from tests.unit.web.house import CALLS, PICTURE, House


def get(house: House, target: str, method: str = "GET") -> Response:
    path, _, query = target.partition("?")
    return house.app().answer(Request(method, path, parse_qs(query)))


def data(response: Response) -> Any:
    assert response.content_type == "application/json"
    assert response.body.endswith(b"\n")
    return json.loads(response.body)


# -- health, ready -----------------------------------------------------------------------------
def test_health_when_all_is_well() -> None:
    response = get(House(), "/health")
    assert response.status == 200
    assert data(response) == {"ok": True, "problems": []}


def test_health_says_what_is_wrong() -> None:
    house = House()
    house.change(asterisk=(AsteriskStatus("voip3", False, 0, 0, error="connection refused"),))
    response = get(house, "/health")
    assert response.status == 503
    assert data(response) == {
        "ok": False,
        "problems": [{"part": "asterisk voip3", "message": "is not connected: connection refused"}],
    }


def test_ready() -> None:
    response = get(House(), "/ready")
    assert response.status == 200
    assert data(response) == {"ok": True, "problems": []}


AWAY = AsteriskStatus("voip1", False, 0, 0)


@pytest.mark.parametrize(
    ("changed", "started", "why"),
    [
        ({}, False, [("daemon", "is still starting")]),
        ({"asterisk": (AWAY,)}, True, [("asterisk", "none of 1 is connected")]),
        ({"asterisk": (AWAY, *PICTURE.asterisk)}, True, []),
        ({"asterisk": ()}, True, []),
        ({"brokers": ()}, True, []),
        ({"hub": HubStatus(1, 900, 900)}, True, []),
        (
            {"services": (ServiceStatus("outbox", "backoff", 1),)},
            True,
            [("service outbox", "is in state backoff")],
        ),
        (
            {"services": (ServiceStatus("monitor-voip3", "fatal", 10),)},
            True,
            [("service monitor-voip3", "is in state fatal")],
        ),
        ({"services": (ServiceStatus("console", "backoff", 1),)}, True, []),
        (
            {
                "notices": (
                    Problem("outbox", "the disk is full"),
                    Problem("definitions voip3", "are not there"),
                )
            },
            True,
            [("outbox", "the disk is full")],
        ),
    ],
)
def test_not_ready(changed: dict[str, Any], started: bool, why: list[tuple[str, str]]) -> None:
    house = House(started=started)
    house.change(**changed)
    response = get(house, "/ready")
    assert response.status == (503 if why else 200)
    assert data(response) == {
        "ok": not why,
        "problems": [{"part": part, "message": message} for part, message in why],
    }


# -- master, slave -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("master", "/master", 200),
        ("master", "/slave", 503),
        ("slave", "/master", 503),
        ("slave", "/slave", 200),
    ],
)
def test_role(role: str, path: str, status: int) -> None:
    house = House()
    house.change(role=role)
    response = get(house, path)
    assert response.status == status
    assert data(response) == {"node": "AUDIO2", "role": role, "epoch": 7, "master": "AUDIO2"}


# -- the API -----------------------------------------------------------------------------------
def test_status_is_the_consoles() -> None:
    response = get(House(), "/api/status")
    assert response.status == 200
    assert data(response) == json.loads(json.dumps(PICTURE.as_dict()))


def test_no_secret_in_an_error_text() -> None:
    house = House()
    url = "http://monitor:hunter2@192.0.2.10:8088/ari/events?api_key=monitor:hunter2&app=x"
    house.change(asterisk=(AsteriskStatus("voip3", False, 0, 0, error=f"{url} is refused"),))
    for path in ("/api/status", "/health"):
        assert b"hunter2" not in get(house, path).body


def test_calls() -> None:
    response = get(House(), "/api/calls")
    assert response.status == 200
    answer = data(response)
    assert answer["count"] == 3
    assert answer["calls"][0] == {
        "server": "voip3",
        "call": "1761562800.42",
        "client": "101",
        "origin": "1013010",
        "destiny": "1013015",
        "status": 2,
        "creationtime": "2025-10-27T11:00:00.120+00:00",
        "legs": 2,
    }


def test_calls_are_the_consoles() -> None:
    registry = Registry(
        calls_commands(calls=lambda: CALLS, event_counts=dict, feed=Feed(), timezone=UTC, now=lambda: 0.0)
    )
    result = registry.run(("calls",), SessionInfo("192.0.2.1:1"))
    assert data(get(House(), "/api/calls")) == result.data


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("client=101", ["1761562800.42"]),
        ("server=voip3", ["1761562800.42", "1761562801.44"]),
        ("client=102&server=voip3", []),
        ("client=101&client=102", ["1761562800.42", "1761562802.1"]),
        ("client=", ["1761562800.42", "1761562801.44", "1761562802.1"]),
        ("server=VOIP3", []),
    ],
)
def test_calls_chosen(query: str, calls: list[str]) -> None:
    answer = data(get(House(), f"/api/calls?{query}"))
    assert answer["count"] == len(calls)
    assert [call["call"] for call in answer["calls"]] == calls


def test_a_filter_that_is_none_is_refused() -> None:
    response = get(House(), "/api/calls?cliente=101")
    assert response.status == 400
    assert data(response) == {
        "ok": False,
        "error": {"code": "usage", "message": "cliente: calls are chosen by client and server"},
    }


# -- what is not there -------------------------------------------------------------------------
def test_the_root_lists_what_there_is() -> None:
    response = get(House(), "/")
    assert response.status == 404
    assert response.content_type == "text/plain; charset=utf-8"
    for path in ("/health", "/ready", "/master", "/slave", "/metrics", "/api/status", "/api/calls"):
        assert f"\n  {path} ".encode() in response.body


@pytest.mark.parametrize(
    "path", ["/nothing", "/health/", "//health", "", "/HEALTH", "/api", "/../etc/passwd"]
)
def test_unknown_paths(path: str) -> None:
    response = get(House(), path)
    assert response.status == 404
    assert data(response)["error"]["code"] == "not-found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "FOO"])
def test_nothing_but_get_and_head(method: str) -> None:
    response = get(House(), "/api/calls", method)
    assert response.status == 405
    assert response.headers == (("Allow", "GET, HEAD"),)
    assert data(response)["error"]["code"] == "method-not-allowed"


# -- as WSGI -----------------------------------------------------------------------------------
def call(app: App, method: str, path: str, query: str = "") -> tuple[str, dict[str, str], bytes]:
    said: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        said.append((status, headers))

    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    body = b"".join(app(environ, start_response))
    ((status, headers),) = said
    return status, dict(headers), body


def test_head_is_get_without_the_body() -> None:
    app = House().app()
    status, headers, body = call(app, "GET", "/api/status")
    assert status == "200 OK"
    assert headers["Content-Length"] == str(len(body))
    assert call(app, "HEAD", "/api/status") == (status, headers, b"")


@pytest.mark.parametrize("path", ["/", "/health", "/nothing", "/metrics"])
def test_security_headers(path: str) -> None:
    _, headers, _ = call(House().app(), "GET", path)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_path_that_is_no_utf8() -> None:
    assert call(House().app(), "GET", "/\xff\xfe")[0] == "404 Not Found"


def test_a_failing_handler_is_500_and_is_logged_once_in_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0

    def fail(request: Request) -> Response:
        raise LookupError("hunter2")

    app = App([Route("/fails", "", fail)], clock=lambda: now)
    for _ in range(3):
        status, _, body = call(app, "GET", "/fails")
        assert status == "500 Internal Server Error"
        assert b"hunter2" not in body
    assert [record.getMessage() for record in caplog.records] == ["GET /fails failed failures=1"]
    now = 600.0
    call(app, "GET", "/fails")
    assert caplog.records[-1].getMessage() == "GET /fails failed failures=4"
