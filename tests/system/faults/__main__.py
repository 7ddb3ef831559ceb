"""Runs scenarios: python -m gevent.monkey --module tests.system.faults COMMAND

run FILE...      scenarios of files, or by their names
series           the whole fault table, as far as its results are not there yet
report           the table of figures, of the results that are there
random           scenarios that only the seed knows; each is printed
check HISTORY... the history of an earlier run again
planted [NAME]   copies of the product with bugs in them: each must be found
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.system.faults import plan, planted
from tests.system.faults.checker import check
from tests.system.faults.cluster import BOTH, Kind, unavailable_reason
from tests.system.faults.figures import Run, table
from tests.system.faults.history import load
from tests.system.faults.runner import report
from tests.system.faults.scenario import parse
from tests.system.faults.series import TABLE, Job, Series, jobs, named

NOTHING_HERE = 3
_HEAD = """\
# Failover in figures
Two hosts, every fault, one after the other while calls and mails flow: what [faults.md](faults.md)
describes, and `make faults` writes.

Seconds from the fault: until another node is **new master**; until its first message is at the consumer
(**failover**); until it has taken in its first mail. A session with ZooKeeper lasts 4 s. *Times*: how
often the fault came, several times in some runs. *Lost*: mails without an answer, calls' facts that a
sound node was told and that never came. *Doubled*: the same under two ids. *Repeats*: messages that came
again under their own id. *Wrong*: runs in which an invariant or the scenario's own bound was
broken.

"""


def main() -> int:
    told = _arguments().parse_args()
    if told.command == "check":
        return _check(told.history)
    if told.command == "report":
        return _report(told.out, told.to)
    if reason := unavailable_reason():
        say(f"there can be no cluster: {reason}")
        return NOTHING_HERE
    match told.command:
        case "run":
            todo = [Job(named(name), number) for number, name in enumerate(told.scenario, 1)]
            return _run(todo, told.out, Kind(tuple(told.nodes.split(","))))
        case "random":
            made = [plan.at_random(told.seed + number, told.seconds) for number in range(told.runs)]
            return _run([Job(scenario, 1) for scenario in made], told.out, Kind())
        case "planted":
            return planted.run(told.name, told.out, say)
    return _series(told.out, list(jobs(told.rows, told.most)), told.minutes)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tests.system.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("scenario", nargs="+")
    run.add_argument("--nodes", default=",".join(BOTH))
    series = commands.add_parser("series")
    series.add_argument("--rows", nargs="*", default=[], help="of the fault table; none: all")
    series.add_argument("--most", type=int, default=1000, help="runs of each scenario")
    series.add_argument("--minutes", type=float, default=160.0, help="no run begins after that")
    told = commands.add_parser("report")
    told.add_argument("--to", type=Path, help="a file; unset: standard output")
    random = commands.add_parser("random")
    random.add_argument("--seed", type=int, default=int(time.time()))
    random.add_argument("--runs", type=int, default=1)
    random.add_argument("--seconds", type=float, default=40.0)
    bugs = commands.add_parser("planted")
    bugs.add_argument("name", nargs="*", default=[])
    for command in (run, series, told, random, bugs):
        command.add_argument("--out", type=Path, required=True, help="folder of the results")
    commands.add_parser("check").add_argument("history", type=Path, nargs="+")
    return parser


def _run(todo: list[Job], out: Path, kind: Kind) -> int:
    with Series(out, say, kind) as series:
        done = [run for job in todo if (run := series.run(job)) is not None]
    return _verdict(done)


def _series(out: Path, todo: list[Job], minutes: float) -> int:
    until = time.monotonic() + 60 * minutes
    with Series(out, say) as series:
        for job in todo:
            if time.monotonic() > until:
                say(f"{minutes:g} minutes are over: the same command goes on from here")
                break
            series.run(job)
        return _verdict(series.results(), len(todo))


def _verdict(done: list[Run], wanted: int | None = None) -> int:
    wrong = [run for run in done if run.violations]
    say(f"{len(done)} runs{f' of {wanted}' if wanted else ''}, {len(wrong)} of them with something wrong")
    for run in wrong:
        say(f"  {run.scenario}.{run.number:02}: {'; '.join(run.violations)[:500]}")
    return 1 if wrong else 0


def _report(out: Path, to: Path | None) -> int:
    titles = {scenario.row: scenario.title for scenario in (named(name) for name, _ in TABLE)}
    with Series(out, say) as series:
        runs = series.results()
    text = table(runs, titles)
    machines = sorted({run.machine for run in runs})
    text = f"{_HEAD}{text}\nMeasured with {'; '.join(machines)}.\n"
    if to is None:
        say(text)
    else:
        to.write_text(text)
    return 0


def _check(paths: list[Path]) -> int:
    wrong = 0
    for path in paths:
        scenario = parse(path.with_name(path.name.replace(".history.json.gz", ".txt")).read_text(), path.stem)
        verdict = check(load(path), scenario.expect)
        report(scenario, verdict)
        wrong += bool(verdict.violations)
    return 1 if wrong else 0


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
