"""Every crash, lost answer and pause of every kind of request, one by one, on one node and on two.

What failed prints its text and the trace; this runs it again:

    .venv/bin/python -m tests.unit.simulator "2 here 12:crash peer"

With SEEDS=10000 (the long run of test_explorer) more stories, and every call of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from daemon.jobs.failpoints import BETWEEN_NODES, POINTS
from tests.unit.simulator.cases import Case, Ended, crashes, losses, overtaken, pauses, run, stops, wipes
from tests.unit.simulator.stories import ALONE, PAIRS

EVERY = bool(os.environ.get("SEEDS"))
ONE = list(ALONE) if EVERY else ["here", "macchange", "help", "dropped", "twice", "later", "confirmed"]
TWO = list(PAIRS) if EVERY else ["here", "peers", "s3", "checkip", "macchange", "refusal", "help", "dropped"]


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
    alone = points(1, ONE)
    assert alone == set(POINTS) - BETWEEN_NODES
    assert alone | points(2, TWO) == set(POINTS)


@pytest.mark.parametrize("story", ONE)
def test_one_node_dies(story: str) -> None:
    check(crashes(clean(story, 1)))


@pytest.mark.parametrize("story", ONE if EVERY else ["macchange"])
def test_one_node_loses_an_answer(story: str) -> None:
    check(losses(clean(story, 1), every=EVERY))


@pytest.mark.parametrize("story", TWO)
def test_one_of_two_dies_and_is_started_again(story: str) -> None:
    check(crashes(clean(story, 2)))


@pytest.mark.parametrize("story", TWO)
def test_one_of_two_dies_and_the_other_takes_over(story: str) -> None:
    """It comes back when there is nothing left to do."""
    check(crashes(clean(story, 2), "peer"))


@pytest.mark.parametrize("story", TWO)
def test_one_of_two_stands_still(story: str) -> None:
    """Frozen, taken over from, and it goes on where it stood, believing what it believed."""
    check(pauses(clean(story, 2), every=EVERY))


@pytest.mark.parametrize("story", TWO if EVERY else ["peers", "checkip"])
def test_one_of_two_is_stopped(story: str) -> None:
    """In good order: that is no try, and nothing is told twice by it."""
    check(stops(clean(story, 2)))


@pytest.mark.parametrize("story", TWO if EVERY else ["peers", "macchange"])
def test_one_of_two_loses_an_answer(story: str) -> None:
    check(losses(clean(story, 2), every=EVERY))


@pytest.mark.parametrize("story", TWO if EVERY else ["s3"])
def test_who_takes_over_is_overtaken(story: str) -> None:
    """The node that was thought lost goes on in the moment in which its request is given to another."""
    check(overtaken(clean(story, 2)))


@pytest.mark.parametrize("story", [*(TWO if EVERY else ["here", "macchange", "dropped"]), "opened"])
def test_zookeeper_loses_its_data(story: str) -> None:
    """Made again from files and mails; what a person has read meanwhile is known by our flag."""
    check(wipes(clean(story, 2), "flagged" if story == "opened" else ""))
