"""The ARI side against real Asterisks, 22 and 16."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from daemon.ari.address import Address
from daemon.ari.events import Event
from daemon.ari.inbox import Inbox
from daemon.ari.listener import Listener
from daemon.ari.monitor import Monitor
from daemon.ari.rest import AriRefused, AriRest
from daemon.ari.session import WANTED, ListenerOptions
from daemon.ari.socket import EventSocket
from daemon.ari.wire import ConnectError
from daemon.calls.model import Fact
from daemon.outbox.message import Message
from daemon.runtime.backoff import Backoff
from tests.integration.outbound_parts import one_call
from tests.servers.asterisk.own import own_asterisk
from tests.servers.asterisk.server import Asterisk
from tests.servers.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.asterisk

CHANNELVARS = "CHANNEL(linkedid),MIXMONITOR_FILENAME"
USER, PASSWORD = "monitor", "monitor-secret"


@pytest.fixture(scope="module", params=["22", "16"])
def asterisk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    with own_asterisk(request.param, tmp_path_factory.mktemp("pbx")) as server:
        server.start(channelvars=CHANNELVARS)
        yield server


class Recorder:
    """A tracker that makes no facts and keeps the events."""

    def __init__(self) -> None:
        self.active = 0
        self.seen: list[Event] = []

    def apply(self, event: Event, now: float) -> list[Fact]:
        self.seen.append(event)
        return []

    def tick(self, now: float) -> list[Fact]:
        return []

    def changes(self) -> dict[str, bytes | None]:
        return {}

    def types(self) -> list[str]:
        return [event.type for event in self.seen]

    def by_channel(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for event in self.seen:
            if event.channel is not None:
                found.setdefault(event.channel.id, []).append(event.type)
        return found


def no_message(fact: Fact) -> Message | None:
    raise AssertionError(f"no fact was made, but {fact} is rendered")


def count(messages: Sequence[Message], state: Mapping[str, bytes | None]) -> int:
    return len(messages)


@contextmanager
def listening(server: Asterisk, app: str, **options: object) -> Iterator[tuple[Listener, Monitor, Recorder]]:
    """A listener and a monitor, connected, in threads."""
    inbox, recorder, stop = Inbox(), Recorder(), threading.Event()
    choice = ListenerOptions(Address.parse(server.url), USER, PASSWORD, app, **options)  # type: ignore[arg-type]
    listener = Listener("pbx", choice, inbox, backoff=Backoff(first=0.05, factor=2, cap=0.5))
    monitor = Monitor("pbx", inbox, recorder, no_message, count)
    threads = [threading.Thread(target=s.run, args=(stop,), daemon=True) for s in (listener, monitor)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: monitor.status()["connected"], f"connection of {app}")
        yield listener, monitor, recorder
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        assert not any(thread.is_alive() for thread in threads)


def ended(recorder: Recorder, calls: int) -> bool:
    return recorder.types().count("ChannelDestroyed") == 2 * calls


def test_a_calls_events_come_in_order_by_sources_and_by_all(asterisk: Asterisk) -> None:
    with (
        listening(asterisk, "by-sources") as (_, monitor, sources),
        listening(asterisk, "by-all", subscribe="all") as (_, _, everything),
    ):
        one_call(asterisk)
        wait_until(lambda: ended(sources, 1) and ended(everything, 1), "the end of the call")
    assert monitor.status()["malformed"] == 0
    for recorder in (sources, everything):
        assert [e.dialstatus for e in recorder.seen if e.type == "Dial"] == ["", "RINGING", "ANSWER"]
        originator, dialled = recorder.by_channel().values()
        for events in (originator, dialled):
            assert events[0] == "ChannelCreated"
            assert events[-1] == "ChannelDestroyed"
        assert "ChannelEnteredBridge" in originator
        assert set(recorder.types()) <= {*WANTED, "ChannelVarset"}

    def without_varset(recorder: Recorder) -> dict[str, list[str]]:
        return {
            channel: [t for t in types if t != "ChannelVarset"]
            for channel, types in recorder.by_channel().items()
        }

    assert without_varset(sources) == without_varset(everything)


def test_channelvarset_is_needless_with_channelvars(asterisk: Asterisk) -> None:
    with listening(asterisk, "varset") as (listener, _, recorder):
        one_call(asterisk)
        wait_until(lambda: ended(recorder, 1), "the end of the first call")
        wait_until(lambda: not listener.status()["varset"], "the filter is changed")
        del recorder.seen[:]
        one_call(asterisk)
        wait_until(lambda: ended(recorder, 1), "the end of the second call")
        assert "ChannelVarset" not in recorder.types()
        assert listener.status()["varset"] is False
        recordings = {
            event.channel.channelvars["MIXMONITOR_FILENAME"]
            for event in recorder.seen
            if event.channel and event.channel.channelvars
        } - {""}
    (recording,) = recordings
    assert re.search(r"/internal-1013010-1013015-.*\.wav$", recording)


def test_one_client_per_name(asterisk: Asterisk) -> None:
    with listening(asterisk, "name") as (listener, _, _):
        address = Address.parse(asterisk.url)
        other = EventSocket.connect(address, USER, PASSWORD, "name")
        wait_until(lambda: not listener.status()["connected"], "the listener giving way")
        assert "another client" in str(listener.status()["state"])
        other.close()


def test_right_after_an_abrupt_close_under_the_same_name(asterisk: Asterisk) -> None:
    """Asterisk's late clean-up of the old session may take the application away from the new one."""
    for _ in range(8):
        EventSocket.connect(Address.parse(asterisk.url), USER, PASSWORD, "abrupt")._wire.close()
        with listening(asterisk, "abrupt", check_after=0.1, check_every=0.1, pong_within=2.0) as (
            listener,
            _,
            recorder,
        ):

            def heard(recorder: Recorder = recorder) -> bool:
                if "ChannelCreated" in recorder.types():
                    return True
                status, said = asterisk.ari(
                    "POST", "/channels", endpoint="Local/601@internal", extension="601", context="internal"
                )
                assert status == 200, said
                return False

            try:
                wait_until(heard, "an event", every=0.1)
            except AssertionError as error:
                known = asterisk.ari("GET", "/applications/abrupt")
                raise AssertionError(f"{error}: {listener.status()}, {known}") from None
    asterisk.idle()


