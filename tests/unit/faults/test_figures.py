"""Percentiles, and the table for the docs."""

from __future__ import annotations

import msgspec
import pytest

from tests.system.faults.figures import Change, Figures, Run, measure, percentile, table
from tests.system.faults.history import Consumed, Fault, History, Write


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


def run(row: str, *failovers: float | None, **other: int) -> Run:
    changes = tuple(map(Change, failovers))
    return Run("kill", row, "it is killed", 1, 0.0, Figures(changes, messages=1000, mails=10, **other))


def test_table() -> None:
    text = table(
        [run("3", 0.5, None), run("3", 0.6, 0.7, repeats=6), run("1", 4.0, lost=1), run("12", None)],
        {"1": "killed"},
    )
    lines = text.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:5]] == ["1", "3", "12"]
    assert "| 3 | it is killed | 2 | 4 | 0.60 / 0.70 / 0.70 | - | - | 0 | 0 | 1.5 | 0 |" in lines
    assert lines[2].startswith("| 1 | killed | 1 | 1 | 4.00")
    assert lines[-1] == "4 runs, 40 mails, 4,000 call messages: 1 lost, 0 doubled."


def test_what_was_wrong_is_told() -> None:
    wrong = msgspec.structs.replace(run("8", 4.0), violations=("I9: epochs=5 was expected: 8.000",))
    text = table([run("3", 0.5), wrong], {})
    assert text.endswith("\n\nFound wrong in kill.01 (row 8): I9: epochs=5 was expected: 8.000\n")
    assert text.count("Found wrong") == 1


def test_of_several_changes_the_worst_counts() -> None:
    assert Figures((Change(0.5), Change(0.7))).of("failover") == 0.7
    assert Figures((Change(0.5), Change())).of("failover") is None
    assert Figures().of("failover") is None
    assert Figures(epochs=2).of("epochs") == 2


def test_every_fault_like_the_first_has_its_change() -> None:
    at = (10.0, 20.0, 25.0, 30.0)
    texts = ("kill9 master 5s", "kill9 master 5s", "adopt both", "kill9 master 5s")
    history = History(
        "three",
        faults=[Fault(at, at + 5, text, "kill9") for at, text in zip(at, texts, strict=True)],
        writes=[
            Write(0, 1, 1.0, "AUDIO", "create", "/lease", holder="AUDIO"),
            Write(0, 2, 14.0, "", "delete", "/lease"),
            Write(0, 3, 14.0, "AUDIO2", "create", "/lease", holder="AUDIO2"),
            Write(0, 4, 15.0, "AUDIO2", "create", "/req/0a/r1"),
            Write(0, 5, 33.5, "", "delete", "/lease"),
            Write(0, 6, 33.5, "AUDIO", "create", "/lease", holder="AUDIO"),
        ],
        consumed=[
            Consumed(13.0, "a", "1", "hangup", "AUDIO2"),  # before it was master
            Consumed(14.25, "b", "1", "hangup", "AUDIO2"),
            Consumed(34.0, "c", "1", "hangup", "AUDIO2"),
        ],
    )
    assert measure(history, 0, 0, 0).changes == (Change(4.25, 5.0, 4.0), Change(), Change(None, None, 3.5))


def test_a_run_without_a_fault() -> None:
    assert measure(History("calm"), 0, 0, 0) == Figures()
