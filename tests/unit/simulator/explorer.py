"""Random runs: several requests, several faults, everybody's steps in any order; a seed is a run.

What fails is made smaller before it is printed: faults are left out one after
the other as long as it still fails. The text that is printed runs it again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from daemon.mail.monitor import TRIES
from tests.servers.mails import mail
from tests.unit.simulator.checker import problems
from tests.unit.simulator.node import Node
from tests.unit.simulator.site import Site
from tests.unit.simulator.stories import BOTH, OTHER, STORIES, Story
from tests.unit.simulator.world import Actor, Moment

KINDS = ("crash", "stop", "lost", "pause", "blind", "lose", "lose", "stale", "cut", "down", "switch", "again")
"""crash    the process dies, and is started again after some seconds
lost     ... and the machine is off until then
stop     ... in good order
pause    the node stands still for some seconds; blind: and its clock with it
lose     a call fails, or its answer is lost
stale    a read is answered by a server that is behind
cut      the node can't reach something for some seconds; down: both nodes, ZooKeeper
switch   a planned switchover
again    a mail comes once more"""
SECONDS = (0.0, 0.5, 3.0, 6.0, 20.0, 60.0)
PORTS = ("zk", "imap", "smtp", "ssh", "disk")
_KINDS = ("here", "s3", "checkip", "macchange", "refusal", "help", "dropped", "twice")
_SERVES = (BOTH, OTHER, {"AUDIO": ("audio", "s3"), "AUDIO2": ("audio", "s3")})


@dataclass(frozen=True)
class Fault:
    """What goes wrong from the moment of that number on, at the first where it can; for how long."""

    number: int
    kind: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.number}:{self.kind}:{self.seconds:g}"


@dataclass(frozen=True)
class Trip:
    """One random run. `busy`: how often, of 1000 moments, somebody else goes on in the middle of a step."""

    seed: int
    faults: tuple[Fault, ...]
    busy: int

    def __str__(self) -> str:
        return f"{self.seed} {','.join(map(str, self.faults)) or '-'} {self.busy}"

    @classmethod
    def of(cls, seed: int) -> Trip:
        """The run of a seed."""
        rng = random.Random(f"faults of {seed}")
        faults = [
            Fault(int(rng.triangular(0, 900, 150)), rng.choice(KINDS), rng.choice(SECONDS))
            for _ in range(rng.randrange(7))
        ]
        return cls(seed, tuple(sorted(faults, key=lambda f: f.number)), rng.choice((0, 10, 100, 300)))

    @classmethod
    def parse(cls, text: str) -> Trip:
        """What __str__ wrote."""
        seed, listed, busy = text.split(" ")
        faults = (each.split(":") for each in listed.split(",") if each != "-")
        return cls(int(seed), tuple(Fault(int(n), kind, float(s)) for n, kind, s in faults), int(busy))


class Dice:
    """Decisions by chance: who is next, who goes on in between; and the faults of the trip."""

    def __init__(self, trip: Trip) -> None:
        self._rng = random.Random(f"order of {trip.seed}")
        self._left = list(trip.faults)
        self._busy = trip.busy / 1000.0
        self.site: Site | None = None
        self.done = self.deadly = 0

    def pick(self, ready: list[Actor]) -> Sequence[Actor]:
        return [self._rng.choice(ready)]

    def may_stand_still(self, number: int) -> bool:
        return True

    def at(self, moment: Moment) -> str:
        assert self.site is not None
        if self._left and moment.number >= self._left[0].number and self._fits(self._left[0], moment):
            self.done += 1
            self.deadly += self._left[0].kind in ("crash", "stop", "lost", "pause", "blind")
            return self._begin(self._left.pop(0), self.site, self.site.world.nodes[moment.node])
        return "yield" if self._busy and self._rng.random() < self._busy else "go"

    @staticmethod
    def _fits(fault: Fault, moment: Moment) -> bool:
        if fault.kind == "lose":
            return moment.phase != "point"
        return fault.kind != "stale" or (moment.phase == "before" and moment.what in ("zk get", "zk get all"))

    def _begin(self, fault: Fault, site: Site, node: Node) -> str:
        world, name, seconds = site.world, node.name, fault.seconds
        match fault.kind:
            case "crash" | "lost" | "stop":
                site.restart_after = seconds
                site.hosts[name].is_lost = fault.kind == "lost" and seconds > 0
                return "stop" if fault.kind == "stop" else "crash"
            case "pause" | "blind":
                world.later(seconds, lambda: site.resume(node, blind=fault.kind == "blind"))
                return "pause"
            case "cut" | "down":
                port = "zk" if fault.kind == "down" else self._rng.choice(PORTS)
                for each in world.nodes.values() if fault.kind == "down" else (node,):
                    world.note(f"{each.name} can't reach {port}")
                    each.cut(port)
                    world.later(seconds, each.mend)
            case "switch":
                assert site.cluster is not None
                site.cluster.switch()
            case "again":
                site.again(self._rng)
            case _:
                return fault.kind
        return "go"


def run(trip: Trip) -> tuple[list[str], Site]:
    """What is wrong when all is quiet again, and the site for its trace."""
    rng, dice = random.Random(f"requests of {trip.seed}"), Dice(trip)
    serves = rng.choice(_SERVES)
    site = dice.site = Site(dice, serves, confirmation=rng.choice((0.0, 20.0, 1e9)))
    try:
        stories = _requests(rng)
        site.begin()
        kind = rng.choice(("dropped", "renamed"))
        stories = [STORIES[kind] if story.file else story for story in stories]
        for story in stories:
            site.world.later(rng.choice((0.0, 0.0, 1.0, 5.0, 30.0)), lambda story=story: story.begin(site))
        try:
            site.run()
            return problems(site, _as_came(site, stories, dice), dice.done), site
        except Exception as error:  # noqa: BLE001 -- whatever ends a service is found, too
            return [f"it ended with {error!r}"], site
    finally:
        site.close()


def _requests(rng: random.Random) -> list[Story]:
    """One to five; of some kinds only one, since their effects are the same."""
    stories = [STORIES[name] for name in rng.sample(_KINDS, rng.randint(1, 4))]
    if rng.random() < 0.3:
        second = mail("RAMAIS=1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00", ident="second")
        stories.append(replace(STORIES["here"], name="second", mail=second))
    return stories


def _as_came(site: Site, stories: Sequence[Story], dice: Dice) -> list[Story]:
    """With as many copies as there were in the end.

    A mail in the middle of which the program has ended three times is put aside: so it is meant.
    """
    aside = site.mails.ids("Aside") if dice.deadly >= TRIES else []
    meant = [story for story in stories if f"<{story.name}@mail.example.com>" not in aside]
    return [replace(story, copies=max(1, site.came.count(story.mail))) for story in meant]


def smaller(trip: Trip, fails: Callable[[Trip], bool]) -> Trip:
    """Without what is not needed to fail."""
    if trip.busy and fails(replace(trip, busy=0)):
        trip = replace(trip, busy=0)
    for fault in trip.faults:
        fewer = replace(trip, faults=tuple(each for each in trip.faults if each is not fault))
        if fails(fewer):
            trip = fewer
    return trip


def failure(seed: int) -> str:
    """What is wrong with the run of a seed, made smaller; "": nothing."""
    if not run(Trip.of(seed))[0]:
        return ""
    return told(smaller(Trip.of(seed), lambda trip: bool(run(trip)[0])))


def told(trip: Trip) -> str:
    """For a person who has to find out why."""
    found, site = run(trip)
    return "\n".join([f"trip: {trip}", *found, *site.world.trace])