def test_refusals(asterisk: Asterisk) -> None:
    address = Address.parse(asterisk.url)
    wrong = Address.parse(asterisk.url + "/asterisk")
    with pytest.raises(ConnectError, match="user name or the password"):
        EventSocket.connect(address, USER, "wrong", "x")
    with pytest.raises(ConnectError, match="prefix"):
        EventSocket.connect(wrong, USER, PASSWORD, "x")
    with pytest.raises(ConnectError, match="check app"):
        EventSocket.connect(address, USER, PASSWORD, "")
    with pytest.raises(AriRefused, match="password"):
        AriRest(address, USER, "wrong").get_info()
    with pytest.raises(AriRefused, match="prefix"):
        AriRest(wrong, USER, PASSWORD).get_info()


def test_rest_calls(asterisk: Asterisk) -> None:
    rest = AriRest(Address.parse(asterisk.url), USER, PASSWORD)
    assert str(rest.get_info()["system"]["version"]).startswith(asterisk.version)
    assert rest.ping()
    assert rest.application("nobody") is None
    assert {endpoint["resource"] for endpoint in rest.endpoints()} >= {"1013010", "1013015"}
    caller, called = asterisk.register("1013010", "1013015")
    call = caller.dial("1013015")
    called.incoming().answer()
    call.wait("answered")
    (first, _) = sorted(rest.channels(), key=lambda channel: str(channel["name"]))  # 1013010 calls 1013015
    assert rest.channel_variable(first["id"], "CHANNEL(linkedid)") == first["id"]
    assert rest.channel_variable("1.1", "CHANNEL(linkedid)") is None
    wait_until(lambda: [len(bridge["channels"]) for bridge in rest.bridges()] == [2], "both in the bridge")
    call.hangup()
    asterisk.idle()


def test_a_crash_and_a_restart(asterisk: Asterisk) -> None:
    with listening(asterisk, "crash") as (listener, monitor, recorder):
        one_call(asterisk)
        wait_until(lambda: ended(recorder, 1), "the end of the call")
        asterisk.kill()
        wait_until(lambda: not listener.status()["connected"], "the loss")
        asterisk.restart()
        wait_until(lambda: monitor.status()["reconnects"] == 1, "the reconnect")
        one_call(asterisk)
        wait_until(lambda: ended(recorder, 2), "the end of the next call")


def test_a_frozen_asterisk(asterisk: Asterisk) -> None:
    quick = {"ping_after": 0.5, "pong_within": 2.0, "connect_timeout": 2.0}
    with listening(asterisk, "frozen", **quick) as (listener, monitor, recorder):
        asterisk.freeze()
        try:
            wait_until(lambda: not listener.status()["connected"], "the loss")
        finally:
            asterisk.thaw()
        wait_until(lambda: monitor.status()["connected"] and listener.status()["connected"], "the reconnect")
        one_call(asterisk)
        wait_until(lambda: ended(recorder, 1), "a call after it")


def test_without_channelvars_the_recordings_name_still_comes(asterisk: Asterisk) -> None:
    asterisk.stop()
    asterisk.start(channelvars=None)
    try:
        with listening(asterisk, "novars") as (listener, _, recorder):
            one_call(asterisk)
            wait_until(lambda: ended(recorder, 1), "the end of the call")
            assert listener.status()["varset"] is True
            names = [e.value for e in recorder.seen if e.variable == "MIXMONITOR_FILENAME"]
            assert re.search(r"/internal-1013010-1013015-.*\.wav$", names[0])
    finally:
        asterisk.stop()
        asterisk.start(channelvars=CHANNELVARS)
