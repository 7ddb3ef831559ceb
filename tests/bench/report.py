"""What all parts of the benchmark share: rows of the table, processes of their own, a look at /proc."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Unavailable(Exception):
    """A part, or one contestant of it, can't run here; the text says why."""


@dataclass(frozen=True)
class Row:
    """One line: what was measured, the figure, and its ratio to a yardstick or an aim, which is named.

    `met`: whether an aim was reached; None where there is none.
    """

    what: str
    figure: str = ""
    ratio: str = ""
    against: str = ""
    met: bool | None = None


def table(rows: Sequence[Row]) -> str:
    """The rows in columns."""
    cells = [
        (
            row.what,
            row.figure,
            row.ratio,
            row.against + {None: "", True: ": reached", False: ": NOT REACHED"}[row.met],
        )
        for row in rows
    ]
    widths = [max(len(cell[i]) for cell in cells) for i in range(3)]
    return "\n".join(
        f"{what:{widths[0]}}  {figure:>{widths[1]}}  {ratio:>{widths[2]}}  {against}".rstrip()
        for what, figure, ratio, against in cells
    )


def aim(what: str, figure: str, *, reached: bool, ratio: str, against: str) -> Row:
    """A row with an aim."""
    return Row(what, figure, ratio, against, reached)


def machine() -> str:
    """What this ran on, in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    packages = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("gevent", "websocket-client", "pika")
    )
    load = os.getloadavg()[0]
    return (
        f"{cores} cores ({model}), Python {platform.python_version()}, {packages}, Linux "
        f"{platform.release().split('-')[0]}; load average at the start {load:.1f}"
    )


def contestant(module: str, *words: object, seconds: float = 120.0) -> dict[str, Any]:
    """Run `python -m tests.bench.MODULE WORDS`, a process of its own; the JSON object it prints last."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *map(str, words)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Unavailable(said[-1])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_seconds() -> tuple[float, float]:
    """Seconds that all cores have been idle, and in all."""
    numbers = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    ticks = os.sysconf("SC_CLK_TCK")
    return (numbers[3] + numbers[4]) / ticks, sum(numbers) / ticks


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; 0.0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, int(-(-len(ordered) * share // 1)) - 1)] if ordered else 0.0


class Ticker:
    """How late 2 ms sleeps on the hub are, in ms."""

    def __init__(self) -> None:
        self._gaps: list[float] = []
        self._stop = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._stop:
            time.sleep(0.002)
            now = time.perf_counter()
            self._gaps.append((now - last - 0.002) * 1000)
            last = now

    def end(self) -> dict[str, float]:
        """The lag so far."""
        self._stop = True
        return {"lag_max": max(self._gaps, default=0.0), "lag_p99": percentile(self._gaps, 0.99)}


def definitions(folder: Path) -> str:
    """The sample definition files without message servers: everything goes to the broker of [mq]."""
    for name in ("__CLIENTES__.DEF", "endpoints_pjsip.def"):
        shutil.copy(ROOT / "etc/definitions" / name, folder)
    return str(folder)
