"""Calls for a daemon without an Asterisk: a recorded one, played again and again by a fake ARI.

Every play has channel ids, bridges and channel names of its own, and else is what Asterisk sent, recorded
times included. It is played in three pieces: the call begins, is answered, ends.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.servers.fake_ari import FakeAri
from tests.servers.waiting import wait_until

TRACE = Path(__file__).parents[1] / "data" / "traces" / "22-linkedid" / "answered.jsonl.gz"
EPOCH = "1795223464"  # of the recorded channel ids
TYPES = ("received-call", "answered-call", "ended-call")
_IDS = re.compile(
    rf"{EPOCH}\.(?P<channel>[01])"
    r"|(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|(?P<sequence>(?<=-)0000000[01](?=[\";]))"
)


def _pieces() -> tuple[str, str, str]:
    """The recorded events as JSON arrays: up to the ringing, the answer, the end."""
    with gzip.open(TRACE, "rt", encoding="utf-8") as file:
        events = [json.loads(line)["event"] for line in file]
    answer = next(n for n, e in enumerate(events) if e["type"] == "Dial" and e["dialstatus"] == "ANSWER")
    end = next(n for n, e in enumerate(events) if e["type"] == "ChannelHangupRequest")
    return json.dumps(events[:answer]), json.dumps(events[answer:end]), json.dumps(events[end:])


BEGIN, ANSWER, END = range(3)


class Playing:
    """Plays calls to whoever listens to a fake ARI, numbered from `first`.

    `origin` and `destiny` are in place of the recorded ones.
    """

    def __init__(
        self, fake: FakeAri, *, origin: str = "1013010", destiny: str = "1013015", first: int = 0
    ) -> None:
        self.fake = fake
        self._pieces = [piece.replace("1013010", origin).replace("1013015", destiny) for piece in _pieces()]
        self.calls: list[str] = []
        self._next = first

    def begin(self, count: int = 1) -> list[int]:
        """Begin so many calls; their numbers."""
        numbers = list(range(self._next, self._next + count))
        self._next += count
        self.calls += [f"{EPOCH}.{2 * number}" for number in numbers]
        self._tell(BEGIN, numbers)
        return numbers

    def answer(self, numbers: Iterable[int]) -> None:
        """These calls are answered."""
        self._tell(ANSWER, numbers)

    def end(self, numbers: Iterable[int]) -> None:
        """These calls end."""
        self._tell(END, numbers)

    def play(self, count: int) -> None:
        """So many whole calls, ten at a time."""
        for _ in range(0, count, 10):
            numbers = self.begin(min(10, count))
            self.answer(numbers)
            self.end(numbers)
            count -= len(numbers)

    def events(self, piece: int, number: int) -> list[dict[str, Any]]:
        """The events of one piece of one call."""

        def new(match: re.Match[str]) -> str:
            if match["channel"]:
                return f"{EPOCH}.{2 * number + int(match['channel'])}"
            if match["uuid"]:
                return f"{number:08x}{match['uuid'][8:]}"
            return f"{2 * number + int(match['sequence']):08x}"

        found: list[dict[str, Any]] = json.loads(_IDS.sub(new, self._pieces[piece]))
        return found

    def expected(self, calls: Iterable[str] | None = None) -> set[tuple[str, str]]:
        """(call, type) of every message that all calls give."""
        return {(call, kind) for call in (self.calls if calls is None else calls) for kind in TYPES}

    def _tell(self, piece: int, numbers: Iterable[int]) -> None:
        events = [event for number in numbers for event in self.events(piece, number)]
        if events:
            self.fake.broadcast(*events)


class Load:
    """A steady stream of calls within a `with`, or until `finish`, each 0.4 s long; `rate` calls a second."""

    TICK = 0.02
    HELD = 10  # ticks that a call rings, and that it talks

    def __init__(self, playing: Playing, rate: float = 50) -> None:
        self.playing = playing
        self._rate = rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        held: list[list[int]] = []
        owed = 0.0
        while not self._stop.wait(self.TICK):
            owed += self._rate * self.TICK
            self._step(held, self.playing.begin(int(owed)) if owed >= 1 else [])
            owed -= int(owed)
        while any(held):
            self._step(held, [])

    def _step(self, held: list[list[int]], begun: list[int]) -> None:
        held.append(begun)
        if len(held) > self.HELD:
            self.playing.answer(held[-1 - self.HELD])
        if len(held) > 2 * self.HELD:
            self.playing.end(held.pop(0))

    @property
    def calls(self) -> int:
        """Calls begun so far."""
        return len(self.playing.calls)

    def more(self, calls: int) -> None:
        """Wait until so many more calls have begun."""
        until = self.calls + calls
        wait_until(lambda: self.calls >= until, f"{until} calls have begun")

    def finish(self) -> None:
        """Begin no more calls, let those there are end."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the fake ARI can't send: the daemon does not read"
