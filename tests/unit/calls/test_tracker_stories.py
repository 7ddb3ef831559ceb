"""Every recorded story gives exactly what a careful person would write (EXPECTED.txt)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.calls import expectations as ex

TABLE = ex.expectations((ex.TRACES / "EXPECTED.txt").read_text(encoding="utf-8"))
MANY = "thirty-calls"


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def check(path: Path, kind: str, *, channelvars: bool = True) -> None:
    tracker, facts = ex.play(ex.read(path, channelvars=channelvars))
    assert list(ex.differences(TABLE[ex.story(path), kind], facts)) == []
    assert tracker.size == 0, "something is left behind"


def stories(folders: tuple[str, ...], suffix: str = "") -> list[Path]:
    return [path for path in ex.recordings(folders, suffix) if ex.story(path) != MANY]


@pytest.mark.parametrize("path", stories(ex.REFERENCE), ids=name)
def test_reference(path: Path) -> None:
    check(path, "reference")


@pytest.mark.parametrize("path", stories(ex.LINKEDID), ids=name)
def test_with_linkedid(path: Path) -> None:
    check(path, "linkedid")


@pytest.mark.parametrize("path", stories(ex.LINKEDID, ".second"), ids=name)
def test_other_socket(path: Path) -> None:
    check(path, "linkedid")


@pytest.mark.parametrize("path", stories(ex.LINKEDID), ids=name)
def test_without_channelvars(path: Path) -> None:
    check(path, "linkedid", channelvars=False)


def test_every_story_is_recorded_on_both_versions() -> None:
    recorded = {(ex.story(path), path.parent.name) for path in ex.recordings(ex.REFERENCE + ex.LINKEDID)}
    for story, kind in TABLE:
        for folder in ex.REFERENCE if kind == "reference" else ex.LINKEDID:
            written_for_both = (story, "reference") in TABLE and (story, "linkedid") in TABLE
            assert (story, folder) in recorded or written_for_both, f"{story} is not in {folder}"


@pytest.mark.parametrize(
    "path", [p for p in ex.recordings(ex.REFERENCE + ex.LINKEDID) if ex.story(p) == MANY], ids=name
)
def test_thirty_calls(path: Path) -> None:
    """Three callers, ten calls each, every one answered by the phone 3 above and hung up by the caller."""
    tracker, facts = ex.play(ex.read(path))
    ended = [fact for fact in facts if isinstance(fact, ex.Ended)]
    assert len({fact.call for fact in facts}) == 30
    assert len(facts) == 90
    for fact in ended:
        assert fact.disposition == "ANSWERED"
        assert fact.origin == fact.hangup_by
        assert fact.destiny == fact.answered_by == str(int(fact.origin or 0) + 3)
        assert 9 <= fact.billsec <= 11
        assert len(fact.recordings) == 1
    assert [sum(fact.origin == caller for fact in ended) for caller in ("1013010", "1013011", "1013012")] == [
        10
    ] * 3
    assert tracker.size == 0
