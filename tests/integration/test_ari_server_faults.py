"""The outbound websocket of a real Asterisk 22 that crashes, hangs, or is not alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.ari.rest import AriUnavailable
from tests.integration.outbound_parts import (
    APP,
    PASSWORD,
    FakeOutbound,
    Starter,
    connected,
    one_call,
    serving,
)
from tests.integration.outbound_parts import start as start
from tests.servers.asterisk.ari import Events
from tests.servers.asterisk.outbound import OutboundAsterisk
from tests.servers.waiting import DEADLINE, wait_until


@pytest.mark.asterisk
def test_a_wrong_password_is_refused_and_said_once(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    _, port = start(password="something-else")
    caplog.set_level(logging.WARNING, "arimonitor.ari")
    with serving(port) as (listener, taker):
        wait_until(lambda: int(str(listener.status()["refused"])) >= 3, "three refusals")
        assert listener.status()["connected"] is False
        assert taker.line == []
    said = [record.getMessage() for record in caplog.records if "password" in record.getMessage()]
    assert len(said) == 1
    assert "from 127.0.0.1: wrong user name or password (401)" in said[0]
    assert PASSWORD not in caplog.text
    assert "something-else" not in caplog.text


@pytest.mark.asterisk
def test_a_crash_of_asterisk_loses_its_queue_and_that_is_known(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server, port = start()
    with serving(port) as (listener, taker):
        connected(listener)
        server.kill()
        wait_until(lambda: not listener.status()["connected"], "the loss")
        assert listener.left is not None
        assert listener.left.clean is False
        server.restart()
        wait_until(lambda: len(taker.opened()) == 2, "the next connection")
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the call after it")
        assert [mark.complete for mark in taker.opened()] == [False, False]
        assert [line for line in taker.line if line in ("Opened", "Lost")] == ["Opened", "Lost", "Opened"]
    assert "was restarted" in caplog.text
    left = listener.left
    server.kill()
    server.restart()  # while we were away, after a clean end
    with serving(port, left=left) as (listener, taker):
        connected(listener)
        wait_until(taker.opened, "the mark")
        assert taker.opened()[0].complete is False


@pytest.mark.asterisk
def test_an_orderly_stop_of_asterisk(start: Starter) -> None:
    server, port = start()
    with serving(port) as (listener, taker):
        connected(listener)
        server.stop()
        wait_until(lambda: taker.lost(), "the loss")
        server.restart()
        wait_until(lambda: len(taker.opened()) == 2, "the next connection")
        assert taker.opened()[1].complete is False


@pytest.mark.asterisk
def test_a_hanging_rest_call_has_a_deadline_and_opens_the_breaker(start: Starter) -> None:
    server, port = start()
    with serving(port, request_timeout=1.0) as (listener, _):
        connected(listener)
        server.freeze()
        try:
            wait_until(lambda: _is_stopped(server), "the signal's arrival")
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(AriUnavailable, match="did not answer GET /channels"):
                    listener.rest.channels()
                assert 0.9 < time.monotonic() - began < 20
            with pytest.raises(AriUnavailable, match="is not asked"):
                listener.rest.channels()
            assert listener.status()["rest"] == {"state": "open", "unanswered": 3, "not_asked": 1}
        finally:
            server.thaw()
        wait_until(lambda: _answers(listener.rest.channels), "the breaker letting a call through")
        rest = listener.status()["rest"]
        assert isinstance(rest, dict)
        assert (rest["state"], rest["unanswered"]) == ("closed", 0)
        assert listener.status()["connected"] is True


def _is_stopped(server: OutboundAsterisk) -> bool:
    assert server.process is not None
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    return all(") T " in (task / "stat").read_text() for task in tasks)


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except AriUnavailable:
        return False
    return True


@pytest.mark.asterisk
def test_a_frozen_asterisk_is_given_up_and_comes_back(start: Starter) -> None:
    server, port = start()
    with serving(port, ping_after=0.3, pong_within=0.5) as (listener, taker):
        connected(listener)
        server.freeze()
        try:
            wait_until(lambda: taker.lost(), "the loss")
        finally:
            server.thaw()
        wait_until(lambda: len(taker.opened()) >= 2, "the next connection")
        assert "ping was not answered" in taker.lost()[0].reason
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "a call after it")


@pytest.mark.asterisk
def test_two_asterisks_on_one_port(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    _, port = start()
    with serving(port) as (listener, taker):
        connected(listener)
        fake = FakeOutbound(port)
        wait_until(lambda: len(taker.opened()) >= 2, "the newer connection")
        wait_until(lambda: len(taker.opened()) >= 3, "the real one, connecting again")
        assert fake.closed.wait(DEADLINE)
        assert "the newer connection counts" in caplog.text
        connected(listener)
        assert listener.rest.channels() == []
        fake.end()


@pytest.mark.asterisk
def test_another_client_takes_the_application(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    server, port = start()
    with serving(port, request_timeout=5.0) as (listener, taker):
        connected(listener)
        other = Events(server.url, APP)
        wait_until(lambda: "ApplicationReplaced" in taker.line, "the message")
        wait_until(lambda: "another client" in str(listener.status()["state"]), "the alarm")
        assert listener.status()["connected"] is False
        assert "ari shutdown websocket session" in caplog.text
        other.close()
        wait_until(lambda: "connected, but" in str(listener.status()["state"]), "Asterisk, connected in vain")
        assert listener.status()["connected"] is False
        server.cli("ari shutdown websocket session arimonitor-A")
        server.cli("ari start outbound-websocket arimonitor-A")
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "a call after the mend")
        wait_until(lambda: listener.status()["connected"], "the end of the alarm")
