"""All records as last seen: their order, their numbers, by sender."""

from __future__ import annotations

from typing import Any

from daemon.jobs.model import Failure, Record, Request
from daemon.jobs.recordcache import RecordCache


def record(name: str, **other: Any) -> Record:
    request = Request(name, "RAMAIS", other.pop("sender", "person@example.com"), {})
    return Record(**{"request": request, "state": "assigned", "version": 1, **other})


def test_what_changes_state_is_in_one_place_only() -> None:
    cache = RecordCache()
    cache.put(record("a"))
    cache.put(record("a", state="done", version=2))
    assert [each.version for each in cache.listing(("assigned", "done"))] == [2]
    assert len(cache) == 1
    assert (cache.counts()["assigned"], cache.counts()["done"]) == (0, 1)
    cache.drop("a")
    cache.drop("a")
    assert (len(cache), cache.get("a"), cache.counts()["done"]) == (0, None, 0)


def test_order() -> None:
    cache = RecordCache()
    for name, queued, changed in (("late", 9.0, 1.0), ("soon", 1.0, 2.0), ("mid", 5.0, 3.0)):
        cache.put(record(name, queued_at=queued, changed_at=changed))
    cache.put(record("over", state="done", changed_at=9.0))

    def names(found: list[Record]) -> list[str]:
        return [each.request.request_id for each in found]

    assert names(cache.listing(())) == ["soon", "mid", "late"], "without a state: the open ones"
    assert names(cache.latest(2, ())) == ["over", "mid"]
    assert names(cache.oldest(("assigned", "done"))) == ["late", "soon", "mid", "over"]


def test_by_sender() -> None:
    cache = RecordCache()
    cache.put(record("a", accepted_at=10.0, sender="Person@example.com"))
    cache.put(record("b", accepted_at=20.0, kind="refusal", state="failed", failure=Failure("too-many")))
    cache.put(record("c", accepted_at=20.0, sender="other@example.com"))
    assert [cache.recent("person@example.com", since) for since in (5.0, 15.0, 25.0)] == [2, 1, 0]
    assert cache.recent(None, 15.0) == 2
    assert cache.failed_with("person@example.com", 15.0, {"too-many"})
    assert not cache.failed_with("person@example.com", 25.0, {"too-many"})
    assert not cache.failed_with("other@example.com", 5.0, {"too-many"})
    assert cache.counts()["failed"] == 0, "a refusal is no request"
