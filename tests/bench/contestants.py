"""Who reads the events of `feed`: our way to the committed outbox, and others' loops with an empty handler.

    python -m tests.bench.contestants NAME PORT EVENTS CALLS

Each is a process of its own and prints, as JSON, seconds (`wall`, `cpu`) from
the connection, imports done, to the last event.

aioari and asyncari run their own dispatch loops (pip install aioari asyncari);
asyncari without its Swagger models, so without making objects, which favours it.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.report import ROOT

AUTHORIZATION = "Basic " + base64.b64encode(b"monitor:secret").decode()
SERVER = "voip3"
_DEADLINE = 60.0  # seconds

began = (0.0, 0.0)


def connected() -> None:
    """The contestant has imported and connected: its time begins."""
    global began
    began = (time.perf_counter(), time.process_time())


def since() -> dict[str, float]:
    """Seconds since then."""
    return {"wall": time.perf_counter() - began[0], "cpu": time.process_time() - began[1]}


def patched() -> None:
    """As in the daemon."""
    from gevent import monkey

    monkey.patch_all()


# -- others -------------------------------------------------------------------


def bare(port: int, events: int, calls: int) -> dict[str, float]:
    """The yardstick: websocket-client's recv and orjson."""
    import orjson
    import websocket

    socket = websocket.create_connection(
        f"ws://127.0.0.1:{port}/ari/events?app=bench",
        header=["Authorization: " + AUTHORIZATION],
        skip_utf8_validation=True,
    )
    connected()
    for _ in range(events):
        orjson.loads(socket.recv())
    return since()


def aioari_loop(port: int, events: int, calls: int) -> dict[str, float]:
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
    return since()


def asyncari_loop(port: int, events: int, calls: int) -> dict[str, float]:
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
    return since()


# -- ours ---------------------------------------------------------------------


def reading(port: int, events: int, calls: int) -> dict[str, float]:
    """EventSocket alone."""
    patched()
    from daemon.ari.address import Address
    from daemon.ari.socket import EventSocket

    socket = EventSocket.connect(Address.parse(f"http://127.0.0.1:{port}"), "monitor", "secret", "bench")
    connected()
    while events > 0:
        events -= len(socket.read_batch(5))
    return since()


def whole_way(port: int, events: int, calls: int) -> dict[str, float]:
    """Listener, monitor, tracker, messages and the outbox on the disk, in one process as in the daemon.

    The time ends when all messages are durable. Those of the last ended calls come
    only after the settle time: of that wait the CPU time is counted, not the idling.
    """
    patched()
    import threading

    from daemon.ari.address import Address
    from daemon.ari.inbox import Batch, Inbox
    from daemon.ari.listener import Listener
    from daemon.ari.monitor import Monitor
    from daemon.ari.session import ListenerOptions
    from daemon.calls.tracker import Tracker
    from daemon.outbox.message import Message
    from daemon.outbox.store import Outbox
    from daemon.runtime.offload import Offload
    from tests.bench.feed import MESSAGES
    from tests.bench.report import Ticker

    class PatientInbox(Inbox):
        """Waits where the daemon's would drop: so the player is slowed down to our pace."""

        came = 0

        def put(self, batch: Batch, size: int) -> bool:
            if not began[0]:
                connected()
            while self.events > 5000:
                time.sleep(0.001)
            self.came += len(batch.frames)
            return super().put(batch, size)

    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as folder:
        native = Offload(2)
        outbox = Outbox(Path(folder) / "outbox.sqlite", native.call)
        outbox.open()
        inbox = PatientInbox()

        def keep(messages: Sequence[Message], state: Mapping[str, bytes | None]) -> int:
            return outbox.store(messages, {(SERVER, key): data for key, data in state.items()})

        monitor = Monitor(SERVER, inbox, Tracker(SERVER), renderer(Path(folder)), keep)
        options = ListenerOptions(Address.parse(f"http://127.0.0.1:{port}"), "monitor", "secret", "stay")
        listener = Listener(SERVER, options, inbox)
        stop = threading.Event()
        ticker = Ticker()
        for run in (listener.run, monitor.run):
            threading.Thread(target=run, args=(stop,), daemon=True).start()
        deadline = time.monotonic() + _DEADLINE
        # The monitor's status counts the calls, which takes its time: it is asked at the end only.
        while inbox.came != events or inbox.events or _busy(monitor.status(), events):
            _still(deadline, f"{events} events are stored", monitor.status)
            time.sleep(0.005)
        result = since()
        lag = ticker.end()
        seconds = time.process_time()
        while outbox.stored_total != MESSAGES * calls:
            _still(deadline, f"{MESSAGES * calls} messages are stored", monitor.status)
            time.sleep(0.02)
        seconds = time.process_time() - seconds
        stop.set()
        if inbox.overflowed or monitor.status()["malformed"] or monitor.tracker.active:
            raise RuntimeError(f"events went astray: {monitor.status()}")
        commits = outbox.commits
        outbox.close()
    return {
        "wall": result["wall"] + seconds,
        "cpu": result["cpu"] + seconds,
        "commits": commits,
        **lag,
    }


def _busy(status: Mapping[str, Any], events: int) -> bool:
    if status["tracker_errors"]:
        raise RuntimeError(
            "the tracker or the rendering failed: what this builds is not what the daemon builds"
        )
    return bool(status["events"] != events or status["unstored"])


def _still(deadline: float, what: str, status: Callable[[], object]) -> None:
    if time.monotonic() > deadline:
        raise RuntimeError(f"not within {_DEADLINE:.0f} s: {what}: {status()}")


def renderer(folder: Path) -> Callable[[Any], Any]:
    """Facts to messages as in the daemon, its lines in the calls' log too."""
    from daemon import logs
    from daemon.calls.statistics import CallStatistics
    from daemon.directory.loader import DirectoryHolder
    from daemon.settings import Settings
    from daemon.watching import contexts
    from daemon.watching import renderer as make

    logs.configure(logs.LogOptions(dir=folder / "log", redirect=False, echo="never"))
    holder = DirectoryHolder(SERVER, ROOT / "etc/definitions")
    holder.start()
    context = contexts(settings=Settings(), asterisk=SERVER, holder=holder)
    return make(asterisk=SERVER, holder=holder, context=context, statistics=CallStatistics())


CONTESTANTS: dict[str, Callable[[int, int, int], dict[str, float]]] = {
    "bare": bare,
    "aioari": aioari_loop,
    "asyncari": asyncari_loop,
    "reading": reading,
    "whole": whole_way,
}


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    print(json.dumps(CONTESTANTS[name](*map(int, numbers))))
