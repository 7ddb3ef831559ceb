"""Runs again what a test has printed, with its trace, or looks for more.

python -m tests.unit.simulator "2 here 12:crash peer"       a case of test_cases
python -m tests.unit.simulator "17 40:pause:6,81:lose:0 10" a trip of the explorer
python -m tests.unit.simulator --seeds 1000 [--from 5000]   trips, until one fails
"""

from __future__ import annotations

import argparse
import logging
import sys

from tests.unit.simulator import cases, explorer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.unit.simulator")
    parser.add_argument("text", nargs="?", default="", help="a case or a trip, as it was printed")
    parser.add_argument("--seeds", type=int, default=0, help="so many random runs")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    options = parser.parse_args()
    logging.getLogger("arimonitor").setLevel(logging.ERROR)
    logging.getLogger("arimonitor").propagate = False
    if options.text:
        is_case = len(options.text.split(" ")) == 4
        print(cases.run(cases.Case.parse(options.text)).told() if is_case else _trip(options.text))
    for seed in range(options.first, options.first + options.seeds):
        found = explorer.failure(seed)
        if found:
            print(found)
            return 1
    return 0


def _trip(text: str) -> str:
    return explorer.told(explorer.Trip.parse(text))


if __name__ == "__main__":
    sys.exit(main())
