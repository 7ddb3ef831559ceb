"""ARI's answers in the lab, and who gets which events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.lab.ari import Application, Ari, source_of
from daemon.lab.player import Player
from tests.unit.lab import cast

NOW = cast.MONDAY + 30


@pytest.fixture
def player() -> Player:
    played = cast.player()
    while not played.bridges():
        due = played.next_due()
        assert due is not None
        played.take(due)
    return played


@pytest.fixture
def ari(player: Player) -> Ari:
    made = Ari(player, cast.MONDAY)
    made.register(cast.APP, everything=False)
    return made


def ask(ari: Ari, method: str, resource: str, body: object = None, **query: str) -> tuple[int, Any]:
    return ari.answer(method, resource, query, b"" if body is None else json.dumps(body).encode(), NOW)


def test_the_lab_says_that_it_is_one(ari: Ari) -> None:
    status, info = ask(ari, "GET", "/asterisk/info")
    assert (status, info["system"]["version"]) == (200, "22.10.1 (LAB: recorded calls)")
    assert info["status"]["startup_time"] == "2026-11-23T10:00:00.000+0000"
    assert ask(ari, "GET", "/asterisk/ping")[1]["timestamp"] == "2026-11-23T10:00:30.000+0000"


def test_channels_and_bridges_are_those_that_are_played(ari: Ari, player: Player) -> None:
    status, channels = ask(ari, "GET", "/channels")
    assert status == 200
    assert len(channels) == 2
    assert ask(ari, "GET", f"/channels/{channels[0]['id']}") == (200, channels[0])
    status, bridges = ask(ari, "GET", "/bridges")
    assert (status, len(bridges)) == (200, 1)
    endpoints = ask(ari, "GET", "/endpoints")[1]
    assert len(endpoints) == 16 + 1
    assert ask(ari, "GET", "/endpoints/PJSIP/trunk")[1]["state"] == "online"
    assert len(ask(ari, "GET", "/endpoints/PJSIP")[1]) == 17
    variable = ask(ari, "GET", f"/channels/{channels[0]['id']}/variable", variable="CHANNEL(linkedid)")
    assert variable == (200, {"value": channels[0]["id"]})


@pytest.mark.parametrize(
    ("method", "resource", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/channels/1.1", 404),
        ("GET", "/channels/1.1/variable", 404),
        ("GET", "/channels/1.1/play", 404),
        ("GET", "/bridges/1", 404),
        ("GET", "/endpoints/PJSIP/9", 404),
        ("GET", "/applications/other", 404),
        ("GET", f"/applications/{cast.APP}/what", 404),
        ("GET", f"/applications/{cast.APP}/subscription", 405),
        ("POST", "/channels", 405),
        ("DELETE", "/channels/1.1", 405),
        ("PUT", "/asterisk/info", 405),
    ],
)
def test_what_is_refused(ari: Ari, method: str, resource: str, status: int) -> None:
    answered, said = ask(ari, method, resource)
    assert answered == status
    assert said["message"]


def test_a_subscription_is_of_all_of_a_kind(ari: Ari) -> None:
    path = f"/applications/{cast.APP}/subscription"
    assert not ari.subscribed
    status, app = ask(ari, "POST", path, eventSource="channel:,bridge:")
    assert status == 200
    assert app["channel_ids"] == ["__AST_CHANNEL_ALL_TOPIC"]
    assert app["endpoint_ids"] == []
    assert ari.subscribed
    assert ask(ari, "DELETE", path, eventSource="channel:")[1]["channel_ids"] == []
    assert ask(ari, "POST", path, eventSource="nonsense:")[0] == 400
    assert ask(ari, "POST", path)[0] == 400
    assert ask(ari, "POST", path, eventSource="channel:1.1")[0] == 404


@pytest.mark.parametrize("body", ["x", [], {"allowed": 3}, {"allowed": [3]}, {"allowed": [{}]}, None, 7])
def test_a_wrong_filter_is_refused_and_changes_nothing(ari: Ari, body: object) -> None:
    path = f"/applications/{cast.APP}/eventFilter"
    ask(ari, "PUT", path, {"allowed": [{"type": "Dial"}]})
    status, _ = ari.answer("PUT", path, {}, json.dumps(body).encode(), NOW)
    assert status == 400
    assert ask(ari, "GET", f"/applications/{cast.APP}")[1]["events_allowed"] == [{"type": "Dial"}]


WANTS = [
    ({"channel"}, (), (), "ChannelCreated", True),
    ({"channel"}, (), (), "Dial", True),
    ({"channel"}, (), (), "BridgeCreated", False),
    ({"bridge"}, (), (), "BridgeCreated", True),
    ({"channel"}, (), (), "DeviceStateChanged", False),
    ({"endpoint"}, (), (), "ContactStatusChange", True),
    ({"channel"}, ("Dial",), (), "ChannelCreated", False),
    ({"channel"}, ("Dial",), (), "Dial", True),
    ({"channel"}, ("Dial",), ("Dial",), "Dial", False),
    ({"channel"}, (), ("ChannelVarset",), "ChannelVarset", False),
    (set(), (), (), "ChannelCreated", False),
]


@pytest.mark.parametrize(("sources", "allowed", "disallowed", "event", "wanted"), WANTS)
def test_who_gets_what(
    sources: set[str], allowed: tuple[str, ...], disallowed: tuple[str, ...], event: str, wanted: bool
) -> None:
    assert Application("a", sources, allowed, disallowed).wants(event) is wanted


def test_sources_of_events() -> None:
    assert source_of("ChannelEnteredBridge") == "channel"
    assert source_of("PeerStatusChange") == "endpoint"


def test_an_application_is_forgotten_unless_another_has_its_name(ari: Ari) -> None:
    first = ari.register("a", everything=True)
    second = ari.register("a", everything=True)
    assert first is not None
    assert second is not None
    ari.forget(first)
    assert ari.applications["a"] is second
    ari.forget(second)
    assert "a" not in ari.applications


def test_there_are_not_too_many_applications(ari: Ari) -> None:
    for number in range(63):
        assert ari.register(f"app{number}", everything=False)
    assert ari.register("one-more", everything=False) is None
    assert ari.register("app1", everything=False)
