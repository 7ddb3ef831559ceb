"""1,000 calls that a real Asterisk 22 kept for us while nobody listened, taken in.

    python -m tests.bench queued
    python -m tests.bench.bench_queued PORT      the yardstick

Asterisk connects to us (`websocket = "server"`) and sends what it queued first.
The yardstick takes one queue: websocket-client reads, json.loads decodes. The
daemon takes the next one of as many calls, all the way into the outbox. Both
times begin with the connection. The daemon's ends when everything that came is
stored, but for the ends of calls, which wait for their legs on purpose; the
hub's lag is with those.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.bench.pbx import SERVER, asterisk, lag, site
from tests.bench.report import ROOT, Row, cpu_seconds
from tests.servers.asterisk.bed import CHANNELVARS
from tests.servers.asterisk.load import LoadFailed, load
from tests.servers.asterisk.outbound import PASSWORD, USER, OutboundAsterisk
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.ports import free_port
from tests.servers.waiting import wait_until

CALLS = 1000
RATE = 50.0  # calls/s
APP = "arimonitor-BENCH"
_PATIENCE = 60.0  # seconds
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_LOOK = 0.02  # seconds between two looks at the daemon's counters
_QUIET = 0.5  # seconds without a change after which all is taken in; ends of calls come later than that
_ESTABLISHED = "01"  # /proc/net/tcp


def part() -> list[Row]:
    """The rows of this part."""
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name,
        asterisk(OutboundAsterisk) as server,
    ):
        server.start_towards((port, APP), channelvars=CHANNELVARS)
        _queue(server)
        bare = _bare(port)
        _queue(server)
        own = {
            "websocket": "server",
            "listen": f"127.0.0.1:{port}",
            "username": USER,
            "password": PASSWORD,
        }
        daemon = site(server, Path(name), "BENCH", **own)
        try:
            seconds, events = _taken(daemon, port)
            wait_until(lambda: _told(daemon, "ended-call") == _told(daemon, "received-call"), "all are ended")
            told = _told(daemon, "ended-call")
            numbers, used = daemon.ctl("stats"), cpu_seconds(daemon.pid)
        finally:
            daemon.stop()
    ours, theirs = events / seconds, bare["events"] / bare["wall"]
    return [
        Row(
            f"{told:,} calls queued ({events:,} events), to the committed outbox",
            f"{seconds:.2f} s",
            f"{ours / theirs:.2f}x",
            f"as fast as websocket-client + json.loads, {bare['events']:,} events in {bare['wall']:.2f} s; "
            f"{lag(numbers)}, its start in it, which is some of its {used:.1f} s CPU",
        ),
        Row("  that is", f"{ours:,.0f} events/s", "", f"the yardstick {theirs:,.0f}"),
    ]


def _told(daemon: ArimonitorDaemon, kind: str) -> int:
    return sum(line["type"] == kind for line in daemon.messages())


def _queue(server: Asterisk) -> None:
    with suppress(LoadFailed):  # calls that fail on a busy machine are events too
        load(server, CALLS, RATE)
    server.idle(30)


def _bare(port: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.bench_queued", str(port)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=_PATIENCE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _taken(daemon: ArimonitorDaemon, port: int) -> tuple[float, int]:
    """Start it; seconds from Asterisk's connection until all it had queued is stored, and the events."""
    came: list[float] = []
    watcher = threading.Thread(target=_watch, args=(port, came), daemon=True)
    watcher.start()
    daemon.start()
    before: dict[str, float] = {}
    since = time.monotonic()
    until = since + _PATIENCE
    while True:
        now = daemon.ctl("stats")
        count = {key: now[f"asterisk.{SERVER}.{key}"] for key in ("events", "queue_events", "unstored")}
        count["stored"] = now["outbox.stored_total"]
        moment = time.monotonic()
        if count != before:
            before, since = count, moment
        whole = not count["queue_events"] and not count["unstored"] and count["stored"]
        if whole and moment - since > _QUIET:
            return since - came[0], int(count["events"])
        if moment > until:
            raise RuntimeError(f"not within {_PATIENCE:.0f} s: all is taken in: {count}")
        time.sleep(_LOOK)


def _watch(port: int, came: list[float]) -> None:
    """Note when somebody is connected to the port."""
    local = f":{port:04X}"
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(local) and fields[3] == _ESTABLISHED:
                came.append(time.monotonic())
                return
        time.sleep(0.005)


def main() -> None:
    """The yardstick: one connection, until nothing has come for a second; prints JSON."""
    import websocket

    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    sock, _ = listener.accept()
    listener.close()
    began = last = time.perf_counter()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)  # not a byte of what follows
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    proof = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + _GUID).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: ari\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n"
    )
    link = websocket.WebSocket(skip_utf8_validation=True)
    link.sock, link.connected = sock, True
    link.settimeout(1.0)
    events = 0
    try:
        while data := link.recv():
            json.loads(data)
            events += 1
            last = time.perf_counter()
    except websocket.WebSocketTimeoutException:
        link.close()
    print(json.dumps({"wall": last - began, "events": events}))


if __name__ == "__main__":
    main()
