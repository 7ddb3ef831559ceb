"""Runs scenarios: python -m gevent.monkey --module tests.system.faults run FILE..."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import msgspec

from tests.system.faults import plan
from tests.system.faults.checker import check
from tests.system.faults.cluster import BOTH, Cluster, unavailable_reason
from tests.system.faults.history import load
from tests.system.faults.runner import Runner, keep, report, result
from tests.system.faults.scenario import Scenario, parse, render

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.system.faults", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run scenarios on one cluster")
    run.add_argument("scenario", nargs="+", help="a file, or the name of one of scenarios/")
    run.add_argument("--nodes", default=",".join(BOTH))
    run.add_argument("--out", type=Path, help="folder for results and histories")
    random = commands.add_parser("random", help="scenarios that only the seed knows; each is printed")
    random.add_argument("--seed", type=int, default=int(time.time()))
    random.add_argument("--runs", type=int, default=1)
    random.add_argument("--seconds", type=float, default=40.0)
    random.add_argument("--out", type=Path)
    again = commands.add_parser("check", help="check the history of an earlier run again")
    again.add_argument("history", type=Path, nargs="+")
    told = parser.parse_args()
    if told.command == "check":
        return _check_again(told.history)
    if reason := unavailable_reason():
        print(f"no cluster: {reason}")
        return 3
    if told.command == "random":
        made = [plan.at_random(told.seed + number, told.seconds) for number in range(told.runs)]
        return _run(made, BOTH, told.out)
    return _run([_named(name) for name in told.scenario], told.nodes.split(","), told.out)


def _named(name: str) -> Scenario:
    path = Path(name) if name.endswith(".txt") else HERE / "scenarios" / f"{name}.txt"
    return parse(path.read_text(), path.stem)


def _run(scenarios: list[Scenario], nodes: list[str] | tuple[str, ...], out: Path | None) -> int:
    wrong = 0
    with Cluster(nodes) as cluster:
        runner = Runner(cluster, say)
        for number, scenario in enumerate(scenarios, 1):
            began = time.time()
            say(render(scenario).rstrip())
            history, verdict = runner.run(scenario)
            report(scenario, verdict, say)
            for note in history.notes:
                say(f"  {note}")
            wrong += bool(verdict.violations)
            if out is not None:
                keep(history, scenario, out, f"{number:03}-{scenario.name}")
                data = msgspec.json.encode(result(scenario, verdict, number, began))
                (out / f"{number:03}-{scenario.name}.result.json").write_bytes(data)
    return 1 if wrong else 0


def _check_again(paths: list[Path]) -> int:
    wrong = 0
    for path in paths:
        scenario = parse(path.with_name(path.name.replace(".history.json", ".txt")).read_text(), path.stem)
        verdict = check(load(path), scenario.expect)
        report(scenario, verdict)
        wrong += bool(verdict.violations)
    return 1 if wrong else 0


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
