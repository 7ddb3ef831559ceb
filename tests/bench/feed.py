"""Distinct calls out of a recorded one, and a server that plays them as fast as its reader takes them.

    python -m tests.bench.feed CALLS [--filtered] [--rate EVENTS_PER_SECOND]

The recording is an answered call on Asterisk 22 whose ari.conf has the recommended
`channelvars`, read by the daemon's own subscription: 76 events of 780 bytes.
`--filtered` plays what the daemon's event filter lets through of them. Each call
has channel ids, names and a bridge of its own; a hundred calls go on at a time.
The connection is closed at the end, except for applications named stay...
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from daemon.ari.session import WANTED
from tests.bench.report import ROOT
from tests.servers.fake_ari import FakeAri, Session, encoded, frame
from tests.servers.waiting import wait_until

TRACE = ROOT / "tests/data/traces/22-linkedid/answered.second.jsonl.gz"
AT_ONCE = 100
MESSAGES = 3  # of one call: received, answered, ended
_STEP = 0.01  # seconds


def recorded(*, filtered: bool) -> list[dict[str, Any]]:
    """The events of the recorded call."""
    with gzip.open(TRACE, "rt", encoding="utf-8") as lines:
        events = [record["event"] for record in map(json.loads, lines) if "event" in record]
    return [event for event in events if not filtered or event["type"] in WANTED]


def answered_part(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What comes until the two talk."""
    for number, event in enumerate(events):
        if event["type"] in ("ChannelHangupRequest", "ChannelLeftBridge"):
            return events[:number]
    raise ValueError("the recorded call does not end")


class Copies:
    """Makes events of the recorded call those of another one."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        channels = {}
        for event in events:
            for key in ("channel", "caller", "peer"):
                if key in event:
                    channels[event[key]["id"]] = event[key]["name"]
        (self._caller, self._caller_name), (self._called, self._called_name) = sorted(channels.items())
        self._bridge = next(event["bridge"]["id"] for event in events if "bridge" in event)
        self._second = self._caller.partition(".")[0]
        self._payloads = [encoded(event) for event in events]

    def payloads(self, number: int) -> list[bytes]:
        """All events of the call with this number."""
        swaps = [
            (self._caller, f"{self._second}.{2 * number}"),
            (self._called, f"{self._second}.{2 * number + 1}"),
            (self._caller_name, f"{self._caller_name[:-8]}{2 * number:08x}"),
            (self._called_name, f"{self._called_name[:-8]}{2 * number + 1:08x}"),
            (self._bridge, f"{number:08x}{self._bridge[8:]}"),
        ]
        found = []
        for payload in self._payloads:
            # By way of marks: a new id may look like the other old one.
            for mark, (old, _) in enumerate(swaps):
                payload = payload.replace(old.encode(), b"\0%d\0" % mark)
            for mark, (_, new) in enumerate(swaps):
                payload = payload.replace(b"\0%d\0" % mark, new.encode())
            found.append(payload)
        return found


def payloads(events: list[dict[str, Any]], calls: int) -> Iterator[bytes]:
    """All events of that many calls, a hundred calls at a time interleaved."""
    copies = Copies(events)
    for first in range(0, calls, AT_ONCE):
        group = [copies.payloads(number) for number in range(first, min(first + AT_ONCE, calls))]
        for step in zip(*group, strict=True):
            yield from step


def flood(session: Session, pieces: list[bytes], pause: float) -> None:
    """Send all pieces, one per `pause` seconds (0: as fast as they are taken)."""
    session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    due = time.monotonic()
    for piece in pieces:
        session.raw(piece)
        due += pause
        if pause:
            time.sleep(max(0.0, due - time.monotonic()))
    if not session.app.startswith("stay"):
        session.close()


def main() -> None:
    """Serve until killed; the first line printed says where and what."""
    options = argparse.ArgumentParser()
    options.add_argument("calls", type=int)
    options.add_argument("--filtered", action="store_true")
    options.add_argument("--rate", type=int, default=0)
    chosen = options.parse_args()
    events = recorded(filtered=chosen.filtered)
    frames = [frame(payload) for payload in payloads(events, chosen.calls)]
    size = max(1, round(chosen.rate * _STEP)) if chosen.rate else 1000
    pieces = [b"".join(frames[at : at + size]) for at in range(0, len(frames), size)]
    total, size_of_all = len(frames), sum(map(len, pieces))
    del frames
    server = FakeAri()

    def play(session: Session) -> None:
        if chosen.rate:  # a daemon, which subscribes last of all it does to connect
            wait_until(lambda: server.applications[session.app]["channel_ids"], "the daemon subscribes")
        flood(session, pieces, _STEP if chosen.rate else 0.0)

    server.on_session = play
    server.start()
    print(json.dumps({"port": server.port, "events": total, "bytes": size_of_all // total}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
