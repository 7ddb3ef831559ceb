"""The Asterisk of the fault runs: recorded calls at a steady rate over a real websocket.

It is the lab's (daemon/lab), which answers REST by what is played and cuts off who does not read; played
here are calls of one to seven seconds, and it is kept what was told when, and who listened.
"""

from __future__ import annotations

import heapq
import threading
import time
from pathlib import Path
from random import Random
from typing import Any, Protocol, Self

import daemon.lab
from daemon.lab.ari import Application
from daemon.lab.connection import WebSocket
from daemon.lab.people import Company, Phone
from daemon.lab.play import Numbers, Play, Played
from daemon.lab.server import LabServer
from daemon.lab.stage import Snapshot, Stage
from daemon.lab.story import Story, read
from tests.servers.here import HERE, Place
from tests.system.faults.history import Emitted, Listening

USERNAME, PASSWORD = "lab", "lab"
_CALLS = Path(daemon.lab.__file__).parent / "calls"
_SPEED = 10.0
_LEFT_OUT = ("ChannelVarset", "DeviceStateChanged", "ChannelConnectedLine")  # nobody here wants them
_FACTS = {("Dial", ""): "received-call", ("Dial", "ANSWER"): "answered-call"}


class Source(Protocol):
    """Where calls come from: numbered, at a steady rate, each told to whoever listens just then."""

    @property
    def settings(self) -> dict[str, Any]:
        """For [[asterisk]]: url, username, password."""

    @property
    def emitted(self) -> list[Emitted]:
        """What was told so far."""

    @property
    def started(self) -> int:
        """Calls so far."""

    @property
    def playing(self) -> int:
        """Calls that go on."""

    def begin(self, rate: float) -> None:
        """From now on so many calls a second begin."""

    def finish(self) -> None:
        """No more calls begin; those there are come to their end."""

    def listeners(self) -> list[Listening] | None:
        """Which node has listened from when to when; None where it can't tell."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Steady:
    """What the lab's server plays: `rate` calls a second between `start` and `finish`."""

    def __init__(self, seed: int = 0) -> None:
        story = read("answered", (_CALLS / "answered.jsonl.gz").read_bytes())
        lines = tuple(line for line in story.lines if line.type not in _LEFT_OUT)
        self._story = Story(story.name, story.began, story.phones, story.talk, lines)
        self._cast = {number: Phone(number, f"Phone {number}", "192.0.2.200") for number in story.phones}
        self._stage = Stage([Company("101", tuple(self._cast.values()))])
        self._numbers = Numbers(Random(seed))
        self._plays: list[tuple[float, int, Play]] = []
        self._calls: dict[Play, str] = {}
        self._next: float | None = None
        self._rate = 0.0
        self.started = 0
        self.emitted: list[Emitted] = []

    @property
    def playing(self) -> int:
        """Calls that go on."""
        return len(self._plays)

    def start(self, rate: float, now: float) -> None:
        """From now on so many calls a second begin."""
        self._rate = rate
        self._next = now if rate else None

    def finish(self) -> None:
        """No more calls begin; those there are come to their end."""
        self._next = None

    # -- what the server asks for --------------------------------------------------
    def begin(self, now: float) -> None:
        """The lab's day; here it begins with `start`."""

    def next_due(self) -> float | None:
        """When the next thing happens."""
        times = [self._plays[0][0]] if self._plays else []
        return min([*times, self._next] if self._next is not None else times, default=None)

    def take(self, now: float, most: int | None = None) -> list[Played]:
        """The events up to `now`, in order."""
        taken: list[Played] = []
        while (due := self.next_due()) is not None and due <= now and (most is None or len(taken) < most):
            if self._next is not None and self._next <= due:
                play = Play(self._story, self._cast, self._next, self._numbers, _SPEED)
                self.started += 1
                heapq.heappush(self._plays, (play.due, self.started, play))
                self._next += 1 / self._rate
            else:
                taken.append(self._event())
        return taken

    def channels(self) -> list[Snapshot]:
        """GET /channels."""
        return self._stage.channels()

    def bridges(self) -> list[Snapshot]:
        """GET /bridges."""
        return self._stage.bridges()

    def endpoints(self) -> list[Snapshot]:
        """GET /endpoints."""
        return self._stage.endpoints()

    def _event(self) -> Played:
        due, number, play = self._plays[0]
        event, values = play.next()
        play.ids |= self._stage.show(values)
        call = self._calls.setdefault(play, values.get("channel", {}).get("id", ""))
        fact = _FACTS.get((event.type, values.get("dialstatus", "")))
        if play.over:
            heapq.heappop(self._plays)
            self._stage.clear(play.ids)
            del self._calls[play]
            fact = "ended-call"
        else:
            heapq.heapreplace(self._plays, (max(due, play.due), number, play))
        if fact is not None:
            self.emitted.append(Emitted(time.time(), call, fact))
        return event


class Exchange(LabServer):
    """The server on its host, within a `with`; `listening` is complete once `mark` was called."""

    def __init__(self, at: Place = HERE) -> None:
        self.steady = Steady()
        super().__init__(0, self.steady, USERNAME, PASSWORD)  # type: ignore[arg-type]
        self._at = at
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, args=(self._stop,), name="exchange", daemon=True)
        self._since: dict[WebSocket, tuple[float, str]] = {}
        self._heard: list[Listening] = []

    @property
    def settings(self) -> dict[str, Any]:
        """For [[asterisk]]."""
        return {
            "url": f"http://{self._at.address}:{self.port}",
            "username": USERNAME,
            "password": PASSWORD,
        }

    def begin(self, rate: float) -> None:
        """As Source says."""
        self.steady.start(rate, self._now())

    def finish(self) -> None:
        """As Source says."""
        self.steady.finish()

    @property
    def emitted(self) -> list[Emitted]:
        """As Source says."""
        return self.steady.emitted

    @property
    def started(self) -> int:
        """As Source says."""
        return self.steady.started

    @property
    def playing(self) -> int:
        """As Source says."""
        return self.steady.playing

    def open(self) -> None:
        """Listen on the host's address."""
        if self._listener is None:
            self._listener = self._at.listen(self.port)
            self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self.open()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def listeners(self) -> list[Listening]:
        """Who has listened from when to when; who still does, until now."""
        with self._lock:
            still = [Listening(since, time.time(), node) for since, node in self._since.values()]
            return [*self._heard, *still]

    def _play(self, *, alone: bool) -> float:
        pause = super()._play(alone=alone)
        with self._lock:
            for websocket, application in self._sessions.items():
                if websocket not in self._since and "channel" in application.sources:
                    self._since[websocket] = (time.time(), application.name.partition("-")[2])
        return pause

    def _forget(self, application: Application, websocket: WebSocket | None = None) -> None:
        super()._forget(application, websocket)
        with self._lock:
            if websocket is not None and websocket in self._since:
                since, node = self._since.pop(websocket)
                self._heard.append(Listening(since, time.time(), node))
