"""The lab's endless day: recorded calls, played one over the other by people who have time. Pure.

    stories -> dealt -> phones that are free -> plays -> events in the order of their time
               (when: at random, with busier and quieter minutes)

`now` is an argument (seconds since the epoch), the random generator another:
the same seed and the same times give the same day.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from daemon.lab.people import Company, Phone
from daemon.lab.play import Numbers, Play, Played
from daemon.lab.stage import Snapshot, Stage
from daemon.lab.story import Story

OFTEN: Final = {"answered": 3, "answered-callee-hangs-up": 3, "trunk-in": 2, "trunk-out": 2, "no-answer": 2}
"""How many times a story is in a round; the others once."""
FIRST: Final = ("answered", "ring-group", "busy", "attended-transfer", "cancelled", "queue-answered", "dtmf")
"""The day begins with these, so that a newcomer soon sees what there is."""

_FIRST_CALL: Final = 1.5  # seconds after the begin
_BUSY_PERIOD: Final = 480.0  # seconds from one busy moment to the next
_OPENING: Final = 5.0  # seconds at most between the first calls
_RETRY: Final = 3.0  # seconds until a call for which no phones are free is tried again
_LONGEST_PAUSE: Final = 60.0  # seconds between two calls
_PUT_DOWN: Final = 2.0  # seconds that a phone rests after a call


class Player:
    """Plays `stories` among the phones of `people`. `begin` first, then `take` again and again.

    `calls_a_minute` is the average, and `speed` divides every time: both the
    calls' own and those between them.
    """

    def __init__(
        self,
        stories: Sequence[Story],
        people: Sequence[Company],
        random: Random,
        *,
        speed: float = 1.0,
        calls_a_minute: float = 6.0,
    ) -> None:
        if not stories or not people:
            raise ValueError("the lab needs recorded calls, and a company with phones enough")
        self.started = 0
        self._stories = {story.name: story for story in stories}
        self._people = tuple(people)
        self._random = random
        self._speed = speed
        self._rate = calls_a_minute / 60
        self._numbers = Numbers(random)
        self._stage = Stage(people)
        self._hand: list[Story] = [self._stories[name] for name in FIRST if name in self._stories]
        self._plays: list[tuple[float, int, Play]] = []
        self._resting: dict[str, float] = {}  # until when a phone is not free
        self._began = 0.0
        self._next_call: float | None = None

    @property
    def playing(self) -> int:
        """Stories that are being played."""
        return len(self._plays)

    def begin(self, now: float) -> None:
        """The day begins. A second time it changes nothing."""
        if not self._began:
            self._began = now
            self._next_call = now + _FIRST_CALL / self._speed

    def finish(self) -> None:
        """No more calls begin; those that were begun are played to their end."""
        self._next_call = None

    def next_due(self) -> float | None:
        """When the next thing happens, None if nothing ever does."""
        times = [self._plays[0][0]] if self._plays else []
        if self._next_call is not None:
            times.append(self._next_call)
        return min(times, default=None)

    def take(self, now: float, most: int | None = None) -> list[Played]:
        """The events up to `now` that were not taken yet, in order; at most so many of them."""
        taken: list[Played] = []
        while (due := self.next_due()) is not None and due <= now and (most is None or len(taken) < most):
            if self._next_call is not None and self._next_call <= due:
                self._call(self._next_call)
            else:
                taken.append(self._event())
        return taken

    def channels(self) -> list[Snapshot]:
        """The channels that exist at the moment of the event taken last."""
        return self._stage.channels()

    def bridges(self) -> list[Snapshot]:
        """The bridges that exist at that moment."""
        return self._stage.bridges()

    def endpoints(self) -> list[Snapshot]:
        """All phones and the trunk, with their channels."""
        return self._stage.endpoints()

    def _event(self) -> Played:
        due, number, play = self._plays[0]
        event, values = play.next()
        play.ids |= self._stage.show(values)
        if play.over:
            heapq.heappop(self._plays)
            self._stage.clear(play.ids)
            free_at = due + _PUT_DOWN / self._speed
            self._resting.update((phone.number, free_at) for phone in play.cast.values())
        else:
            heapq.heapreplace(self._plays, (max(due, play.due), number, play))
        return event

    def _call(self, now: float) -> None:
        """Begin a story, if there are free phones for one, and set the time of the next."""
        chosen = self._choose(now)
        if chosen is None:
            self._next_call = now + _RETRY / self._speed
            return
        story, cast = chosen
        self.started += 1
        self._resting.update((phone.number, math.inf) for phone in cast.values())
        play = Play(story, cast, now, self._numbers, self._speed)
        heapq.heappush(self._plays, (play.due, self.started, play))
        age = (now - self._began) * self._speed
        busy = 1 + 0.7 * math.sin(2 * math.pi * age / _BUSY_PERIOD)
        longest = _OPENING if self.started < len(FIRST) else _LONGEST_PAUSE
        pause = min(longest, self._random.expovariate(self._rate * busy))
        self._next_call = now + max(0.3, pause) / self._speed

    def _choose(self, now: float) -> tuple[Story, dict[str, Phone]] | None:
        """The next story of the round that can be played just now, and by whom."""
        if len(self._hand) < 3:
            self._hand += self._round()
        for index, story in enumerate(self._hand):
            cast = self._cast(story, now)
            if cast is not None:
                del self._hand[index]
                return story, cast
        return None

    def _round(self) -> list[Story]:
        """Every story, the ordinary ones more than once, in any order."""
        names = [name for name in self._stories for _ in range(OFTEN.get(name, 1))]
        self._random.shuffle(names)
        return [self._stories[name] for name in names]

    def _cast(self, story: Story, now: float) -> dict[str, Phone] | None:
        """Free phones of one company for each of the story's, or None."""
        choices = []
        for company in self._people:
            free = [phone for phone in company.phones if self._resting.get(phone.number, 0.0) <= now]
            if len(free) >= len(story.phones):
                choices.append(free)
        if not choices:
            return None
        phones = self._random.sample(self._random.choice(choices), len(story.phones))
        return dict(zip(story.phones, phones, strict=True))


def describe(player: Player) -> dict[str, Any]:
    """Numbers for a status."""
    return {
        "stories_begun": player.started,
        "stories_playing": player.playing,
        "channels": len(player.channels()),
        "bridges": len(player.bridges()),
    }
