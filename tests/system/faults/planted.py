"""Bugs planted into copies of the product: the runs that must find them, and by which invariant."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.faults import trees
from tests.system.faults.cluster import Kind
from tests.system.faults.series import Job, Series, named
from tests.system.faults.trees import Change


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug: what is changed, the scenario, and the invariants of which one must be violated."""

    name: str
    what: str
    changes: tuple[Change, ...]
    scenario: str
    found_by: tuple[str, ...]


PLANTS: Sequence[Plant] = ()


def run(names: Sequence[str], out: Path, say: Callable[[str], None]) -> int:
    """0: every one of them was found."""
    missed = 0
    for plant in PLANTS:
        if names and plant.name not in names:
            continue
        with tempfile.TemporaryDirectory(prefix="arimonitor-planted-") as folder:
            tree = trees.copy(Path(folder) / "tree", *plant.changes)
            say(f"planted: {plant.what}")
            with Series(out / plant.name, say, Kind(tree=tree)) as series:
                done = series.run(Job(named(plant.scenario), 1)) or series.results()[0]
        found = any(each.startswith(plant.found_by) for each in done.violations)
        say(f"{plant.name}: {'found' if found else 'NOT FOUND'}")
        missed += not found
    return 1 if missed else 0
