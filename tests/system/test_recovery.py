"""What happens while nobody listens is found out: by a new process, by hand, after Asterisk's death."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.cdr import read
from tests.servers.asterisk.bed import CHANNELVARS, connect
from tests.servers.asterisk.call import Call
from tests.servers.asterisk.own import own_asterisk
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.waiting import wait_until
from tests.system import told as schema
from tests.system.sites import config, gaps, real

pytestmark = [pytest.mark.asterisk]


@pytest.fixture(params=["22", "16"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Asterisk]:
    """An Asterisk of its own: it is killed here."""
    with own_asterisk(request.param, tmp_path / "asterisk") as asterisk:
        asterisk.start(channelvars=CHANNELVARS)
        yield asterisk


def watching(server: Asterisk, folder: Path) -> ArimonitorDaemon:
    return ArimonitorDaemon(folder, config([real(server)]))


def told(daemon: ArimonitorDaemon) -> dict[str, dict[str, Any]]:
    """Call -> type -> body; every message valid, no fact twice, no id twice."""
    calls: dict[str, dict[str, Any]] = {}
    ids: set[str] = set()
    for line in daemon.messages():
        body = line["body"]
        schema.validate(body)
        assert line["message_id"] not in ids
        ids.add(line["message_id"])
        if "call" in body["data"]:
            facts = calls.setdefault(body["data"]["call"], {})
            assert line["type"] not in facts, f"{line['type']} of {body['data']['call']} twice"
            facts[line["type"]] = body
    return calls


def whole(calls: dict[str, dict[str, Any]]) -> bool:
    return all({"received-call", "ended-call"} <= set(facts) for facts in calls.values())


def answered(daemon: ArimonitorDaemon, number: int) -> None:
    def enough() -> bool:
        return sum("answered-call" in facts for facts in told(daemon).values()) >= number

    wait_until(enough, f"{number} answered")


def in_order(uniqueid: str) -> tuple[int, int]:
    seconds, _, number = uniqueid.partition(".")
    return int(seconds), int(number)


def hang_up(*calls: tuple[Call, Call]) -> None:
    for call, other in calls:
        call.hangup()
        other.wait("ended")


def test_killed_with_calls_running(server: Asterisk, tmp_path: Path) -> None:
    """One call ends while nobody listens, one begins and ends, one begins, one goes on all the time."""
    with watching(server, tmp_path / "site") as daemon:
        a, b, c, d = server.register("1013010", "1013015", "1013011", "1013014")
        daemon.connected()
        ends_unseen = connect(a, "1013015", b, ringing=0.2)
        goes_on = connect(c, "1013014", d, ringing=0.2)
        answered(daemon, 2)
        daemon.kill()
        hang_up(ends_unseen)
        missed = connect(a, "1013015", b, ringing=0.2)
        hang_up(missed)
        begins_unseen = connect(a, "1013015", b, ringing=0.2)
        daemon.start()
        daemon.connected()
        wait_until(lambda: len(told(daemon)) == 4, "all four calls are told")
        hang_up(begins_unseen, goes_on)
        wait_until(lambda: whole(told(daemon)), "every call has its end")
        calls = list(told(daemon).values())
        assert [set(facts) for facts in calls] == [{"received-call", "answered-call", "ended-call"}] * 4
        by_caller = {facts["ended-call"]["data"]["call"]: facts for facts in calls}
        unseen, through, never_seen, late = (by_caller[call] for call in sorted(by_caller, key=in_order))
        for facts in (unseen, never_seen, late):
            assert facts["ended-call"]["operation"]["recovered"] is True
        assert through["ended-call"]["operation"]["recovered"] is False
        assert {facts["ended-call"]["data"]["disposition"] for facts in calls} == {"ANSWERED"}
        assert {facts["ended-call"]["data"]["answered_by"] for facts in (unseen, never_seen, late)} == {
            "1013015"
        }
        (gap,) = wait_until(lambda: gaps(daemon), "the gap is told")
        assert gap["reason"] == "this node was not running"
        assert gap["calls_reconciled"] == 3
        rows = {row.uniqueid: row for row in read(server.cdr_rows())}
        assert set(rows) == set(by_caller)
        for call, row in rows.items():
            said = by_caller[call]["ended-call"]["data"]
            assert abs(said["duration"] - row.duration) <= 1
            assert abs(said["billsec"] - row.billsec) <= 1


def test_asked_for_by_hand(server: Asterisk, tmp_path: Path) -> None:
    """`recovery manual` with a time: a call from before the daemon's first start is found, and only once."""
    a, b = server.register("1013010", "1013015")
    hang_up(connect(a, "1013015", b, ringing=0.2))
    server.idle()
    assert len(list(read(server.cdr_rows()))) == 1
    with watching(server, tmp_path / "site") as daemon:
        daemon.connected()
        assert told(daemon) == {}
        assert "1 were missed entirely" in daemon.ctl("recovery", "manual", "1h")["asterisk"]["voip3"]
        wait_until(lambda: len(told(daemon)) == 1 and whole(told(daemon)), "it is told")
        assert "0 were missed entirely" in daemon.ctl("recovery", "manual", "1h")["asterisk"]["voip3"]


def test_asterisk_is_killed_in_mid_call(server: Asterisk, tmp_path: Path) -> None:
    """No CDR tells of it; the calls end when the connection was lost, and the next one is a new call."""
    with watching(server, tmp_path / "site") as daemon:
        daemon.connected()
        a, b = server.register("1013010", "1013015")
        connect(a, "1013015", b, ringing=0.2)
        answered(daemon, 1)
        server.kill()
        daemon.says("lost voip3 after")
        server.restart()
        daemon.connected()
        wait_until(lambda: whole(told(daemon)), "the call that was cut off is ended")
        (cut,) = told(daemon).values()
        assert cut["ended-call"]["operation"]["recovered"] is True
        assert cut["ended-call"]["data"]["disposition"] == "ANSWERED"
        assert cut["ended-call"]["data"]["hangup_by"] is None
        (gap,) = wait_until(lambda: gaps(daemon), "the gap is told")
        assert gap["calls_reconciled"] == 1
        a, b = server.register("1013010", "1013015")
        hang_up(connect(a, "1013015", b, ringing=0.2))
        wait_until(lambda: len(told(daemon)) == 2 and whole(told(daemon)), "the next call is whole")
