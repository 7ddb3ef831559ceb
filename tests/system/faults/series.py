"""Many runs, one after the other, each on the cluster that it needs; what is done already is not done again.

    FOLDER/NAME.NN.result.json              a run's figures and what was wrong
    FOLDER/NAME.NN.history.json.gz, .txt    to be checked again, and replayed
    FOLDER/NAME.NN.logs                     of a run in which something was wrong

A cluster serves many runs: it is made anew when it would need other clocks or disks, after a run in which
something was wrong, and before the senders have sent as many mails as they may in an hour.
"""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tests.servers.daemon import REPOSITORY
from tests.system.faults.cluster import Cluster, Kind
from tests.system.faults.figures import Figures, Run
from tests.system.faults.runner import Runner, keep, report, result
from tests.system.faults.scenario import Scenario, parse, render

HERE = Path(__file__).parent
MAILS = 480  # for one cluster: 600 an hour are answered

CRASH_POINTS = (
    "fetched", "accepted", "flagged", "assigned", "filed", "running", "processing", "worked", "produced",
    "replying", "sent", "replied", "completed", "moved", "done",
)  # fmt: skip

TABLE: Sequence[tuple[str, int]] = (
    ("nothing-happens", 5),
    ("switchover", 5),
    ("stopped", 3),
    ("killed", 6),
    ("frozen-60s", 4),
    ("frozen-15s", 3),
    ("host-lost-with-follower", 6),
    ("host-lost-with-leader", 30),
    ("killed-and-back-at-once", 1),
    ("standby-killed", 1),
    ("frozen-2s", 1),
    ("suspended-60s", 2),
    ("cut-from-zookeeper", 1),
    ("cut-from-all", 1),
    ("hosts-apart", 1),
    ("one-way", 1),
    ("zookeeper-leader-frozen", 5),
    ("zookeeper-leader-killed", 5),
    ("zookeeper-follower-killed", 5),
    ("power-lost", 1),
    ("zookeeper-down-30s", 5),
    ("zookeeper-wiped", 5),
    ("imap-hangs", 1),
    ("smtp-hangs", 1),
    ("broker-alarm", 1),
    ("broker-killed", 1),
    ("disk-full", 5),
    ("frozen-5s", 1),
    ("websocket-lost", 1),
    ("both-websockets-lost", 1),
    ("websocket-lost-handed-over", 5),
    ("clock-wrong", 1),
    ("upgraded", 5),
    ("packets-lost", 1),
    ("flapping", 5),
    ("zookeeper-down-10m", 1),
    *((f"crashed-at-{point}", 1) for point in CRASH_POINTS),
    ("real-calls-killed", 1),
    ("real-calls-switchover", 1),
    ("systemd-killed", 1),
    ("systemd-rebooted", 1),
    ("systemd-power-lost", 1),
)
"""The rows of the fault table, and how many runs of each; one run may do the same several times."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run that is to be made."""

    scenario: Scenario
    number: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.scenario.name}.{self.number:02}"


def named(name: str) -> Scenario:
    """A scenario of scenarios/, or of a file."""
    path = Path(name) if name.endswith(".txt") else HERE / "scenarios" / f"{name}.txt"
    return parse(path.read_text(), path.stem)


def jobs(rows: Sequence[str] = (), most: int = 1000) -> Iterator[Job]:
    """All runs of the table, a round of every row before the next, so that half of it is something.

    At most `most` of each scenario.
    """
    table = [(named(name), min(runs, most)) for name, runs in TABLE]
    wanted = [(scenario, runs) for scenario, runs in table if not rows or scenario.row in rows]
    # A run on the cluster of the one before it costs less.
    wanted.sort(key=lambda each: str(kind_of(each[0])))
    size = 5
    for begin in range(0, max(runs for _, runs in wanted), size):
        for scenario, runs in wanted:
            for number in range(begin + 1, min(begin + size, runs) + 1):
                yield Job(scenario, number)


def kind_of(scenario: Scenario, kind: Kind = Kind()) -> Kind:  # noqa: B008 - it is frozen
    """The cluster that a scenario needs."""
    keys = ("clocks", "disks", "hosts", "asterisk", "failpoints")
    return replace(kind, **{key: scenario.given.get(key, "") for key in keys})


class Series:
    """Runs jobs; results go to `folder`, what is there already is skipped."""

    def __init__(self, folder: Path, say: Callable[[str], None], kind: Kind = Kind()) -> None:  # noqa: B008
        self._folder, self._say, self._kind = folder, say, kind
        self._cluster: Cluster | None = None
        self._runner: Runner | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Series:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def results(self) -> list[Run]:
        """Everything that was run so far."""
        paths = sorted(self._folder.glob("*.result.json"))
        return [msgspec.json.decode(path.read_bytes(), type=Run) for path in paths]

    def run(self, job: Job) -> Run | None:
        """One run; None: it was made before."""
        file = self._folder / f"{job.name}.result.json"
        if file.exists():
            return None
        began = time.time()
        self._say(f"{job.name}\n{render(job.scenario).rstrip()}")
        try:
            done = self._run(job, began)
        except Exception as error:  # noqa: BLE001 - the other runs are to be made
            self._say(traceback.format_exc())
            wrong = f"the run could not be made: {type(error).__name__}: {str(error)[:2000]}"
            done = Run(
                job.scenario.name,
                job.scenario.row,
                job.scenario.title,
                job.number,
                began,
                Figures(),
                (wrong,),
            )
        if done.violations:
            self._end()
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(done, machine=machine())))
        return done

    def _run(self, job: Job, began: float) -> Run:
        runner = self._ready(job.scenario)
        history, verdict = runner.run(job.scenario)
        report(job.scenario, verdict, self._say)
        for note in history.notes:
            self._say(f"  {note}")
        keep(history, job.scenario, self._folder, job.name)
        if verdict.violations:
            runner.keep_logs(self._folder / f"{job.name}.logs")
        return result(job.scenario, verdict, job.number, began)

    def _ready(self, scenario: Scenario) -> Runner:
        """A cluster as the scenario needs it."""
        kind = kind_of(scenario, self._kind)
        expected = scenario.load.mails * scenario.load.seconds
        old = self._cluster
        if old is not None and (old.kind != kind or old.mails + expected > MAILS):
            self._end()
        if self._cluster is None or self._runner is None:
            cluster = Cluster(kind)
            try:
                cluster.start()
            except BaseException:
                cluster.close()
                raise
            self._cluster, self._runner = cluster, Runner(cluster, self._say)
        return self._runner

    def _end(self) -> None:
        cluster, self._cluster, self._runner = self._cluster, None, None
        if cluster is not None:
            cluster.close()


def machine() -> str:
    """What the figures were measured on."""
    version = (REPOSITORY / "daemon/__init__.py").read_text().rpartition('"')[0].rpartition('"')[2]
    return f"arimonitor {version}, Python {platform.python_version()}, {os.cpu_count()} cores"
