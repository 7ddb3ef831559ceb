"""How fast events get from the socket into typed values, against others' loops.

    python -m tests.bench.bench_socket [--events N] [--rounds N] [--trace FILE]

A process of its own plays a recorded call over and over as fast as its reader
takes it; each contestant is a fresh process too, and they take turns. Printed
are events/s, CPU microseconds per event (steadier on a busy machine), and both
as ratios to the yardstick: a bare websocket-client loop with orjson.

aioari and asyncari run their own dispatch loops with one empty handler for
every event, where they are installed (pip install aioari asyncari); asyncari
without its Swagger models, so without making objects, which favours it.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TRACE = ROOT / "tests/data/traces/22/answered.jsonl"
YARDSTICK = "bare websocket-client + orjson"
AUTHORIZATION = "Basic " + base64.b64encode(b"monitor:secret").decode()


began = (0.0, 0.0)


def connected() -> None:
    """The contestant has imported and connected: its time begins."""
    global began
    began = (time.perf_counter(), time.process_time())


def measured(port: int, count: int, play: Callable[[int, int], Any]) -> None:
    """Run a contestant; print its wall and CPU seconds."""
    play(port, count)
    print(json.dumps([time.perf_counter() - began[0], time.process_time() - began[1]]))


def bare(port: int, count: int, decode: bool = True) -> None:
    """The yardstick."""
    import orjson
    import websocket

    socket = websocket.create_connection(
        f"ws://127.0.0.1:{port}/ari/events?app=bench",
        header=["Authorization: " + AUTHORIZATION],
        skip_utf8_validation=True,
    )
    connected()
    for _ in range(count):
        message = socket.recv()
        if decode:
            orjson.loads(message)


def bare_reading(port: int, count: int) -> None:
    """The yardstick's reading alone."""
    bare(port, count, decode=False)


def patched() -> None:
    """As in the daemon."""
    from gevent import monkey

    monkey.patch_all()


def ours_reading(port: int, count: int) -> None:
    """EventSocket alone."""
    patched()
    from daemon.ari.address import Address
    from daemon.ari.socket import EventSocket

    socket = EventSocket.connect(Address.parse(f"http://127.0.0.1:{port}"), "monitor", "secret", "bench")
    connected()
    while count > 0:
        count -= len(socket.read_batch(5))


def ours_parsing(port: int, count: int) -> None:
    """EventSocket and events.parse, in one loop."""
    patched()
    from daemon.ari.address import Address
    from daemon.ari.events import parse
    from daemon.ari.socket import EventSocket

    socket = EventSocket.connect(Address.parse(f"http://127.0.0.1:{port}"), "monitor", "secret", "bench")
    connected()
    while count > 0:
        frames = socket.read_batch(5)
        count -= len(frames)
        for frame in frames:
            parse(frame)


def ours_services(port: int, count: int) -> None:
    """Listener, inbox and monitor as the daemon runs them, with a tracker that does nothing."""
    patched()
    import threading

    from daemon.ari.address import Address
    from daemon.ari.events import Event
    from daemon.ari.inbox import Inbox
    from daemon.ari.listener import Listener
    from daemon.ari.monitor import Monitor
    from daemon.ari.session import ListenerOptions
    from daemon.calls.model import Fact

    stop = threading.Event()

    class NoTracker:
        active = 0
        left = count

        def apply(self, event: Event, now: float) -> list[Fact]:
            if self.left == count:
                connected()
            self.left -= 1
            if not self.left:
                stop.set()
            return []

        def tick(self, now: float) -> list[Fact]:
            return []

    options = ListenerOptions(Address.parse(f"http://127.0.0.1:{port}"), "monitor", "secret", "bench")
    inbox = Inbox(max_events=10 * count, max_bytes=1 << 40)
    listener = Listener("bench", options, inbox)
    monitor = Monitor("bench", inbox, NoTracker(), lambda fact: None, len)
    threading.Thread(target=listener.run, args=(stop,), daemon=True).start()
    monitor.run(stop)


def aioari_loop(port: int, count: int) -> None:
    """aioari's own loop and dispatch on an aiohttp websocket."""
    import asyncio

    import aiohttp
    from aioari.client import Client

    client = Client.__new__(Client)
    client.event_listeners = {}
    client.on_event("*", lambda event: None)

    async def play() -> None:
        headers = {"Authorization": AUTHORIZATION}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(f"http://127.0.0.1:{port}/ari/events?app=bench") as socket,
        ):
            connected()
            await client._Client__run(socket)

    asyncio.run(play())


def asyncari_loop(port: int, count: int) -> None:
    """asyncari's own loop and dispatch on its own websocket."""
    import anyio
    from asyncari.client import Client
    from asyncwebsockets import create_websocket

    class Anything(dict):  # type: ignore[type-arg]
        def get(self, key: str, default: object = None) -> object:
            return {"properties": {}}

    async def empty(event: object) -> None:
        return None

    async def play() -> None:
        async with anyio.create_task_group() as group:
            client = Client.__new__(Client)
            client.taskgroup = group
            client.event_listeners = {"*": [empty]}
            client.event_models = Anything()
            client.class_map, client.repositories, client._id_name = {}, {}, "bench"
            socket = await create_websocket(
                f"ws://127.0.0.1:{port}/ari/events?app=bench",
                headers=[(b"Authorization", AUTHORIZATION.encode())],
            )
            connected()
            await client._Client__run(socket)

    anyio.run(play)


CONTESTANTS: dict[str, Callable[[int, int], None]] = {
    YARDSTICK: bare,
    "bare websocket-client, reading": bare_reading,
    "ours, reading only": ours_reading,
    "ours, reading and parsing": ours_parsing,
    "ours, listener and monitor": ours_services,
    "aioari, empty handler": aioari_loop,
    "asyncari, empty handler": asyncari_loop,
}


def turn(name: str, port: int, count: int) -> tuple[float, float] | None:
    """One contestant in a process of its own: wall and CPU seconds; None where it cannot run."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_socket", "--contestant", name, str(port), str(count)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    wall, cpu = json.loads(done.stdout)
    return wall, cpu


def main() -> None:
    """Let all take turns, and print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    options.add_argument("--events", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--trace", type=Path, default=TRACE)
    options.add_argument("--contestant", nargs=3, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.contestant:
        name, port, count = chosen.contestant
        measured(int(port), int(count), CONTESTANTS[name])
        return
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTESTANTS}
    command = [sys.executable, "-m", "tests.servers.fake_ari", "flood", str(chosen.trace), str(chosen.events)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            for _ in range(chosen.rounds):
                for name in list(results):
                    result = turn(name, port, chosen.events)
                    if result is None:
                        del results[name]
                    else:
                        results[name].append(result)
        finally:
            server.terminate()
    print(f"{chosen.events} events of {chosen.trace.name}, median of {chosen.rounds} rounds in turns")
    print(f"{'':32}{'events/s':>10}{'ratio':>8}{'CPU us':>9}{'ratio':>8}")
    walls = {name: statistics.median(wall for wall, _ in runs) for name, runs in results.items()}
    cpus = {name: statistics.median(cpu for _, cpu in runs) for name, runs in results.items()}
    for name in results:
        print(
            f"{name:32}{chosen.events / walls[name]:>10.0f}{walls[YARDSTICK] / walls[name]:>7.2f}x"
            f"{cpus[name] / chosen.events * 1e6:>9.2f}{cpus[YARDSTICK] / cpus[name]:>7.2f}x"
        )


if __name__ == "__main__":
    main()
