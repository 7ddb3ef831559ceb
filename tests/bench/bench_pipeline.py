"""Events per second from the socket to the committed outbox, beside others' loops; where the time goes.

    python -m tests.bench pipeline

`feed` plays distinct calls as fast as they are taken; the contestants, each a
process of its own, take turns on the same bytes. Then the real daemon is given
three times what one Asterisk can make, at that steady pace.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.feed import MESSAGES
from tests.bench.report import ROOT, Row, Unavailable, aim, contestant, cpu_seconds, definitions
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.waiting import wait_until

ROUNDS = 3
CALLS = {"full": 1000, "filtered": 4000}
ASTERISK_LIMIT = 8600  # events/s that one real Asterisk made at its limit
EVENTS_A_CALL = 76
AIM = 3 * ASTERISK_LIMIT
STEADY_SECONDS = 8
TITLES = {"full": "all 76 events of a call", "filtered": "the 20 that pass the filter"}
OTHERS = {"aioari": "aioari, empty handler", "asyncari": "asyncari, empty handler"}


@contextmanager
def feeding(calls: int, *options: str) -> Iterator[dict[str, int]]:
    """A player process; where it listens and how many events it plays."""
    command = [sys.executable, "-m", "tests.bench.feed", str(calls), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as player:
        try:
            assert player.stdout is not None
            yield json.loads(player.stdout.readline())
        finally:
            player.terminate()


def part() -> list[Row]:
    """The rows of this part."""
    rows: list[Row] = []
    for kind, calls in CALLS.items():
        rows += _race(kind, calls)
    rows += _steady("full", EVENTS_A_CALL)
    rows += _steady("filtered", 20)
    return rows


def _race(kind: str, calls: int) -> list[Row]:
    runs: dict[str, list[dict[str, Any]]] = {}
    missing: dict[str, str] = {}
    options = ["--filtered"] if kind == "filtered" else []
    with feeding(calls, *options) as feed:
        for _ in range(ROUNDS):
            for name in ("bare", "reading", "whole", "aioari"):
                if name not in missing:
                    _turn(name, feed, calls, runs, missing)
    # So slow that it gets fewer of the same calls.
    few = calls // 10
    with feeding(few, *options) as feed_of_few:
        _turn("asyncari", feed_of_few, few, runs, missing)
    events = dict.fromkeys(runs, feed["events"]) | {"asyncari": feed_of_few["events"]}
    rate = {name: events[name] / statistics.median(r["wall"] for r in found) for name, found in runs.items()}
    cost = {
        name: statistics.median(r["cpu"] for r in found) / events[name] * 1e6 for name, found in runs.items()
    }
    if "whole" not in runs or "bare" not in runs:
        raise Unavailable(str(missing))
    ours = rate["whole"]
    calls_a_second = ours / feed["events"] * calls
    rows = [
        Row(f"{TITLES[kind]} ({feed['bytes']} bytes each), socket to committed outbox"),
        Row(
            "  ours",
            f"{ours:,.0f} events/s",
            "",
            f"{calls_a_second:,.0f} calls/s, {cost['whole']:.1f} us CPU an event",
        ),
        Row(
            "  yardstick: bare websocket-client + orjson",
            f"{rate['bare']:,.0f} events/s",
            f"{ours / rate['bare']:.2f}x",
            f"ours against it; {cost['bare']:.1f} us CPU",
        ),
    ]
    for name, title in OTHERS.items():
        if name in rate:
            rows.append(
                Row(
                    f"  {title}",
                    f"{rate[name]:,.0f} events/s",
                    f"{ours / rate[name]:.2f}x",
                    f"ours against it; {cost[name]:.1f} us CPU",
                )
            )
        else:
            rows.append(Row(f"  {title}", "not run", "", missing[name]))
    rows.append(
        aim(
            f"  aim: three times one Asterisk's limit of {ASTERISK_LIMIT:,}",
            f"{AIM:,} events/s",
            reached=ours >= AIM,
            ratio=f"{ours / AIM:.2f}x",
            against="ours against it",
        )
    )
    if kind == "filtered":
        at_limit = AIM / EVENTS_A_CALL
        rows.append(
            aim(
                f"  the same in calls, which make {EVENTS_A_CALL} events before the filter",
                f"{at_limit:,.0f} calls/s",
                reached=calls_a_second >= at_limit,
                ratio=f"{calls_a_second / at_limit:.2f}x",
                against="ours against it",
            )
        )
    worst = max(r["lag_max"] for r in runs["whole"])
    usual = statistics.median(r["lag_p99"] for r in runs["whole"])
    rows.append(Row("  hub lag at that flood", f"p99 {usual:.0f} ms", "", f"max {worst:.0f} ms"))
    return rows + _stages(kind, cost["whole"], cost["reading"])


def _turn(
    name: str,
    feed: dict[str, int],
    calls: int,
    runs: dict[str, list[dict[str, Any]]],
    missing: dict[str, str],
) -> None:
    try:
        found = contestant("contestants", name, feed["port"], feed["events"], calls)
    except (Unavailable, subprocess.TimeoutExpired) as error:
        missing[name] = str(error)[:90]
        runs.pop(name, None)
    else:
        runs.setdefault(name, []).append(found)


def _stages(kind: str, whole: float, reading: float) -> list[Row]:
    found = contestant("stages", *(["--filtered"] if kind == "filtered" else []))
    stages = {"read": reading, **found["per_event"]}
    stages["the rest"] = whole - sum(stages.values())
    said = ", ".join(f"{stage} {cost:.1f}" for stage, cost in stages.items())
    return [Row("  where the CPU time goes, us per event", f"{whole:.1f} us", "", said)]


def _steady(kind: str, per_call: int) -> list[Row]:
    """The real daemon at the aimed pace: does it keep up, with what lag and how much of a core?"""
    calls = AIM * STEADY_SECONDS // per_call
    options = ["--rate", str(AIM), *(["--filtered"] if kind == "filtered" else [])]
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name, feeding(calls, *options) as feed:
        config = {
            "node": {"name": "BENCH"},
            "asterisk": [
                {
                    "name": "voip3",
                    "url": f"http://127.0.0.1:{feed['port']}",
                    "username": "monitor",
                    "password": "secret",
                    "app": "stay",
                    "definitions": definitions(Path(name)),
                    "recordings": "",
                    "cdr": "",
                }
            ],
        }
        with ArimonitorDaemon(Path(name), config) as daemon:
            wait_until(lambda: daemon.asterisk("voip3")["events"], "events come")
            began, used = time.monotonic(), cpu_seconds(daemon.pid)
            start = daemon.asterisk("voip3")["events"]
            time.sleep(STEADY_SECONDS - 2)
            seconds = time.monotonic() - began
            share = (cpu_seconds(daemon.pid) - used) / seconds
            rate = (daemon.asterisk("voip3")["events"] - start) / seconds
            daemon.wait_for(
                lambda status: status["brokers"][0]["confirmed"] == MESSAGES * calls,
                "all messages are out",
                60,
            )
            numbers = daemon.ctl("stats")
            lost = numbers["asterisk.voip3.overflowed"]
            return [
                aim(
                    f"daemon at a steady {AIM:,} events/s, {TITLES[kind]}",
                    f"{rate:,.0f} events/s",
                    reached=lost == 0 and rate > 0.95 * AIM,
                    ratio="",
                    against=f"CPU {share:.0%} of a core, {lost} events dropped, hub lag p99 "
                    f"{numbers['hub.p99_ms']:.0f} max {numbers['hub.max_ms']:.0f} ms; keeping up",
                )
            ]
