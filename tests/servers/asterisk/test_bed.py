"""The Asterisk of the tests does what its users rely on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .ari import Events, until
from .bed import connect
from .load import load
from .own import own_asterisk
from .server import Asterisk

pytestmark = pytest.mark.asterisk


@pytest.fixture(params=["22", "16"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Asterisk]:
    with own_asterisk(request.param, tmp_path) as asterisk:
        asterisk.start(channelvars="CHANNEL(linkedid)")
        yield asterisk


def test_a_call_is_seen(server: Asterisk) -> None:
    events = Events(server.url, "test")
    caller, called = server.register("1013010", "1013015")
    call, other = connect(caller, "1013015", called, ringing=0.1)
    assert len(server.channels()) == 2
    call.hangup()
    other.wait("ended", 5)
    server.idle()
    until(server.cdr_rows, 5, "no CDR")
    assert '"ANSWERED"' in server.cdr_rows()[0]
    while '"ChannelDestroyed"' not in (text := events.read() or ""):
        assert text
    assert "CHANNEL(linkedid)" in text
    events.close()


def test_two_at_once_on_other_ports(server: Asterisk, tmp_path: Path) -> None:
    with own_asterisk(server.version, tmp_path / "second") as second:
        second.start()
        assert {second.url, second.net}.isdisjoint({server.url, server.net})
        assert second.ari("GET", "/asterisk/info")[0] == server.ari("GET", "/asterisk/info")[0] == 200


def test_frozen_killed_and_started_again(server: Asterisk) -> None:
    server.freeze()
    with pytest.raises(OSError):
        server.ari_within(0.3, "GET", "/asterisk/info")
    server.thaw()
    assert server.ari("GET", "/channels") == (200, [])
    server.kill()
    with pytest.raises(OSError):
        server.ari("GET", "/channels")
    server.restart()
    assert server.ari("GET", "/channels") == (200, [])


def test_load(server: Asterisk) -> None:
    load(server, calls=30, rate=15)
    server.idle()
    until(lambda: len(server.cdr_rows()) == 30, 5, "CDR rows")
    assert all('"ANSWERED"' in row for row in server.cdr_rows())
