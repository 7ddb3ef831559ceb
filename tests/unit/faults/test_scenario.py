"""The scenario language and its plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.faults import plan
from tests.system.faults.scenario import (
    VERBS,
    Act,
    Expected,
    Load,
    Scenario,
    ScenarioError,
    parse,
    render,
    seconds,
)

WHOLE = """\
# the master is killed
row 1
given zookeeper-leader=witness master=AUDIO2
load mails=2/s calls=20/s for=20s

at 8s switchover AUDIO
at 5s kill9 master 8s
at 6s cut zk-from standby inwards 30s
at 7s stop broker
settle 1m
expect failover<5s epochs=1 lost=0 doubled=0
expect repeats<=40
"""
SCENARIOS = sorted((Path(__file__).parents[2] / "system" / "faults" / "scenarios").glob("*.txt"))


def test_whole() -> None:
    assert parse(WHOLE, "x") == Scenario(
        "x",
        "the master is killed",
        "1",
        {"zookeeper-leader": "witness", "master": "AUDIO2"},
        Load(2, 20, 20),
        (
            Act(5, "kill9", ("master",), 8),
            Act(6, "cut", ("zk-from", "standby", "inwards"), 30),
            Act(7, "stop", ("broker",)),
            Act(8, "switchover", ("AUDIO",)),
        ),
        60,
        (
            Expected("failover", "<", 5),
            Expected("epochs", "=", 1),
            Expected("lost", "=", 0),
            Expected("doubled", "=", 0),
            Expected("repeats", "<=", 40),
        ),
    )


def test_the_same_several_times() -> None:
    scenario = parse(
        "load mails=1/s for=60s\nat 5s kill9 master 8s\nat 6s adopt both\ntimes 2 every 20s", "x"
    )
    assert [(act.at, act.verb) for act in scenario.acts] == [
        (5, "kill9"),
        (6, "adopt"),
        (25, "kill9"),
        (26, "adopt"),
    ]
    assert parse(render(scenario), "x") == scenario


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_files_are_scenarios(path: Path) -> None:
    found = parse(path.read_text(), path.stem)
    assert found.title
    assert found.row
    assert parse(render(found), path.stem) == found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("jump", "no line of a scenario"),
        ("at 5 kill9 master", "no time"),
        ("at 5s explode master", "can't be done"),
        ("at 5s kill9", "'nothing' in place of one of master"),
        ("at 5s kill9 slave", "'slave' in place of"),
        ("at 5s kill9 master 5s again", "too much"),
        ("at 5s freeze master", "needs a duration"),
        ("at 5s switchover 5s", "too much"),
        ("at 5s lose audio 200% 5s", "in place of one of 10%"),
        ("at 5s cut zk master 5s", "in place of one of zk-from"),
        ("load mails=2 for=5s", "a load is"),
        ("given luck=good", "can't be given"),
        ("given master=me", "one of AUDIO"),
        ("expect luck=1", "can't be expected"),
        ("expect failover<soon", "no time"),
        ("settle", "no line"),
    ],
)
def test_refused(line: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=why) as refused:
        parse(f"# one\n{line}\n", "x")
    assert "x:2" in str(refused.value)


def test_nothing_is_done_after_the_load() -> None:
    with pytest.raises(ScenarioError, match="after the load"):
        parse("load calls=1/s for=5s\nat 6s switchover", "x")


@pytest.mark.parametrize(
    ("text", "value"), [("5s", 5), ("1.5s", 1.5), ("300ms", 0.3), ("2m", 120), ("1h", 3600)]
)
def test_times(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("term", "value", "holds"),
    [
        ("<", 4.9, True),
        ("<", 5.0, False),
        ("<=", 5.0, True),
        ("=", 5.0, True),
        ("=", 4.0, False),
        (">=", 5.0, True),
    ],
)
def test_expected(term: str, value: float, holds: bool) -> None:
    assert Expected("failover", term, 5).holds(value) is holds  # type: ignore[arg-type]


def test_steps() -> None:
    scenario = parse(
        "load calls=1/s for=20s\nat 5s freeze master 5s\nat 10s freeze master 5s\nat 7s switchover\n"
        "at 8s stop broker",
        "x",
    )
    assert [(step.at, step.what, step.act.verb) for step in plan.steps(scenario)] == [
        (5, "begin", "freeze"),
        (7, "begin", "switchover"),
        (8, "begin", "stop"),
        (10, "end", "freeze"),
        (10, "begin", "freeze"),
        (15, "end", "freeze"),
    ]
    assert plan.duration(scenario) == 20


def test_what_lasts_longer_than_the_load() -> None:
    assert plan.duration(parse("load calls=1/s for=20s\nat 5s freeze master 60s", "x")) == 65


@pytest.mark.parametrize("seed", range(50))
def test_a_random_scenario_is_a_scenario_and_the_same_again(seed: int) -> None:
    made = plan.at_random(seed)
    assert made.acts
    assert all(act.verb in VERBS for act in made.acts)
    assert parse(render(made), made.name) == made == plan.at_random(seed)


def test_seeds_differ() -> None:
    assert len({plan.at_random(seed).acts for seed in range(50)}) == 50
