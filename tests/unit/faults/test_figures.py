"""Percentiles, and the table for the docs."""

from __future__ import annotations

import pytest

from tests.system.faults.figures import Figures, Run, percentile, table


@pytest.mark.parametrize(
    ("values", "share", "value"),
    [
        ([1.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        (list(range(1, 101)), 0.95, 95),
        (list(range(30)), 0.95, 28),
    ],
)
def test_percentile(values: list[float], share: float, value: float) -> None:
    assert percentile(values, share) == value


def run(row: str, failover: float | None, **other: int) -> Run:
    return Run(
        "kill", row, "it is killed", 1, 0.0, Figures(failover=failover, messages=1000, mails=10, **other)
    )


def test_table() -> None:
    text = table(
        [run("3", 0.5), run("3", 0.7, repeats=3), run("1", 4.0, lost=1), run("12", None)], {"1": "killed"}
    )
    lines = text.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:5]] == ["1", "3", "12"]
    assert "| 3 | it is killed | 2 | 0.50 / 0.70 / 0.70 | - | - | 0 | 0 | 1.5 | 0 |" in lines
    assert lines[2].startswith("| 1 | killed | 1 | 4.00")
    assert lines[-1] == "4 runs, 40 mails, 4,000 call messages: 1 lost, 0 doubled."
