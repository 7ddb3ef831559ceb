"""Every way in which the connection to an Asterisk fails, by real Asterisks 22 and 16.

- Silent dead link: here (SIGSTOP; a relay through which nothing passes). By a fake: test_ari_listener.
- Clean close: here (`core stop now`). By a fake: test_ari_listener, test_ari_socket.
- Abrupt loss: test_recovery (kill -9), here (a cut). By a fake: test_ari_listener.
- 404, a wrong prefix, and 401, a wrong password: here. By a fake: test_ari_socket.
- 400, no application: test_ari_asterisk (the settings refuse an empty name). By a fake: test_ari_socket.
- 503, not booted: by a fake only, since it lasts milliseconds: test_ari_socket, test_ari_server_fake.
- ApplicationReplaced: here; over the outbound websocket test_ari_server_faults. By a fake: test_ari_listener.
- Slow reading, cut off by Asterisk: here (the daemon stands still).
- Hung handshake: here (SIGSTOP). By a fake: test_ari_socket.
- Hung REST call: test_ari_server_faults (SIGSTOP). By a fake: test_ari_listener.
- Restart, recognised by the startup time: test_ari_server_faults, and here, where what was open is ended.
- PJSIP stuck while ARI answers: by a fake only, test_pjsip_stuck and test_ami.

The files named are in tests/integration and tests/system.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.cdr import read
from tests.servers.asterisk.ari import Events
from tests.servers.asterisk.bed import CHANNELVARS, connect
from tests.servers.asterisk.load import Calling
from tests.servers.asterisk.own import own_asterisk
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.relay import Relay
from tests.servers.waiting import wait_until
from tests.system.sites import config, gaps, real, told

pytestmark = [pytest.mark.asterisk]


@pytest.fixture(scope="module", params=["22", "16"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    with own_asterisk(request.param, tmp_path_factory.mktemp("pbx")) as asterisk:
        asterisk.start(channelvars=CHANNELVARS, ws_write_timeout=100)
        yield asterisk


class Watching(ArimonitorDaemon):
    """A daemon, and the calls that were over before it was made.

    Those of the test before may be told as missed: they are in the margin before a gap.
    """

    def __init__(self, server: Asterisk, folder: Path, **asterisk: Any) -> None:
        # Not so quick that a busy machine is taken for a dead one.
        quick = {"connect_timeout": 3.0, "request_timeout": 3.0, "ping_interval": 2.0}
        super().__init__(folder, config([real(server, **{**quick, **asterisk})]))
        server.idle()
        self.earlier = {row.uniqueid for row in read(server.cdr_rows())}


def calls(daemon: Watching) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for call, kind in told(daemon):
        if call not in daemon.earlier:
            found.setdefault(call, []).append(kind)
    return found


WHOLE = ["received-call", "answered-call", "ended-call"]


def lost(daemon: ArimonitorDaemon) -> None:
    daemon.wait_for(lambda status: not status["asterisk"][0]["connected"], "the loss is noticed")


def open_call(server: Asterisk, daemon: Watching) -> tuple[Any, Any]:
    """A call that has been told to be answered; its two ends."""
    before = len(calls(daemon))
    a, b = server.register("1013010", "1013015")
    ends = connect(a, "1013015", b, ringing=0.1)
    wait_until(lambda: sum(len(kinds) > 1 for kinds in calls(daemon).values()) > before, "the answer is told")
    return ends


def hang_up(ends: tuple[Any, Any]) -> None:
    ends[0].hangup()
    ends[1].wait("ended")


def all_whole(daemon: Watching, number: int) -> None:
    try:
        wait_until(lambda: list(calls(daemon).values()) == [WHOLE] * number, f"{number} whole calls")
    except AssertionError as error:
        raise AssertionError(f"{error}: {calls(daemon)}") from None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "/asterisk"}, "prefix"),
        ({"password": "wrong-one"}, "user name or the password"),
    ],
    ids=["prefix", "password"],
)
def test_refused(server: Asterisk, tmp_path: Path, wrong: dict[str, str], said: str) -> None:
    """Said in one sentence with the mend, once; the password is in none."""
    if "url" in wrong:
        wrong = {"url": server.url + wrong["url"]}
    with Watching(server, tmp_path / "site", **wrong) as daemon:
        daemon.says("not connected to voip3: ")
        daemon.wait_for(lambda status: said in status["asterisk"][0]["error"], f"the status says {said}")
        assert daemon.lines("not connected to voip3: ") == 1
        assert "wrong-one" not in daemon.log_text()


def test_another_client_takes_the_application(server: Asterisk, tmp_path: Path) -> None:
    """An alarm and no fight; once the name is free it is used again."""
    with Watching(server, tmp_path / "site") as daemon:
        daemon.connected()
        other = Events(server.url, "arimonitor-AUDIO")
        lost(daemon)
        daemon.says(
            "another client uses the application name arimonitor-AUDIO on voip3: give each node a name"
        )
        assert daemon.lines("listening to voip3") == 1
        other.close()
        if server.version == "22":  # 16 never frees the name: it is taken after a longer pause
            daemon.connected()
            assert daemon.lines("listening to voip3") == 2


def test_frozen(server: Asterisk, tmp_path: Path) -> None:
    """The link is dead and nobody says so: the ping is not answered. A handshake hangs the same way."""
    with Watching(server, tmp_path / "site") as daemon:
        daemon.connected()
        ends = open_call(server, daemon)
        server.freeze()
        try:
            lost(daemon)
            daemon.says("a ping was not answered")
            daemon.says("did not answer the websocket handshake")
        finally:
            server.thaw()
        daemon.connected()
        hang_up(ends)
        all_whole(daemon, 1)
        assert len(gaps(daemon)) == 1


@pytest.mark.parametrize("how", ["cut", "silence"])
def test_the_connection_breaks_in_mid_call(server: Asterisk, tmp_path: Path, how: str) -> None:
    """Reset, or no byte passes; meanwhile one call ends and one begins."""
    with (
        Relay(server.http) as relay,
        Watching(server, tmp_path / "site", url=f"http://127.0.0.1:{relay.port}") as daemon,
    ):
        daemon.connected()
        ends = open_call(server, daemon)
        getattr(relay, how)()
        hang_up(ends)
        a, b = server.register("1013010", "1013015")
        ends = connect(a, "1013015", b, ringing=0.1)
        if how == "silence":
            lost(daemon)
            relay.cut()
        daemon.says("was reconciled")
        wait_until(lambda: gaps(daemon), "the gap is told")
        daemon.connected()
        hang_up(ends)
        all_whole(daemon, 2)


def test_a_slow_reader_is_cut_off_by_asterisk(server: Asterisk, tmp_path: Path) -> None:
    """The daemon stands still until Asterisk gives it up; what it missed is found out."""
    with Watching(server, tmp_path / "site") as daemon:
        daemon.connected()
        rows = len(server.cdr_rows())
        daemon.freeze()
        try:
            with Calling(server, 30, ring=0.05, talk=0.1, pairs=1) as calling:
                wait_until(lambda: cut_off(server), "Asterisk has cut it off")
                calling.finish()
        finally:
            daemon.thaw()
        daemon.says("lost voip3 after")
        server.idle()
        daemon.connected()
        number = len(server.cdr_rows()) - rows
        wait_until(lambda: len(calls(daemon)) >= number, f"{number} calls are told")
        all_whole(daemon, number)
        assert len(gaps(daemon)) == 1


def cut_off(server: Asterisk) -> bool:
    """Whether Asterisk's HTTP server holds no connection any more: proc(5), tcp, state 01."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return not any(row[1].endswith(f":{server.http:04X}") and row[3] == "01" for row in rows)


@pytest.mark.parametrize("how", ["core stop now", "core restart now"])
def test_asterisk_stops_in_mid_call(server: Asterisk, tmp_path: Path, how: str) -> None:
    """By its administrator: the call ends, the connection is closed properly, the next call is whole."""
    with Watching(server, tmp_path / "site") as daemon:
        daemon.connected()
        open_call(server, daemon)
        server.cli(how)
        daemon.says("lost voip3 after")  # the status says it for as long as Asterisk takes to be back
        if how == "core stop now":
            server.stop()
            server.restart()
        server.booted()
        daemon.connected()
        wait_until(lambda: all("ended-call" in kinds for kinds in calls(daemon).values()), "it is ended")
        server.phone("1013010").rest()
        server.phone("1013015").rest()
        hang_up(open_call(server, daemon))
        all_whole(daemon, 2)
        assert len(gaps(daemon)) == 1
        daemon.says(" was restarted ")
