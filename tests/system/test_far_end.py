"""At the far end: a consumer that keeps ids has each fact once and finds no hole, whatever failed.

Real Asterisk, real RabbitMQ, calls by SIPp without a pause; killed, cut and restarted under them, one
after the other: the broker, the daemon, the connection to Asterisk, Asterisk itself. ARIMONITOR_LONG=1:
2,000 calls, and each fault many times.
"""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.cdr import read
from tests.servers.asterisk.bed import CHANNELVARS
from tests.servers.asterisk.load import Calling, LoadFailed
from tests.servers.asterisk.own import own_asterisk
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.relay import Relay
from tests.servers.waiting import wait_until
from tests.system.consumer import Mailbox
from tests.system.long import LONG
from tests.system.sites import config, real

pytestmark = [pytest.mark.asterisk, pytest.mark.rabbitmq, pytest.mark.heavy]

PHASES = 4 if LONG else 2  # between two of them Asterisk is killed
CALLS = 2000 if LONG else 300  # in all
RATE, RING, TALK = 10.0, 0.3, 1.0  # calls a second; seconds
PAUSE = 3.0  # seconds between two faults
TYPES = ["received-call", "answered-call", "ended-call"]


class Faults:
    """What fails, and how often it has."""

    def __init__(self, daemon: ArimonitorDaemon, broker: RabbitMQ, relay: Relay) -> None:
        self.daemon, self.broker, self.relay = daemon, broker, relay
        self.counts: dict[str, int] = defaultdict(int)
        self._next = cycle(
            (self.daemon_killed, self.broker_killed, self.cut, self.daemon_away, self.broker_stopped)
        )

    def next(self) -> None:
        fault: Callable[[], None] = next(self._next)
        fault()
        self.counts[fault.__name__] += 1
        self.daemon.connected()

    def daemon_killed(self) -> None:
        self.daemon.kill()
        self.daemon.start()

    def daemon_away(self) -> None:
        self.daemon.kill()
        time.sleep(4.0)
        self.daemon.start()

    def broker_killed(self) -> None:
        self.broker.kill()
        self.broker.start()

    def broker_stopped(self) -> None:
        self.broker.stop()
        self.broker.start()

    def cut(self) -> None:
        lost = self.daemon.lines("lost voip3")
        self.relay.cut()
        wait_until(lambda: self.daemon.lines("lost voip3") > lost, "the cut is noticed")


def phase(server: Asterisk, faults: Faults, calls: int) -> None:
    """So many calls, and faults while they are made; then Asterisk is killed, with calls running."""
    rows = len(server.cdr_rows())
    with Calling(server, RATE, ring=RING, talk=TALK) as calling:
        while len(server.cdr_rows()) < rows + calls:
            faults.next()
            time.sleep(PAUSE)
        server.kill()
        with pytest.raises((LoadFailed, subprocess.TimeoutExpired)):
            calling.finish(1)
    server.restart()


@pytest.mark.deadline(900)
def test_each_fact_once_and_no_hole(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    mailbox = Mailbox(rabbitmq)
    with own_asterisk("22", tmp_path / "asterisk") as server, Relay(server.http) as relay:
        server.start(channelvars=CHANNELVARS)
        site = real(server, url=f"http://127.0.0.1:{relay.port}")
        with ArimonitorDaemon(tmp_path / "site", config([site], mq=mailbox.mq(heartbeat=3))) as daemon:
            daemon.connected()
            faults = Faults(daemon, rabbitmq, relay)
            for _ in range(PHASES):
                phase(server, faults, CALLS // PHASES)
                faults.counts["asterisk_killed"] += 1
                daemon.connected()
            rows = {row.uniqueid for row in read(server.cdr_rows())}
            mailbox.take({(call, kind) for call in rows for kind in TYPES})
            daemon.settled()
            mailbox.take({(call, "ended-call") for call, _ in mailbox.told})
    assert len(rows) >= CALLS
    mailbox.check(mailbox.told, gaps=True)
    cut_off = no_hole(mailbox, rows)
    copies = len(mailbox.came) - len(mailbox.ids)
    print(
        f"{len(rows)} calls, {len(mailbox.ids)} messages and {copies} copies of them; "
        f"{cut_off} calls cut off by Asterisk's death; {len(mailbox.gaps)} gaps; {dict(faults.counts)}"
    )


def no_hole(mailbox: Mailbox, rows: set[str]) -> int:
    """Every call has all its messages; how many Asterisk's death cut off, of which there is no CDR."""
    calls: dict[str, dict[int, str]] = defaultdict(dict)
    for message in mailbox.came:
        if "call" in message["data"]:
            operation: dict[str, Any] = message["operation"]
            calls[message["data"]["call"]][operation["seq"]] = operation["type"]
    assert rows <= calls.keys()
    for call, by_seq in calls.items():
        assert sorted(by_seq) == list(range(1, len(by_seq) + 1)), f"{call}: {by_seq}"
        types = [by_seq[seq] for seq in sorted(by_seq)]
        assert types == TYPES or (call not in rows and types == [TYPES[0], TYPES[2]]), f"{call}: {types}"
    cut_off = len(calls) - len(rows)
    # As many as can have been running: those of the time that a call lasts, and some.
    assert cut_off <= PHASES * RATE * (RING + TALK) * 2
    return cut_off
