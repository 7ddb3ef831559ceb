"""An Asterisk 22 that connects to the daemon, and keeps the events while the daemon is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.cdr import read
from tests.servers.asterisk.bed import CHANNELVARS, connect
from tests.servers.asterisk.outbound import OutboundAsterisk
from tests.servers.asterisk.own import own_asterisk
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.ports import free_port
from tests.servers.waiting import wait_until
from tests.system.sites import config, connecting, gaps, told

pytestmark = [pytest.mark.asterisk]

Site = tuple[OutboundAsterisk, ArimonitorDaemon]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An Asterisk of its own, and a daemon that it connects to; neither has begun to watch."""
    with own_asterisk("22", tmp_path / "asterisk", OutboundAsterisk) as server:
        port = free_port()
        server.start_towards((port, "arimonitor-AUDIO"), channelvars=CHANNELVARS)
        yield server, ArimonitorDaemon(tmp_path / "site", config([connecting(server, port)]))


def one_call(server: OutboundAsterisk, caller: Any, called: Any) -> None:
    call, other = connect(caller, "1013015", called, ringing=0.2)
    call.hangup()
    other.wait("ended")
    server.idle()


def types_by_call(daemon: ArimonitorDaemon) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for call, kind in told(daemon):
        found.setdefault(call, set()).add(kind)
    return found


WHOLE = {"received-call", "answered-call", "ended-call"}


def ended(daemon: ArimonitorDaemon, number: int) -> None:
    def enough() -> bool:
        return sum(types >= WHOLE for types in types_by_call(daemon).values()) >= number

    wait_until(enough, f"{number} calls are told whole")
    assert list(types_by_call(daemon).values()) == [WHOLE] * number


def test_nothing_is_missed_over_an_orderly_restart(site: Site) -> None:
    """A call ends, a call comes and goes, a call begins, all while the daemon is away: no gap."""
    server, daemon = site
    a, b = server.register("1013010", "1013015")
    with daemon:
        daemon.connected()
        first = len(gaps(daemon))
        ends_unseen, other = connect(a, "1013015", b, ringing=0.2)
        wait_until(lambda: any("answered-call" in t for t in types_by_call(daemon).values()), "answered")
        daemon.stop()
        ends_unseen.hangup()
        other.wait("ended")
        server.idle()
        one_call(server, a, b)
        begins_unseen, last = connect(a, "1013015", b, ringing=0.2)
        daemon.start()
        daemon.connected()
        wait_until(
            lambda: sum("ended-call" in t for t in types_by_call(daemon).values()) == 2, "two have ended"
        )
        begins_unseen.hangup()
        last.wait("ended")
        ended(daemon, 3)
        assert len(gaps(daemon)) == first
        assert daemon.asterisk("voip3")["gaps"] == 0
        rows = {row.uniqueid: row for row in read(server.cdr_rows())}
        for (call, kind), body in told(daemon).items():
            assert body["operation"]["recovered"] is False, (call, kind)
            if kind == "ended-call":
                assert body["data"]["duration"] == rows[call].duration
                assert body["data"]["billsec"] == rows[call].billsec


def test_a_kill_is_a_gap_and_is_reconciled(site: Site) -> None:
    server, daemon = site
    a, b = server.register("1013010", "1013015")
    with daemon:
        daemon.connected()
        one_call(server, a, b)
        ended(daemon, 1)
        goes_on, other = connect(a, "1013015", b, ringing=0.2)
        wait_until(lambda: sum("answered-call" in t for t in types_by_call(daemon).values()) == 2, "answered")
        daemon.kill()
        goes_on.hangup()
        other.wait("ended")
        server.idle()
        one_call(server, a, b)
        daemon.start()
        daemon.connected()
        ended(daemon, 3)
        (gap,) = wait_until(lambda: gaps(daemon), "the gap is told")
        assert gap["reason"] == "this node was not running"
