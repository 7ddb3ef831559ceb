"""Resident memory of a daemon with many calls going on at once.

    python -m tests.bench memory

A fake Asterisk plays what its event filter lets through of calls until the two
talk; nobody hangs up.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.bench.feed import answered_part, payloads, recorded
from tests.bench.report import Row, aim, definitions
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ari import FakeAri, frame

LEVELS = (1_000, 10_000)
STEP = 500  # calls sent at once
AIM_CALLS, AIM_MB = 1_000, 100
MB = 1_000_000


def _read(daemon: ArimonitorDaemon, events: int) -> None:
    daemon.wait_for(lambda status: status["asterisk"][0]["events"] >= events, "the events are read", 60)


def part() -> list[Row]:
    """The rows of this part."""
    events = answered_part(recorded(filtered=True))
    frames = [frame(payload) for payload in payloads(events, LEVELS[-1])]
    rows = []
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name, FakeAri() as fake:
        config = {
            "node": {"name": "BENCH"},
            "asterisk": [
                {
                    "name": "voip3",
                    "url": fake.url,
                    "username": "monitor",
                    "password": "secret",
                    "definitions": definitions(Path(name)),
                    "recordings": "",
                    "cdr": "",
                }
            ],
        }
        with ArimonitorDaemon(Path(name), config) as daemon:
            daemon.connected()
            session = fake.session(1)
            before = daemon.memory()
            rows.append(Row("no call", f"{before / MB:.1f} MB"))
            sent = 0
            for level in LEVELS:
                while sent < level:
                    piece = frames[sent * len(events) : (sent + STEP) * len(events)]
                    session.raw(b"".join(piece))
                    sent += STEP
                    # In steps, as one daemon's queue is bounded.
                    _read(daemon, sent * len(events))
                daemon.wait_for(
                    lambda status: status["brokers"][0]["outbox"] == 0, "all messages are out", 60
                )
                active = daemon.asterisk("voip3")["active_calls"]
                if active != level:
                    raise RuntimeError(f"{active} active calls instead of {level}")
                time.sleep(2.0)
                now, lag = daemon.memory(), daemon.ctl("stats")
                title = f"{level:,} active calls"
                each = f"{(now - before) / level:,.0f} bytes a call; hub lag max {lag['hub.max_ms']:.0f} ms"
                if level == AIM_CALLS:
                    rows.append(
                        aim(
                            title,
                            f"{now / MB:.1f} MB",
                            reached=now < AIM_MB * MB,
                            ratio=f"{now / MB / AIM_MB:.2f}x",
                            against=f"aim: under {AIM_MB} MB ({each})",
                        )
                    )
                else:
                    rows.append(Row(title, f"{now / MB:.1f} MB", "", each))
    return rows
