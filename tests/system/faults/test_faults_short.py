"""Two hosts with everything around them, and the faults that matter most: nothing lost, nothing doubled.

The runs share one cluster and are made by a process of their own (tests/system/faults/__main__.py), which
lives among the hosts' network namespaces. `make faults` runs the whole fault table.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from tests.servers.daemon import REPOSITORY
from tests.system.faults.cluster import unavailable_reason
from tests.system.faults.figures import Run

pytestmark = pytest.mark.heavy

SCENARIOS = (
    "planned-three-times",
    "killed-short",
    "frozen-short",
    "cut-from-zookeeper-short",
    "host-off-short",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """All of them, run; by name. What the runner said is printed."""
    if reason := unavailable_reason():
        pytest.skip(reason)
    out = tmp_path_factory.mktemp("faults")
    argv = [sys.executable, "-m", "gevent.monkey", "--module", "tests.system.faults", "run", *SCENARIOS]
    done = subprocess.run(
        [*argv, "--out", str(out)], cwd=REPOSITORY, capture_output=True, text=True, timeout=900, check=False
    )
    print(done.stdout, done.stderr)
    results = [msgspec.json.decode(path.read_bytes(), type=Run) for path in sorted(out.glob("*.result.json"))]
    return {run.scenario: run for run in results}


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_wrong(runs: dict[str, Run], name: str) -> None:
    assert name in runs
    assert not runs[name].violations, "\n".join(runs[name].violations)


def test_there_was_a_load(runs: dict[str, Run]) -> None:
    assert all(run.figures.messages > 500 and run.figures.mails > 8 for run in runs.values())
