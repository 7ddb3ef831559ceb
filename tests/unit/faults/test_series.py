"""What is run of the fault table, and copies of the product with a change."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.system.faults.planted import PLANTS
from tests.system.faults.series import TABLE, jobs, kind_of, named
from tests.system.faults.trees import Change, NotPlanted, copy, next_version


def test_every_run_of_the_table_once() -> None:
    todo = list(jobs())
    assert len(todo) == len({job.name for job in todo}) == sum(runs for _, runs in TABLE)
    # After the first rounds there is something of every row.
    assert len({job.scenario.name for job in todo[: len(TABLE) * 5]}) == len(TABLE)


def test_as_often_as_it_is_promised() -> None:
    times = Counter[str]()
    for name, number in TABLE:
        acts = named(name).acts
        times[named(name).row] += number * sum(act.text == acts[0].text for act in acts)
    assert all(times[row] >= 30 for row in ("1", "3", "5", "11a", "11b"))
    assert all(times[row] >= 5 for row in times if row not in ("0", "12b"))
    assert {row.rstrip("abcdef") for row in times} >= {str(row) for row in range(1, 18)}
    scenarios = [(named(name), number) for name, number in TABLE]
    assert sum(s.load.mails * s.load.seconds * number for s, number in scenarios) > 2_000
    assert sum(3 * s.load.calls * s.load.seconds * number for s, number in scenarios) > 100_000


def test_some_rows() -> None:
    assert {job.scenario.row for job in jobs(["3", "12"])} == {"3", "12"}


def test_kinds_of_cluster() -> None:
    assert kind_of(named("suspended-60s")).clocks == "blind"
    assert kind_of(named("disk-full")).disks == "small"
    assert kind_of(named("killed")) == kind_of(named("switchover"))


def test_another_version(tmp_path: Path) -> None:
    tree = next_version(tmp_path / "tree")
    assert '.post1"' in (tree / "daemon/__init__.py").read_text()
    assert (tree / "ha/__init__.py").exists()


def test_what_is_not_there_can_not_be_planted(tmp_path: Path) -> None:
    with pytest.raises(NotPlanted):
        copy(tmp_path / "tree", Change("daemon/__init__.py", "no such text", ""))


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_bugs_can_be_planted(plant, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The product has moved on where not: plant it anew."""
    copy(tmp_path / "tree", *plant.changes)
    named(plant.scenario)
