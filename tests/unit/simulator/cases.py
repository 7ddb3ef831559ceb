"""One run: a story, what goes wrong at which moments, what becomes of who crashed; replayable by its text.

1 here 12:crash restart           one node; at moment 12 the process dies, and is started again at once
2 here 12:crash peer              ... the other takes over; it comes back when all is quiet
2 here 12:pause,40:lose resume    at 12 the node stands still until all is quiet, then goes on
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.unit.simulator.checker import after_loss, problems
from tests.unit.simulator.site import Site
from tests.unit.simulator.stories import STORIES
from tests.unit.simulator.world import Actor, Moment

STILL = ("pause", "overtaken")
ALONE_SERVES = {"AUDIO": ("audio", "s3")}


@dataclass(frozen=True)
class Case:
    """`faults` by the number of the moment."""

    story: str
    faults: Mapping[int, str] = field(default_factory=dict)
    fate: str = "restart"
    nodes: int = 1

    def __str__(self) -> str:
        faults = ",".join(f"{number}:{what}" for number, what in self.faults.items())
        return f"{self.nodes} {self.story} {faults} {self.fate}"

    @classmethod
    def parse(cls, text: str) -> Case:
        """What __str__ wrote."""
        nodes, story, faults, fate = text.split(" ")
        pairs = (each.partition(":") for each in faults.split(",") if each)
        return cls(story, {int(number): what for number, _, what in pairs}, fate, int(nodes))


@dataclass
class Ended:
    """What came of a case."""

    case: Case
    problems: list[str]
    trace: list[str]
    moments: list[tuple[Moment, int]]
    """With the number of changes that there were before each."""

    def told(self) -> str:
        """For a person who has to find out why."""
        return "\n".join([f"case: {self.case}", *self.problems, *self.trace])


class Listed:
    """Decisions as a case lists them; in turn."""

    def __init__(self, faults: Mapping[int, str], *, opened: bool = False) -> None:
        self._faults = faults
        self._opened = opened
        self._last = max((number for number, what in faults.items() if what in STILL), default=-1)
        self.site: Site | None = None
        self.seen: list[tuple[Moment, int]] = []

    def at(self, moment: Moment) -> str:
        assert self.site is not None
        self.seen.append((moment, self.site.world.changes))
        what = self._faults.get(moment.number, "go")
        if what == "wipe":
            self.site.lose_records(opened=self._opened)
            return "go"
        if what == "overtaken":
            self.site.overtaken(self.site.world.nodes[moment.node])
            return "pause"
        return what

    def pick(self, ready: list[Actor]) -> Sequence[Actor]:
        """In turn; a step that was begun is ended first, as soon as its node is connected again."""
        back = [actor for actor in ready if actor.name == "zookeeper" and actor.node.session_over]
        return back or [actor for actor in ready if actor.strand is not None][:1] or ready

    def may_stand_still(self, number: int) -> bool:
        return number <= self._last


def run(case: Case) -> Ended:
    """From the mail's arrival until all is quiet."""
    story = STORIES[case.story]
    decisions = Listed(case.faults, opened=story.opened)
    serves = ALONE_SERVES if case.nodes == 1 else story.serves
    site = Site(decisions, serves, confirmation=story.confirmation)
    decisions.site = site
    site.restart_after = 0.0 if case.fate == "restart" else None
    try:
        story.begin(site)
        site.begin()
        if story.cut[0] in site.world.nodes:
            site.world.nodes[story.cut[0]].cut(story.cut[1])
        try:
            site.run()
            if "wipe" in case.faults.values():
                found = after_loss(site, story)
            else:
                found = problems(site, [story], sum(_may_repeat(m, case) for m, _ in decisions.seen))
        except Exception as error:  # noqa: BLE001 -- whatever ends a service is found, too
            found = [f"it ended with {error!r}"]
        return Ended(case, found, site.world.trace, decisions.seen)
    finally:
        site.close()


def _may_repeat(moment: Moment, case: Case) -> bool:
    """Whether an answer may go out once more by what went wrong here: it was on its way, and nobody knew."""
    match case.faults.get(moment.number):
        case "pause" | "overtaken":
            return moment.service == "answers"
        case "crash" | "lose" | "stop":
            return moment.what.startswith("sent") or (moment.what, moment.phase) == ("smtp send", "after")
    return False


# -- all that can be done to a story -----------------------------------------------------------------
def crashes(clean: Ended, fate: str = "restart") -> Iterator[Case]:
    """A node dies before each change of the outside, and at each fail point."""
    seen = -1
    for moment, changes in clean.moments:
        if changes != seen or moment.phase == "point":
            yield replace(clean.case, faults={moment.number: "crash"}, fate=fate)
        seen = changes


def losses(clean: Ended, *, every: bool = False) -> Iterator[Case]:
    """The answer of each call that changes something is lost; and calls fail.

    Not `every` one: of calls of a service with no change between them it is all the same which one fails.
    """
    last, failed = clean.moments[-1][1], set[tuple[int, str, str]]()
    for (moment, seen), before in zip(clean.moments[1:], (seen for _, seen in clean.moments), strict=False):
        key = (seen, moment.node, moment.service)
        fails = moment.phase == "before" and seen < last and (every or key not in failed)
        if fails or (moment.phase == "after" and seen != before):
            yield replace(clean.case, faults={moment.number: "lose"})
        if fails:
            failed.add(key)


def stops(clean: Ended) -> Iterator[Case]:
    """A node is stopped in good order before each change and at each fail point, and started again."""
    for case in pauses(clean):
        yield replace(case, faults=dict.fromkeys(case.faults, "stop"), fate="restart")


def wipes(clean: Ended, since: str = "") -> Iterator[Case]:
    """ZooKeeper loses its data after each change (since that fail point)."""
    seen, begun = -1, not since
    for moment, changes in clean.moments:
        begun = begun or moment.what == since
        if begun and changes != seen:
            yield replace(clean.case, faults={moment.number: "wipe"})
        seen = changes


def overtaken(clean: Ended) -> Iterator[Case]:
    """A node goes on just when the one that takes over is about to write that it has taken over."""
    for case in pauses(clean):
        paused = max(case.faults)
        for moment, _ in run(case).moments:
            writes = moment.service == "takeover" and moment.what in ("zk set", "zk multi")
            if writes and moment.number > paused and moment.phase == "before":
                yield replace(case, faults={**case.faults, moment.number: "overtaken"})
                break


def pauses(clean: Ended, *, every: bool = False) -> Iterator[Case]:
    """A node stands still until the other has done what it can: before each change and at each fail point.

    With `every` before each call.
    """
    last = clean.moments[-1][1]
    for (moment, seen), (_, then) in zip(clean.moments, clean.moments[1:], strict=False):
        now = moment.phase == "point" or (moment.phase == "before" and (then != seen or every))
        if now and seen < last:
            yield replace(clean.case, faults={moment.number: "pause"}, fate="resume")
