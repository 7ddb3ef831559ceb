"""The simulator proves itself: each bug that is put into the product is found, and by what it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.unit.simulator import planted
from tests.unit.simulator.cases import Case, Ended, crashes, overtaken, pauses, run, wipes


def clean(story: str) -> Ended:
    return run(Case(story, nodes=2))


def _died() -> Iterator[Case]:
    return crashes(clean("here"), "peer")


def _restarted() -> Iterator[Case]:
    return crashes(clean("here"))


def _stood_still() -> Iterator[Case]:
    return pauses(clean("s3"))


def _stood_still_as_the_only_one() -> Iterator[Case]:
    """The other one has the lease, and can't reach the mailbox."""
    return pauses(clean("cut"))


def _was_overtaken() -> Iterator[Case]:
    return overtaken(clean("s3"))


def _lost_everything() -> Iterator[Case]:
    """And a person has read the mail meanwhile."""
    return wipes(clean("opened"), "flagged")


FOUND = [
    # the bug, what finds it, what it says
    (planted.no_epoch_check, _stood_still_as_the_only_one, "was made under epoch"),
    (planted.no_version_check, _stood_still, ""),
    (planted.move_as_a_claim, _died, "records: []"),
    (planted.reply_before_the_record, _restarted, "2 answers"),
    (planted.no_flag_on_the_mail, _lost_everything, "INBOX has"),
    (planted.takeover_without_compare_and_set, _was_overtaken, ""),
]


@pytest.mark.parametrize(("bug", "cases", "says"), FOUND, ids=lambda each: getattr(each, "__name__", ""))
def test_found(
    bug: Callable[[], AbstractContextManager[None]], cases: Callable[[], Iterable[Case]], says: str
) -> None:
    assert not [ended.told() for ended in map(run, cases()) if ended.problems], "without the bug all is well"
    with bug():
        found = next((ended for ended in map(run, cases()) if ended.problems), None)
    assert found is not None, "it is not found"
    print(f"{bug.__name__}: {found.case}: {found.problems[0][:150]}")
    assert any(says in each for each in found.problems), found.told()
