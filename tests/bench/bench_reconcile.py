"""What a gap costs with 500 calls going on, two legs each, on a real Asterisk 22.

    python -m tests.bench reconcile
    python -m tests.bench.bench_reconcile HTTP      the yardstick

SIPp makes the calls. A daemon that followed them is killed and started again:
it knows them. Another one starts in the midst of them: it has to tell them all. Of both
counts the time from the connection to the end of the reconciliation. The yardstick asks
one after the other, on one connection, for what a reconciliation needs to know and decodes it.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from daemon.calls.reconcile import CDR_ANSWER
from tests.bench.pbx import SERVER, asterisk, lag, logged, many_ports, site, talking
from tests.bench.report import Row, contestant
from tests.servers.asterisk.ari import BASIC
from tests.servers.asterisk.bed import CHANNELVARS
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.waiting import wait_until

CALLS = 500
RATE = 50.0  # calls/s
_PATIENCE = 60.0  # seconds


class Roomy(Asterisk):
    """With ports for a thousand legs."""

    def _configure(self, channelvars: str | None, qualify: int, ws_write_timeout: int | None) -> None:
        super()._configure(channelvars, qualify, ws_write_timeout)
        many_ports(self)


def part() -> list[Row]:
    """The rows of this part."""
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name, asterisk(Roomy) as server:
        server.start(channelvars=CHANNELVARS)
        follower, newcomer = (site(server, Path(name), who) for who in ("FOLLOWER", "NEWCOMER"))
        try:
            follower.start()
            follower.connected()
            with talking(server, CALLS, RATE):
                follower.wait_for(lambda _: _answered(follower) == CALLS, f"{CALLS} calls", _PATIENCE)
                bare = contestant("bench_reconcile", server.http)
                follower.kill()
                known = _reconciled(follower)
                follower.stop()
                new = _reconciled(newcomer)
                wait_until(lambda: _answered(newcomer) == CALLS, f"{CALLS} calls are told")
                rows = [
                    Row(
                        f"{CALLS} calls, killed and started again",
                        f"{known[0] * 1000:.0f} ms",
                        f"{known[0] / bare['wall']:.2f}x",
                        f"against {bare['asked']} bare GETs with their JSON: {bare['wall'] * 1000:.0f} ms; "
                        f"{known[1]}, its start in it",
                    ),
                    Row(
                        f"{CALLS} calls, none of them known",
                        f"{new[0] * 1000:.0f} ms",
                        f"{new[0] / bare['wall']:.2f}x",
                        f"against the same; {new[1]}, its start and {2 * CALLS} messages in it",
                    ),
                    _by_hand(newcomer, bare["wall"]),
                ]
        finally:
            for daemon in (follower, newcomer):
                daemon.stop()
    return rows


def _answered(daemon: ArimonitorDaemon) -> int:
    return sum(line["type"] == "answered-call" for line in daemon.messages())


def _reconciled(daemon: ArimonitorDaemon) -> tuple[float, str]:
    """Start it; the seconds from its connection to the end of the reconciliation, and the hub's lag."""
    sentence = f"{SERVER} was reconciled: {2 * CALLS} channels are alive"
    before = daemon.lines(sentence)
    daemon.start()
    wait_until(lambda: daemon.lines(sentence) > before, "it is reconciled", _PATIENCE)
    seconds = logged(daemon, sentence) - logged(daemon, f"listening to {SERVER}")
    return seconds, lag(daemon.ctl("stats"))


def _by_hand(daemon: ArimonitorDaemon, bare: float) -> Row:
    began = time.perf_counter()
    said = daemon.ctl("recovery", "manual")["asterisk"][SERVER]
    seconds = time.perf_counter() - began
    if f"{2 * CALLS} channels are alive" not in said:
        raise RuntimeError(said)
    return Row(
        "`recovery manual`, until its answer is read",
        f"{seconds * 1000:.0f} ms",
        f"{seconds / bare:.2f}x",
        f"against the same; {lag(daemon.ctl('stats'))}, what was before in it",
    )


def main() -> None:
    """The yardstick; prints JSON."""
    link = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=_PATIENCE)
    asked = 0

    def get(path: str) -> list[dict[str, object]]:
        nonlocal asked
        asked += 1
        link.request("GET", "/ari" + path, headers={"Authorization": BASIC})
        found: list[dict[str, object]] = json.loads(link.getresponse().read())
        return found

    link.connect()
    began = time.perf_counter()
    channels = get("/channels")
    get("/bridges")
    for channel in channels:
        if channel["dialplan"]["app_name"] != "AppDial":  # type: ignore[index]
            get(f"/channels/{channel['id']}/variable?variable={quote(CDR_ANSWER)}")
    seconds = time.perf_counter() - began
    if asked != CALLS + 2 or len(channels) != 2 * CALLS:
        raise SystemExit(f"{len(channels)} channels, {asked} requests")
    print(json.dumps({"wall": seconds, "asked": asked}))


if __name__ == "__main__":
    main()
