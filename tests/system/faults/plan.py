"""A scenario as steps in the order of time, and scenarios made at random. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.system.faults.scenario import Act, Expected, Load, Scenario


@dataclass(frozen=True, slots=True)
class Step:
    """At `at` seconds the act with this number begins, or what it began ends."""

    at: float
    what: Literal["begin", "end"]
    number: int
    act: Act


def steps(scenario: Scenario) -> tuple[Step, ...]:
    """Every begin, and the end of whatever lasts, but what is healed when the load ends.

    Of two at the same moment an end comes first, so that a second freeze of a process is not undone.
    """
    found = []
    for number, act in enumerate(scenario.acts):
        found.append(Step(act.at, "begin", number, act))
        if act.seconds is not None:
            found.append(Step(act.at + act.seconds, "end", number, act))
    return tuple(sorted(found, key=lambda step: (step.at, step.what == "begin", step.number)))


def duration(scenario: Scenario) -> float:
    """Seconds until the load is over and everything that lasts has ended."""
    ends = [step.at for step in steps(scenario)]
    return max([scenario.load.seconds, *ends])


_ONE_AT_A_TIME: tuple[tuple[int, str, tuple[str, ...], tuple[float, float] | None], ...] = (
    # weight, verb, words, from and to seconds of its duration
    (6, "kill9", ("master",), (1.0, 10.0)),
    (3, "kill9", ("standby",), (1.0, 10.0)),
    (3, "stop", ("master",), (1.0, 6.0)),
    (4, "switchover", ("",), None),
    (4, "freeze", ("master",), (1.0, 15.0)),
    (2, "freeze", ("standby",), (1.0, 15.0)),
    (2, "suspend", ("master",), (5.0, 15.0)),
    (4, "off", ("host-of-master",), (3.0, 15.0)),
    (2, "off", ("host-of-standby",), (3.0, 15.0)),
    (4, "cut", ("zk-from", "master", ""), (2.0, 15.0)),
    (2, "cut", ("zk-from", "master", "inwards"), (3.0, 15.0)),
    (2, "cut", ("peer-from", "master", ""), (3.0, 15.0)),
    (2, "cut", ("all-from", "master", ""), (3.0, 15.0)),
    (2, "cut", ("broker-from", "master", ""), (3.0, 15.0)),
    (2, "cut", ("asterisk-from", "master", ""), (1.0, 10.0)),
    (2, "refuse", ("zk-from", "master"), (2.0, 10.0)),
    (2, "kill9", ("zookeeper-leader",), (2.0, 8.0)),
    (1, "kill9", ("zookeeper-follower",), (2.0, 8.0)),
    (2, "freeze", ("zookeeper-leader",), (2.0, 8.0)),
    (1, "kill9", ("broker",), (1.0, 5.0)),
    (1, "freeze", ("imap",), (2.0, 10.0)),
    (1, "lose", ("host-of-master", "10%"), (5.0, 15.0)),
)


def at_random(seed: int, seconds: float = 40.0, load: Load | None = None) -> Scenario:
    """A scenario that only the seed knows: one fault after the other, and at times two at once."""
    random = Random(f"faults {seed}")
    mails, calls = (load.mails, load.calls) if load is not None else (1.0, 20.0)
    acts = tuple(_faults(random, seconds))
    return Scenario(
        name=f"random-{seed}",
        title=f"made at random, seed {seed}",
        row="random",
        load=Load(mails, calls, seconds),
        acts=acts,
        settle=90.0,
        expect=(Expected("lost", "=", 0), Expected("doubled", "=", 0)),
    )


def _faults(random: Random, seconds: float) -> Iterator[Act]:
    weights = [each[0] for each in _ONE_AT_A_TIME]
    at = random.uniform(2.0, 5.0)
    while at < seconds - 3.0:
        _, verb, words, lasting = random.choices(_ONE_AT_A_TIME, weights)[0]
        span = round(random.uniform(*lasting), 1) if lasting is not None else None
        yield Act(round(at, 1), verb, words, span)
        pause = (
            random.uniform(0.5, 3.0) if random.random() < 0.2 else (span or 0.0) + random.uniform(6.0, 12.0)
        )
        at += pause
