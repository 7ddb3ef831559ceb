"""Every crash, lost answer and pause of every kind of request, one by one, on one node and on two.

What failed prints its text and the trace; this runs it again:

    .venv/bin/python -m tests.unit.simulator "2 here 12:crash peer"

SEEDS=10000 (the long run of test_explorer) goes through every call here, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from daemon.jobs.failpoints import BETWEEN_NODES, POINTS
from tests.unit.simulator.cases import Case, Ended, crashes, losses, pauses, run
from tests.unit.simulator.stories import ALONE, PAIRS

EVERY = bool(os.environ.get("SEEDS"))


def clean(story: str, nodes: int) -> Ended:
    """Nothing goes wrong: what the moments are."""
    ended = run(Case(story, nodes=nodes))
    assert not ended.problems, ended.told()
    return ended


def check(cases: Iterable[Case]) -> None:
    number, failed = 0, []
    for case in cases:
        ended = run(case)
        number += 1
        if ended.problems:
            failed.append(ended)
    print(f"{number} cases")
    assert not failed, f"{len(failed)} of {number} failed; the first one:\n{failed[0].told()}"


def points(nodes: int, stories: Iterable[str]) -> set[str]:
    """The fail points at which a node dies in one of the crashes."""
    found = set()
    for ended in (clean(story, nodes) for story in stories):
        numbers = {number for case in crashes(ended) for number in case.faults}
        found |= {m.what for m, _ in ended.moments if m.phase == "point" and m.number in numbers}
    return found


def test_no_fail_point_is_left_out() -> None:
    assert points(1, ALONE) == set(POINTS) - BETWEEN_NODES
    assert points(2, PAIRS) == set(POINTS)


@pytest.mark.parametrize("story", ALONE)
def test_one_node(story: str) -> None:
    ended = clean(story, 1)
    check((*crashes(ended), *losses(ended, every=EVERY)))


@pytest.mark.parametrize("story", PAIRS)
def test_one_of_two_dies_and_is_started_again(story: str) -> None:
    check(crashes(clean(story, 2)))


@pytest.mark.parametrize("story", PAIRS)
def test_one_of_two_dies_and_the_other_takes_over(story: str) -> None:
    """It comes back when there is nothing left to do."""
    check(crashes(clean(story, 2), "peer"))


@pytest.mark.parametrize("story", PAIRS)
def test_one_of_two_loses_an_answer(story: str) -> None:
    check(losses(clean(story, 2), every=EVERY))


@pytest.mark.parametrize("story", PAIRS)
def test_one_of_two_stands_still(story: str) -> None:
    """Frozen, taken over from, and it goes on where it stood, believing what it believed."""
    check(pauses(clean(story, 2), every=EVERY))
