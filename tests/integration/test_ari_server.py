"""The outbound websocket of a real Asterisk 22: calls, REST, and what waits while we are away."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.ari.rest import AriRefused, AriUnavailable
from daemon.ari.session import WANTED
from tests.integration.outbound_parts import APP, PASSWORD, USER, Starter, Taker, connected, one_call, serving
from tests.integration.outbound_parts import start as start
from tests.servers.asterisk.load import Calling, load
from tests.servers.asterisk.outbound import OutboundAsterisk
from tests.servers.waiting import DEADLINE, wait_until

FRAGMENTS = Path(__file__).parents[2] / "etc/asterisk"


@pytest.mark.asterisk
def test_it_connects_and_calls_arrive(start: Starter) -> None:
    server, port = start()
    with serving(port, path="/pbx") as (listener, taker):
        connected(listener)
        assert taker.line[0] == "ApplicationRegistered"  # queued before we answered
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
        assert taker.whole_calls() == 2
        assert [e["dialstatus"] for e in taker.events if e["type"] == "Dial"] == ["", "RINGING", "ANSWER"]
        assert {e["application"] for e in taker.events} == {APP}
        assert "RESTResponse" not in taker.line
        assert listener.status()["varset"] is False
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 4, "the end of the second call")
        last = max(n for n, event in enumerate(taker.events) if event["type"] == "ChannelVarset")
        assert {e["type"] for e in taker.events[last + 1 :]} <= set(WANTED)
    assert listener.left is not None
    assert listener.left.clean


@pytest.mark.asterisk
def test_rest_over_the_websocket(start: Starter) -> None:
    server, port = start()
    with serving(port) as (listener, _):
        with pytest.raises(AriUnavailable, match="not connected"):
            listener.rest.channels()
        connected(listener)
        rest = listener.rest
        assert str(rest.get_info()["system"]["version"]).startswith("22.")
        assert rest.channels() == []
        assert rest.bridges() == []
        assert {endpoint["resource"] for endpoint in rest.endpoints()} >= {"1013010", "1013015"}
        assert rest.application("nobody") is None
        application = rest.application(APP)
        assert application is not None
        assert application["device_names"] == []  # no locks of device states, in which ARI can hang
        assert rest.channel_variable("1.1", "CHANNEL(linkedid)") is None
        with pytest.raises(AriRefused, match="404"):
            rest.call("GET", "/bridges/none")
        caller, called = server.register("1013010", "1013015")
        call = caller.dial("1013015")
        called.incoming().answer()
        call.wait("answered")
        both = sorted(rest.channels(), key=lambda channel: str(channel["name"]))  # 1013010 calls 1013015
        assert [str(channel["name"])[:14] for channel in both] == ["PJSIP/1013010-", "PJSIP/1013015-"], both
        first = both[0]
        assert rest.channel_variable(first["id"], "CHANNEL(linkedid)") == first["id"]
        found: list[int] = []
        askers = [
            threading.Thread(target=lambda: found.append(len(rest.channels())), daemon=True)
            for _ in range(20)
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(DEADLINE)
        assert found == [2] * 20
        call.hangup()
        server.idle()
    with pytest.raises(AriUnavailable, match="not connected"):
        listener.rest.channels()


@pytest.mark.asterisk
def test_calls_made_while_we_are_away_come_complete_and_in_order(start: Starter) -> None:
    server, port = start()
    one_call(server)  # before the first connection ever
    with serving(port) as (listener, taker):
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the call from before")
        wait_until(taker.opened, "the mark")
        assert taker.opened()[0].complete is False  # who knows what was before this Asterisk
        assert taker.whole_calls() == 2
    left = listener.left
    caller, called = server.register("1013010", "1013015")
    call = caller.dial("1013015")  # begins while we are away, ends when we are back
    called.incoming().answer()
    call.wait("answered")
    with serving(port, left=left) as (listener, taker):
        connected(listener)
        call.hangup()
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
        wait_until(taker.opened, "the mark")
        assert taker.whole_calls() == 2
        assert taker.opened()[0].complete is True
        assert taker.line[0] == "Opened"
    with serving(port, left=None) as (listener, taker):
        connected(listener)
        wait_until(taker.opened, "the mark")
        assert taker.opened()[0].complete is False  # a crash leaves nothing


@pytest.mark.asterisk
def test_leaving_and_coming_back_in_the_middle_of_calls_costs_nothing(start: Starter) -> None:
    server, port = start()
    left, created, destroyed, complete = None, set(), set(), []

    def come(enough: Callable[[Taker], object]) -> None:
        """Be there until it is enough, and leave."""
        nonlocal left
        with serving(port, left=left) as (listener, taker):
            connected(listener)
            wait_until(lambda: taker.opened() and enough(taker), "events")
        left = listener.left
        complete.extend(mark.complete for mark in taker.opened())
        created.update(e["channel"]["id"] for e in taker.events if e["type"] == "ChannelCreated")
        destroyed.update(e["channel"]["id"] for e in taker.events if e["type"] == "ChannelDestroyed")

    with Calling(server, 12) as calling:
        for _ in range(12):
            come(lambda taker: taker.count("ChannelCreated") >= 6)
        calling.finish()
    server.idle()
    calls = len(server.cdr_rows())
    come(lambda taker: len(destroyed) + taker.count("ChannelDestroyed") >= 2 * calls)
    assert complete == [False] + [True] * 12
    assert calls >= 36
    assert len(created) == len(destroyed) == 2 * calls


@pytest.mark.asterisk
def test_200_queued_calls_are_taken_in_at_once(start: Starter) -> None:
    server, port = start()
    load(server, 200, 25)
    server.idle()
    began = time.monotonic()
    with serving(port) as (listener, taker):
        connected(listener)
        taken = time.monotonic() - began
        wait_until(lambda: taker.count("ChannelDestroyed") == 400, "the last of 200 calls", 60)
        assert taken < 20
        assert taker.whole_calls() == 400
        assert taker.repeated() == []
        assert taker.overflows() == 0
        assert len(taker.events) > 200 * 60
        assert listener.rest.channels() == []


@pytest.mark.asterisk
def test_without_subscribe_all_we_subscribe_and_say_so(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    server, port = start(subscribe_all=False)
    with serving(port) as (listener, taker):
        connected(listener)
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
    assert "set subscribe_all = yes" in caplog.text
    one_call(server)
    with serving(port, left=listener.left) as (listener, taker):
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the call in between")
        assert taker.opened()[0].complete is True  # the subscription outlives the connection


@pytest.mark.asterisk
def test_another_application_name_is_used_and_said(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    server, port = start(app="something")
    with serving(port) as (listener, taker):
        connected(listener)
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
    assert f"connects for the application something, not {APP}" in caplog.text


@pytest.mark.asterisk
def test_a_reload_of_the_configuration_connects_anew(start: Starter) -> None:
    server, port = start()
    with serving(port) as (listener, taker):
        connected(listener)
        listener.reconfigure(listener._options)
        wait_until(lambda: len(taker.opened()) == 2, "the next connection")
        assert taker.opened()[1].complete is True
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "a call")


class FragmentAsterisk(OutboundAsterisk):
    """Configured by the files that the product ships, their placeholders filled in."""

    def _configure_outbound(self, *nodes: tuple[int, str]) -> None:
        ((port, app),) = nodes
        ari = (FRAGMENTS / "ari.conf").read_text().split(";[arimonitor-audio]")[0]
        self._fill("ari.conf", re.sub(r"(?m)^;(?=\[|\w+ = )", "", ari), {
            "password_format = crypt": "password_format = plain",
            "REPLACE-ME-TOO": "another-secret",
            "REPLACE-ME": "monitor-secret",
            "arimonitor-AUDIO2": app,
        })  # fmt: skip
        self._fill("websocket_client.conf", "", {
            "ws://192.0.2.10:8787/voip3": f"ws://127.0.0.1:{port}/pbx",
            "username = monitor": f"username = {USER}",
            "REPLACE-ME": PASSWORD,
        })  # fmt: skip
        self._fill("http.conf", "", {"bindport = 8088": f"bindport = {self.http}"})
        self._fill("manager.conf", "", {"5038": f"{self.ami_port}", "REPLACE-ME": "monitor-secret"})
        self._fill("cdr.conf", "", {})

    def _fill(self, name: str, text: str, values: dict[str, str]) -> None:
        text = text or (FRAGMENTS / name).read_text()
        for old, new in values.items():
            assert old in text, f"{old} in {name}"
            text = text.replace(old, new)
        (self.home / "etc/asterisk" / name).write_text(text)


@pytest.mark.asterisk
def test_the_fragments_for_asterisk_are_right(start: Starter) -> None:
    server, port = start(kind=FragmentAsterisk)
    with serving(port) as (listener, taker):
        connected(listener)
        one_call(server)
        wait_until(lambda: taker.count("ChannelDestroyed") == 2, "the end of the call")
        assert listener.status()["varset"] is False  # channelvars are right
        assert server.ami("PJSIPShowContacts")["Response"] == "Success"
        wait_until(lambda: server.cdr_rows(), "a line in the CDR file")
        assert "ANSWERED" in server.cdr_rows()[0]
