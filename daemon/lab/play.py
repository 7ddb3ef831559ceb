"""One play of a story: other people, other ids, now. Pure.

Times are stretched as well as moved: people talk longer than in a recording.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID

from daemon.ari.events import millis
from daemon.lab.people import Phone
from daemon.lab.story import Kind, Line, Story, stamp_millis

_PAUSE: Final = 900  # ms without an event that may be stretched
_TIMEOUT: Final = 10_000  # ms; so long a silence is a time limit of the dialplan, which stays


class Numbers:
    """What Asterisk counts: channels (`<epoch>.<counter>`) and the names of channels."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._channels = 0
        self._names = 0
        self._requests = 0

    def channel(self, now: float) -> str:
        """The id of a channel that begins now."""
        self._channels += 1
        return f"{int(now)}.{self._channels - 1}"

    def name(self) -> str:
        """The end of a channel's name."""
        self._names += 1
        return f"{(self._names - 1) & 0xFFFFFFFF:08x}"

    def request(self) -> str:
        """The channel id that a click to call asks for."""
        self._requests += 1
        return f"click-lab-{self._requests}"

    def uuid(self) -> str:
        """A random UUID, version 4."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def key(self) -> str:
        """24 hexadecimal digits, as a SIP stack makes a Call-ID."""
        return f"{self.random.getrandbits(96):024x}"


@dataclass(frozen=True, slots=True)
class Played:
    """An event due at `at` (seconds since the epoch). The application's name is between `head` and `tail`."""

    at: float
    type: str
    head: str
    tail: str

    def to(self, application: str) -> str:
        """The event's JSON as that application receives it."""
        return self.head + json.dumps(application, ensure_ascii=False)[1:-1] + self.tail


class Play:
    """A story that is being played since `began` (seconds since the epoch) by `cast`.

    `cast` has the phone for each of the story's phones. `speed` divides every time.
    """

    def __init__(
        self, story: Story, cast: Mapping[str, Phone], began: float, numbers: Numbers, speed: float
    ) -> None:
        self.story = story
        self.cast = cast
        self.began = began
        self.ids: set[str] = set()  # of channels and bridges
        self._numbers = numbers
        self._speed = speed
        self._next = 0
        self._values: dict[tuple[Kind, str], str] = {}
        self._knots, self._stretched = _stretch(story, numbers.random)

    @property
    def over(self) -> bool:
        """Nothing is left to be played."""
        return self._next >= len(self.story.lines)

    @property
    def due(self) -> float:
        """When the next event happens."""
        return self._moment(self.story.lines[self._next].at)

    def next(self) -> tuple[Played, dict[str, Any]]:
        """The next event, and the same as JSON's values."""
        line = self.story.lines[self._next]
        self._next += 1
        at = self._moment(line.at)
        before, after = self._text(line, at)
        return Played(at, line.type, before, after), json.loads(before + after)

    def _text(self, line: Line, at: float) -> tuple[str, str]:
        text: list[str] = []
        head = ""
        for part in line.parts:
            if isinstance(part, str):
                text.append(part)
            elif part[0] == "application":
                head, text = "".join(text), []
            else:
                text.append(self._value(*part, at))
        return head, "".join(text)

    def _moment(self, offset: float) -> float:
        """The time of what was recorded `offset` ms after the story's begin."""
        knots, stretched = self._knots, self._stretched
        index = min(max(bisect_right(knots, offset) - 1, 0), len(knots) - 1)
        if offset <= 0 or index == len(knots) - 1:
            moved = stretched[index] + offset - knots[index]
        else:
            share = (offset - knots[index]) / (knots[index + 1] - knots[index])
            moved = stretched[index] + share * (stretched[index + 1] - stretched[index])
        return self.began + moved / 1000 / self._speed

    def _value(self, kind: Kind, recorded: str, at: float) -> str:
        value = self._values.get((kind, recorded))
        if value is None:
            value = self._values[kind, recorded] = self._new(kind, recorded, at)
        return value

    def _new(self, kind: Kind, recorded: str, at: float) -> str:
        numbers = self._numbers
        match kind:
            case "moment":
                return iso(self._moment(millis(recorded) - self.story.began))
            case "stamp":
                moment = self._moment(stamp_millis(recorded) - self.story.began)
                return datetime.fromtimestamp(max(moment, self.began), UTC).strftime("%Y%m%d-%H%M%S")
            case "day":
                return datetime.fromtimestamp(self.began, UTC).strftime("%Y/%m/%d")
            case "channel":
                return numbers.channel(at)
            case "sequence":
                return numbers.name()
            case "request":
                return numbers.request()
            case "uuid":
                return numbers.uuid()
            case "key":
                return numbers.key()
            case "outside":
                return f"1199999{numbers.random.randrange(10_000):04d}"
            case "phone":
                return self.cast[recorded].number
            case "person":
                return json.dumps(self.cast[recorded[-7:]].name, ensure_ascii=False)[1:-1]
            case "contact":
                phone = self.cast[recorded[:7]]
                return f"{phone.number}@{phone.address}"
            case "application":
                return recorded


def iso(moment: float) -> str:
    """Asterisk's own form: `2026-11-20T16:05:45.034+0000`."""
    whole, thousandths = divmod(round(moment * 1000), 1000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{thousandths:03d}+0000"


def _stretch(story: Story, random: Random) -> tuple[list[float], list[float]]:
    """Recorded offsets (ms) and where they are in this play; straight lines between."""
    ringing = random.uniform(1.0, 2.5)
    talking = min(12.0, max(1.0, random.lognormvariate(1.2, 0.7)))
    knots, moved = [0.0], [0.0]
    previous, later = 0, 0.0
    for line in story.lines:
        gap = line.at - previous
        if gap >= _PAUSE:
            connected = story.talk is not None and previous >= story.talk
            factor = 1.0 if gap >= _TIMEOUT else talking if connected else ringing
            knots += [previous, line.at]
            moved.append(previous + later)
            later += gap * (factor - 1)
            moved.append(line.at + later)
        previous = line.at
    return knots, moved
