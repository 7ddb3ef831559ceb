"""What a run took and cost, in numbers; percentiles of many; the table for the docs. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from tests.system.faults.history import History
from tests.system.faults.reigns import Reign, reigns

FINAL_KINDS = ("result", "failed", "refused", "help")
_SHOWN = 160  # characters of a violation
SOUND_BEFORE = 1.0
"""Seconds that a node must have gone on for what it was told to count as seen."""


class Change(msgspec.Struct, frozen=True):
    """Seconds from a fault until it goes on, None where nothing changed hands.

    `lease`: a new master; `failover`: its first message at the consumer; `intake`: its first mail taken in.
    """

    failover: float | None = None
    intake: float | None = None
    lease: float | None = None


class Figures(msgspec.Struct, frozen=True):
    """What a run has shown: `changes` by the first fault and each that was like it; the rest are counts."""

    changes: tuple[Change, ...] = ()
    epochs: int = 0
    lost: int = 0
    doubled: int = 0
    repeats: int = 0
    stale: int = 0
    takeovers: int = 0
    failed: int = 0
    mails: int = 0
    messages: int = 0

    def each(self, what: str) -> list[float]:
        """One figure of all changes that have it."""
        return [value for change in self.changes if (value := getattr(change, what)) is not None]

    def of(self, what: str) -> float | None:
        """The figure that an expectation names: of several the worst, None where one of them is missing."""
        if what in Change.__struct_fields__:
            values = self.each(what)
            return max(values) if values and len(values) == len(self.changes) else None
        value: float = getattr(self, what)
        return value


def measure(history: History, lost: int, doubled: int, stale: int) -> Figures:
    """The figures; what is lost, doubled and stale was counted by the checker."""
    all_of_them = reigns(history)
    ids = {c.id for c in history.consumed if c.call}
    return Figures(
        changes=tuple(_changes(history, all_of_them)),
        epochs=sum(history.began <= reign.begin for reign in all_of_them),
        lost=lost,
        doubled=doubled,
        repeats=sum(1 for c in history.consumed if c.call) - len(ids),
        stale=stale,
        takeovers=_takeovers(history),
        failed=len({each.answers for each in history.answered if each.kind == "failed"}),
        mails=len(history.mailed),
        messages=len(ids),
    )


def _changes(history: History, all_of_them: Sequence[Reign]) -> Iterator[Change]:
    faults = sorted(history.faults, key=lambda fault: fault.at)
    times = [fault.at for fault in faults if fault.text == faults[0].text]
    for at, until in pairwise([*times, math.inf]):
        new = next((reign for reign in all_of_them if at <= reign.begin < until), None)
        if new is None:
            yield Change()
            continue
        came = (c.at for c in history.consumed if c.node == new.node and new.begin <= c.at < until)
        taken = (w.at for w in history.writes if _is_intake(w.path, w.kind) and new.begin <= w.at < until)
        yield Change(_since(at, came), _since(at, taken), new.begin - at)


def _since(at: float, moments: Iterable[float]) -> float | None:
    first = min(moments, default=None)
    return first - at if first is not None else None


def _is_intake(path: str, kind: str) -> bool:
    return kind == "create" and path.startswith("/req/") and path.count("/") == 3


def _takeovers(history: History) -> int:
    owner: dict[str, str] = {}
    number = 0
    for write in history.writes:
        if write.path.startswith("/req/") and write.holder:
            before = owner.get(write.path)
            number += before is not None and before != write.holder
            owner[write.path] = write.holder
    return number


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of them (0 to 1) does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Run(msgspec.Struct, frozen=True):
    """The result of one run, as it is kept in a file."""

    scenario: str
    row: str
    title: str
    number: int
    at: float
    figures: Figures
    violations: tuple[str, ...] = ()
    seconds: float = 0.0
    machine: str = ""


def table(runs: Iterable[Run], titles: Mapping[str, str]) -> str:
    """Markdown: a line for each row of the fault table, with p50, p95 and worst of all times."""
    rows: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        rows[run.row].append(run)
    lines = [
        "| row | what | runs | times | failover p50 / p95 / worst | new master p50 / p95 / worst"
        " | mails taken in again p50 / p95 / worst | lost | doubled | repeats each time | wrong |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=_row_key):
        of_row = rows[row]
        times = sum(max(1, len(run.figures.changes)) for run in of_row)
        cells = [
            row,
            titles.get(row, of_row[0].title),
            str(len(of_row)),
            str(times),
            *(_three(of_row, what) for what in ("failover", "lease", "intake")),
            str(sum(run.figures.lost for run in of_row)),
            str(sum(run.figures.doubled for run in of_row)),
            f"{sum(run.figures.repeats for run in of_row) / times:.1f}",
            str(sum(bool(run.violations) for run in of_row)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    every = [run for of_row in rows.values() for run in of_row]
    mails = sum(run.figures.mails for run in every)
    messages = sum(run.figures.messages for run in every)
    lost = sum(run.figures.lost for run in every)
    doubled = sum(run.figures.doubled for run in every)
    lines += [
        "",
        f"{len(every)} runs, {mails:,} mails, {messages:,} call messages: {lost} lost, {doubled} doubled.",
        *_wrong(every),
    ]
    return "\n".join(lines) + "\n"


def _wrong(runs: Iterable[Run]) -> Iterator[str]:
    """What was found wrong, a paragraph for each run."""
    for run in runs:
        if run.violations:
            told = "; ".join(violation[:_SHOWN] for violation in run.violations)
            yield f"\nFound wrong in {run.scenario}.{run.number:02} (row {run.row}): {told}"


def _three(runs: Sequence[Run], what: str) -> str:
    values = [value for run in runs for value in run.figures.each(what)]
    if not values:
        return "-"
    return " / ".join(
        f"{value:.2f}" for value in (percentile(values, 0.5), percentile(values, 0.95), max(values))
    )


def _row_key(row: str) -> tuple[float, str]:
    head = row.split(".")[0].rstrip("abcdef")
    return (float(head) if head.isdecimal() else math.inf, row)
