"""One node: it dies, or a call fails, at every moment of every kind of request, and is started again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.simulator.cases import Case, run
from tests.unit.simulator.stories import STORIES


def check(cases: Iterator[Case]) -> None:
    failed, number = [], 0
    for case in cases:
        ended = run(case)
        number += 1
        if ended.problems:
            failed.append(ended)
    print(f"{number} cases")
    assert not failed, f"{len(failed)} of {number} failed; the first one:\n{failed[0].told()}"


@pytest.mark.parametrize("story", STORIES)
def test_crash(story: str) -> None:
    clean = run(Case(story))
    assert not clean.problems, clean.told()
    check(crashes(clean))


@pytest.mark.parametrize("story", STORIES)
def test_a_call_fails_or_its_answer_is_lost(story: str) -> None:
    check(losses(run(Case(story))))
