"""URLs of Asterisks, and the sentences about their refusals."""

from __future__ import annotations

import pytest

from daemon.ari.address import Address, basic_authorization, explain


@pytest.mark.parametrize(
    ("url", "shown", "path", "events"),
    [
        (
            "http://192.0.2.7:8088",
            "http://192.0.2.7:8088",
            "/ari/channels",
            "ws://192.0.2.7:8088/ari/events?app=mon-A&subscribeAll=false",
        ),
        (
            "https://pbx.example.com/asterisk/",
            "https://pbx.example.com:8089/asterisk",
            "/asterisk/ari/channels",
            "wss://pbx.example.com:8089/asterisk/ari/events?app=mon-A&subscribeAll=false",
        ),
        (
            " ws://[2001:db8::1]:80 ",
            "http://[2001:db8::1]:80",
            "/ari/channels",
            "ws://[2001:db8::1]:80/ari/events?app=mon-A&subscribeAll=false",
        ),
    ],
)
def test_urls(url: str, shown: str, path: str, events: str) -> None:
    address = Address.parse(url)
    assert str(address) == shown
    assert address.path("/channels") == path
    assert address.events_url("mon-A", False) == events


def test_subscribe_all() -> None:
    assert Address.parse("http://h").events_url("a", True) == "ws://h:8088/ari/events?app=a&subscribeAll=true"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pbx.example.com:8088",
        "ftp://h",
        "http://",
        "http://u:hunter2@h:8088",
        "http://h/?api_key=hunter2",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError) as error:
        Address.parse(url)
    assert "hunter2" not in str(error.value)


def test_authorization() -> None:
    assert basic_authorization("monitor", "secret") == "Basic bW9uaXRvcjpzZWNyZXQ="


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (301, "Asterisk's own HTTP server"),
        (400, "check app"),
        (401, "password"),
        (403, "read_only"),
        (404, "prefix"),
        (503, "still starting"),
        (500, "answered 500"),
    ],
)
def test_each_refusal_says_where_and_what_to_do(status: int, mend: str) -> None:
    sentence = explain(status, Address.parse("http://192.0.2.7/p"))
    assert mend in sentence
    assert "http://192.0.2.7:8088/p" in sentence
