"""What the scenarios stand on: an Asterisk with phones, and the recording of a scenario."""

import contextlib
import gzip
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.servers.waiting import DEADLINE

from .ari import Recorder, until
from .call import Call, PhoneError
from .phone import Phone
from .server import Asterisk

CHANNELVARS = "CHANNEL(linkedid),MIXMONITOR_FILENAME"
SOURCES = "channel:,bridge:,endpoint:"
NUMBERS = [f"10130{n}" for n in range(10, 17)]
OUTSIDE = "+5511999990001"


class Bed:
    """One Asterisk with all its phones registered."""

    def __init__(self, server: Asterisk, work: Path, channelvars: str | None = CHANNELVARS) -> None:
        self.server = server
        self.work = work
        self.recorders: list[Recorder] = []
        server.start(channelvars=channelvars)
        server.register(*NUMBERS)
        server.phone(OUTSIDE)

    def phone(self, number: int) -> Phone:
        """The phone 10130NN; 0: the outside world behind the trunk."""
        return self.server.phone(f"10130{number}" if number else OUTSIDE)

    def phones(self, *numbers: int) -> list[Phone]:
        return [self.phone(n) for n in numbers]

    def originate(self, **query: str | int) -> None:
        status, answer = self.server.ari("POST", "/channels", **query)
        if status != 200:
            raise RuntimeError(f"POST /channels: {status} {answer}")

    def ami(self, action: str, **fields: str) -> None:
        answer = self.server.ami(action, **fields)
        if answer["Response"] != "Success":
            raise RuntimeError(f"{action}: {answer}")

    def channel(self, number: int) -> str:
        """The name of the one channel of a phone."""
        name: str = self.server.channel_of(f"10130{number}")["name"]
        return name

    def quiet(self, seconds: float = 1.0, timeout: float = DEADLINE) -> None:
        """Until there are no channels and nothing was received for so long."""
        self.server.idle(timeout)
        until(
            lambda: time.monotonic() - max(r.last for r in self.recorders) > seconds,
            timeout,
            "events do not end",
        )

    def rest(self) -> None:
        """Clear up what a broken scenario left behind."""
        with contextlib.suppress(OSError):
            for channel in self.server.channels():
                self.server.ari("DELETE", f"/channels/{channel['id']}")
            self.server.idle()
        for phone in self.server.phones.values():
            phone.rest()


@dataclass(frozen=True)
class Scenario:
    name: str
    story: str
    play: Callable[[Bed], None]
    calls: bool  # whether there are channels at all
    restarts: bool  # whether Asterisk goes away in between

    def record(self, bed: Bed, out: Path) -> None:
        """Play it and write NAME.jsonl.gz, NAME.second.jsonl.gz and NAME.cdr.csv."""
        bed.rest()
        before = len(bed.server.cdr_rows())
        first, second = bed.work / f"{self.name}.jsonl", bed.work / f"{self.name}.second.jsonl"
        bed.recorders = [
            Recorder(bed.server.url, f"first-{self.name}", first, marks=self.restarts),
            Recorder(bed.server.url, f"second-{self.name}", second, sources=SOURCES, marks=self.restarts),
        ]
        try:
            self.play(bed)
            bed.quiet()
        finally:
            for recorder in bed.recorders:
                recorder.stop()
            for path in (first, second):
                (out / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
                path.unlink()
        rows = bed.server.cdr_rows()[before:]
        (out / f"{self.name}.cdr.csv").write_text("".join(row + "\n" for row in rows))


# What a scenario that does not go as told ends with.
STORY_FAILURES = (PhoneError, TimeoutError, RuntimeError, OSError, KeyError, StopIteration)

SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *, calls: bool = True, restarts: bool = False
) -> Callable[[Callable[[Bed], None]], Callable[[Bed], None]]:
    """Enter a function into the list; its name (with -) is the scenario's, its docstring the story."""

    def enter(play: Callable[[Bed], None]) -> Callable[[Bed], None]:
        name = play.__name__.replace("_", "-")
        SCENARIOS[name] = Scenario(name, " ".join((play.__doc__ or "").split()), play, calls, restarts)
        return play

    return enter


def talk(seconds: float) -> None:
    """People talk, wait, or think."""
    time.sleep(seconds)


def finish(*calls: Call) -> None:
    """The other ends notice that it is over."""
    for call in calls:
        call.wait("ended")


def connect(caller: Phone, number: str, called: Phone, ringing: float = 1.0) -> tuple[Call, Call]:
    """`caller` dials the number, `called` rings and answers: the two ends."""
    call = caller.dial(number)
    other = called.incoming()
    talk(ringing)
    other.answer()
    call.wait("answered")
    return call, other


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
