"""From 'Asterisk accepts again' to the first event, after Asterisk was killed and started again.

    python -m tests.bench restart

Both versions of Asterisk. The daemon and the yardstick wait at the same time and see
the same events, of calls that are begun again and again from the moment at which the HTTP port
takes a connection. Asterisk answers 503 until it has booted: neither can be
faster than that.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.pbx import asterisk, lag, site
from tests.bench.report import ROOT, Row, Unavailable, aim
from tests.servers.asterisk.ari import BASIC, request
from tests.servers.asterisk.bed import CHANNELVARS
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon

DOWN = {"22": (0.0, 3.0, 10.0), "16": (3.0,)}
"""Seconds between the kill and the start: the longer, the longer the daemon's pauses."""
AIM = 5.0
_DEADLINE = 40.0  # seconds
_EVERY = 0.05  # seconds between two tries of the yardstick


def part() -> list[Row]:
    """The rows of this part."""
    rows: list[Row] = []
    for version in DOWN:
        try:
            rows += _of(version)
        except Unavailable as reason:
            rows.append(Row(f"Asterisk {version}", "not run", "", str(reason)))
    return rows


def _of(version: str) -> list[Row]:
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name,
        asterisk(Asterisk, version) as server,
    ):
        server.start(channelvars=CHANNELVARS)
        with site(server, Path(name), "BENCH") as daemon, _bare(server.http) as bare:
            daemon.connected()
            for down in DOWN[version]:
                ours, theirs = _restart(server, daemon, bare, down)
                rows.append(
                    aim(
                        f"Asterisk {version}, {down:.0f} s down: accepts again to the first event",
                        f"{ours:.2f} s",
                        reached=ours < AIM,
                        ratio=f"{ours / theirs:.2f}x",
                        against=f"against a bare loop, a try every {_EVERY * 1000:.0f} ms: {theirs:.2f} s; "
                        f"{lag(daemon.ctl('stats'))}; aim: under {AIM:.0f} s",
                    )
                )
    return rows


def _restart(
    server: Asterisk, daemon: ArimonitorDaemon, bare: subprocess.Popen[str], down: float
) -> tuple[float, float]:
    """Seconds until the first event of a channel: the daemon's, the yardstick's."""
    server.kill()
    daemon.wait_for(lambda status: not status["asterisk"][0]["connected"], "the loss is noticed")
    before = daemon.asterisk("voip3")["events"]
    time.sleep(down)
    threading.Thread(target=server.restart, daemon=True).start()
    until = time.monotonic() + _DEADLINE
    while not _accepts(server.http):
        _still(until, "Asterisk accepts again")
        time.sleep(0.005)
    accepts = time.time()
    done = threading.Event()
    calls = threading.Thread(target=_call, args=(server, done), daemon=True)
    calls.start()
    while daemon.asterisk("voip3")["events"] == before:
        _still(until, "the daemon has an event")
        time.sleep(0.01)
    ours = time.time() - accepts
    assert bare.stdout is not None
    theirs = float(json.loads(bare.stdout.readline())) - accepts
    done.set()
    calls.join()
    daemon.connected()
    server.idle()
    return ours, theirs


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _call(server: Asterisk, done: threading.Event) -> None:
    """A short call every 50 ms, as soon as ARI makes them."""
    while not done.wait(_EVERY):
        with suppress(OSError):
            request(
                server.url, "POST", "/channels", None, 2,
                endpoint="Local/600@internal", extension="600", context="internal", timeout=1,
            )  # fmt: skip
    for channel in server.channels():
        server.ari("DELETE", f"/channels/{channel['id']}")


def _still(until: float, what: str) -> None:
    if time.monotonic() > until:
        raise RuntimeError(f"not within {_DEADLINE:.0f} s: {what}")


@contextmanager
def _bare(port: int) -> Iterator[subprocess.Popen[str]]:
    """The yardstick, connected; it prints when it had the first event of each connection after that one."""
    command = [sys.executable, "-m", "tests.bench.bench_restart", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.terminate()


def main() -> None:
    """The yardstick: connect, wait for an event of a channel, say when, read until it is lost; again."""
    import websocket

    url = f"ws://127.0.0.1:{sys.argv[1]}/ari/events?app=bare&subscribeAll=true"
    first = True
    while True:
        try:
            link = websocket.create_connection(url, header=["Authorization: " + BASIC], timeout=60)
            if first:
                print("connected", flush=True)
            said = first
            first = False
            while data := link.recv():
                if not said and "channel" in json.loads(data):
                    print(json.dumps(time.time()), flush=True)
                    said = True
        except (OSError, websocket.WebSocketException):
            time.sleep(_EVERY)


if __name__ == "__main__":
    main()
