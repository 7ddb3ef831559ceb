"""From the arrival of an event at our socket to the broker's confirm of its message, all parts real.

    python -m tests.bench latency

Asterisk 22, a daemon process, RabbitMQ; SIPp makes the calls. Nothing in the
daemon is touched: the packets are captured on the loopback with the kernel's
time stamps. Which event made which message is found afterwards, by giving the
captured events to a tracker of our own, at the times they came: ids are
deterministic. An `ended-call` waits for the settle time on purpose; it is
counted apart, from its last ChannelDestroyed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

from daemon.ari.events import parse
from daemon.calls.messages import Context, render
from daemon.calls.model import Fact
from daemon.calls.tracker import Tracker
from daemon.directory.model import Directory
from tests.bench import pbx
from tests.bench.capture import packets
from tests.bench.pbx import SERVER
from tests.bench.report import (
    ROOT,
    Row,
    Unavailable,
    aim,
    cpu_seconds,
    definitions,
    machine_seconds,
    percentile,
)
from tests.bench.streams import Published, events, publications, streams
from tests.servers.asterisk.ari import PASSWORD, USER
from tests.servers.asterisk.bed import CHANNELVARS
from tests.servers.asterisk.load import LoadFailed, load
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon

RATES = (10, 50, 100)  # calls/s
SECONDS = 12
WARM_UP = 15  # calls before each, which count nowhere
AIM_RATE, AIM_MS = 50, 100.0
_TICK = 0.25  # seconds between the ticks of the daemon's monitor


def part() -> list[Row]:
    """The rows of this part."""
    from tests.servers.rabbitmq import RabbitMQ, unavailable_reason

    if reason := unavailable_reason():
        raise Unavailable(reason)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name, pbx.asterisk(Asterisk) as asterisk:
        asterisk.start(channelvars=CHANNELVARS)
        with RabbitMQ() as broker:
            mq = {"backend": "rabbitmq", "host": broker.host, "port": broker.port, "queue": "bench.latency"}
            for rate in RATES:
                site = {
                    "name": SERVER,
                    "url": asterisk.url,
                    "username": USER,
                    "password": PASSWORD,
                    "definitions": definitions(Path(name)),
                    "recordings": "",
                    "cdr": "",
                }
                config: dict[str, object] = {"node": {"name": "BENCH"}, "asterisk": [site], "mq": mq}
                rows += _one_rate(asterisk, broker.port, rate, Path(name) / f"rate-{rate}", config)
    return rows


@contextmanager
def capturing(path: Path, *ports: int) -> Iterator[None]:
    """Capture into `path`. Unavailable where that is not allowed."""
    command = [sys.executable, "-m", "tests.bench.capture", str(path), *map(str, ports)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "ready\n":
            raise Unavailable(f"no packet capture: {process.stderr.read().strip().splitlines()[-1]}")
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.stdout.readline().strip()
        if said != "0":
            raise Unavailable(f"the capture missed {said} packets")


def _one_rate(
    asterisk: Asterisk, broker: int, rate: int, folder: Path, config: dict[str, object]
) -> list[Row]:
    folder.mkdir()
    captured = folder / "packets"
    calls = rate * SECONDS
    failed = ""
    with capturing(captured, asterisk.http, broker), ArimonitorDaemon(folder, config) as daemon:
        daemon.connected()
        load(asterisk, WARM_UP, 10)  # a new queue's first confirms are the broker's, not the daemon's
        warm, began, used = time.time(), time.monotonic(), cpu_seconds(daemon.pid)
        machine = machine_seconds()
        try:
            load(asterisk, calls, rate)
        except LoadFailed:
            failed = "; some of SIPp's calls failed"
        share = (cpu_seconds(daemon.pid) - used) / (time.monotonic() - began)
        idle, whole_time = (now - then for now, then in zip(machine_seconds(), machine, strict=True))
        asterisk.idle(30)
        time.sleep(5.0)  # the longest that an end waits for legs
        daemon.settled(30)
        numbers = daemon.ctl("stats")
    found = streams(packets(captured))
    arrived = events(found, asterisk.http)
    sent = {id_: message for id_, message in publications(found, broker).items() if message.call}
    del found
    made_at, waited, destroyed = replay(arrived)
    made_at = {id_: at for id_, at in made_at.items() if at > warm}
    destroyed = {call: at for call, at in destroyed.items() if at > warm}
    prompt = [message for message in sent.values() if message.id in made_at and message.type != "ended-call"]
    ended = [m for m in sent.values() if m.type == "ended-call" and m.call in destroyed]
    whole = _milliseconds(prompt, made_at)
    ours = [(message.published - made_at[message.id]) * 1000 for message in prompt]
    last = _milliseconds(ended, {message.id: destroyed[message.call] for message in ended})
    lost = sum(message.confirmed is None for message in sent.values())
    p99 = percentile(whole, 0.99)
    said = (
        f"{len(sent)} of {3 * (calls + WARM_UP)} messages with the warm-up, {lost} not confirmed, "
        f"{waited} told after a wait; {len(arrived)} events{failed}"
    )
    title = f"{rate} calls/s for {SECONDS} s: p50 / p95 / p99"
    figure = _three(whole)
    rows = [
        aim(
            title,
            figure,
            reached=p99 < AIM_MS,
            ratio=f"{p99 / AIM_MS:.2f}x",
            against=f"aim: p99 under {AIM_MS:.0f} ms",
        )
        if rate == AIM_RATE
        else Row(title, figure)
    ]
    rows += [
        Row("  of that until it is sent to the broker", _three(ours)),
        Row(
            "  ended-call, from the last ChannelDestroyed",
            _three(last),
            "",
            "waits 2.2 s for legs on purpose",
        ),
        Row(
            "  the daemon",
            f"CPU {share:.1%}",
            "",
            f"of a core; hub lag p99 {numbers['hub.p99_ms']:.1f} max {numbers['hub.max_ms']:.1f} ms; "
            f"the whole machine was {idle / whole_time:.0%} idle",
        ),
        Row("  counted", f"{len(prompt) + len(ended)}", "", said),
    ]
    return rows


def replay(arrived: list[tuple[float, bytes]]) -> tuple[dict[str, float], int, dict[str, float]]:
    """When the event came that made each message (by id); how many others only time made certain,
    ended calls aside; when each call's last channel was destroyed (by call).
    """
    tracker = Tracker(SERVER)
    made: dict[str, float] = {}
    by_time: list[Fact] = []
    destroyed: dict[str, float] = {}
    ticked = 0.0
    for at, payload in arrived:
        if at - ticked >= _TICK:
            ticked = at
            by_time += tracker.tick(at)
        event = parse(payload)
        for fact in tracker.apply(event, at):
            made[_id(fact)] = at
        if event.type == "ChannelDestroyed" and event.channel and event.channel.channelvars:
            destroyed[event.channel.channelvars.get("CHANNEL(linkedid)", "")] = at
    return made, sum(type(fact).__name__ != "Ended" for fact in by_time), destroyed


def _id(fact: Fact) -> str:
    message = render(fact, Context(SERVER, "BENCH", Directory(), UTC, "v3", 0))
    return message.id if message is not None else ""


def _milliseconds(sent: list[Published], since: dict[str, float]) -> list[float]:
    return [(m.confirmed - since[m.id]) * 1000 for m in sent if m.confirmed is not None]


def _three(values: list[float]) -> str:
    p50, p95, p99 = (percentile(values, share) for share in (0.5, 0.95, 0.99))
    return f"{p50:.1f} / {p95:.1f} / {p99:.1f} ms"
