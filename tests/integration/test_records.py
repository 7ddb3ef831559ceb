"""Both stores of records alike: compare-and-set between processes, epochs, what is forgotten.

Run as `python -m gevent.monkey --module pytest`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gevent import monkey

from daemon.errors import FatalError, TransientError
from daemon.jobs.model import Failure, NothingFound, Record, Request
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import Deposed, Fenced, RecordStore
from tests.integration.record_beds import FileBed, ZooKeeperBed, here
from tests.servers.daemon import REPOSITORY
from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble, unavailable_reason

NOW = 1_761_562_800.0
BEDS = ("file", "zookeeper")


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[Ensemble | None]:
    if unavailable_reason() or not monkey.is_module_patched("threading"):
        yield None
        return
    with Ensemble(1) as ensemble:
        yield ensemble


@pytest.fixture(params=BEDS)
def bed(
    request: pytest.FixtureRequest, tmp_path: Path, zookeeper: Ensemble | None
) -> Iterator[FileBed | ZooKeeperBed]:
    made: FileBed | ZooKeeperBed
    if request.param == "file":
        made = FileBed(tmp_path)
    elif zookeeper is None:
        pytest.skip(unavailable_reason() or "needs python -m gevent.monkey --module pytest")
    else:
        made = ZooKeeperBed(zookeeper.hosts, f"/tests/{request.node.originalname}", tmp_path).begin()
    yield made
    made.close()


Bed = FileBed | ZooKeeperBed


@pytest.fixture
def store(bed: Bed) -> RecordStore:
    return bed.open()


@pytest.fixture
def epoch(bed: Bed) -> int:
    return bed.epoch


def record(epoch: int, name: str = "a", **other: Any) -> Record:
    request = Request(name, "RAMAIS", "Person@example.com", {"ramais": "1121"})
    known = {"request": request, "state": "accepted", "version": 1, "epoch": epoch, "accepted_at": NOW}
    return Record(**{**known, **other})


def test_accepted_once(bed: Bed, store: RecordStore, epoch: int) -> None:
    assert store.create(record(epoch))
    assert not store.create(record(epoch, uid="other"))
    again = bed.open()
    assert again.read("a") == record(epoch)
    assert again.known("a")
    assert not again.known("b")
    assert again.read("b") is None


def test_compare_and_set(store: RecordStore, epoch: int) -> None:
    store.create(record(epoch))
    done = msgspec.structs.replace(record(epoch), state="done", outcome=NothingFound())
    changed = store.change(done, 1)
    assert changed.version == 2
    with pytest.raises(Fenced):
        store.change(record(epoch), 1)
    assert store.read("a") == changed
    assert store.latest(1) == [changed], "and it is seen at once"
    with pytest.raises(Fenced):
        store.change(record(epoch, "never"), 1)


def test_an_older_epoch_changes_nothing_of_another_s(bed: Bed, store: RecordStore, epoch: int) -> None:
    store.create(record(epoch))
    bed.depose()
    for stale in (
        lambda: store.create(record(epoch, "b")),
        lambda: store.change(record(epoch), 1, as_master=True),
        lambda: store.forget(NOW, [], epoch) or store.change(record(epoch), 1, as_master=True),
    ):
        with pytest.raises(Deposed):
            stale()
    assert bed.open(*((2,) if isinstance(bed, FileBed) else ())).listing() == [record(epoch)]


def test_what_is_old_is_not_forgotten_by_who_is_deposed(bed: Bed, store: RecordStore, epoch: int) -> None:
    store.create(record(epoch, "old", state="done", changed_at=1.0))
    bed.depose()
    with pytest.raises(Deposed):
        store.forget(NOW, [], epoch)
    assert store.read("old") is not None


def test_of_two_processes_one_wins_each(bed: Bed, store: RecordStore, epoch: int) -> None:
    for number in range(100):
        store.create(record(epoch, str(number)))
    racers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.record_beds", bed.spec(), owner],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for owner in ("one", "two")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    wait_until(lambda: len(store.listing("running")) == 100, "all are seen")
    owners = [each.owner for each in store.listing("running")]
    assert sum(won) == 100
    assert [owners.count("one"), owners.count("two")] == won


def test_history(store: RecordStore, epoch: int) -> None:
    store.create(record(epoch, "a"))
    store.create(record(epoch, "b", kind="refusal", failure=Failure("too-many-mails"), accepted_at=NOW + 60))
    since = datetime.fromtimestamp(NOW, UTC)
    assert store.recent("person@example.com", since) == 2
    assert store.recent("person@example.com", since + timedelta(seconds=1)) == 1
    assert store.recent("other@example.com", since) == 0
    assert store.recent_all(since) == 2
    assert store.warned("person@example.com", since)
    assert not store.warned("person@example.com", since + timedelta(minutes=2))


def test_listing_and_counts(store: RecordStore, epoch: int) -> None:
    for name, state, queued in (("late", "assigned", 9.0), ("soon", "assigned", 3.0), ("over", "done", 1.0)):
        store.create(record(epoch, name, state=state, queued_at=queued, changed_at=queued))
    store.create(record(epoch, "help", kind="help", state="done"))
    assert [each.request.request_id for each in store.listing()] == ["soon", "late"]
    assert [each.request.request_id for each in store.latest(2)] == ["late", "soon"]
    assert [each.request.request_id for each in store.latest(9, "done")] == ["over", "help"]
    assert store.counts() == {
        "accepted": 0, "assigned": 2, "running": 0, "produced": 0,
        "replying": 0, "replied": 0, "done": 1, "failed": 0,
    }  # fmt: skip


def test_only_old_final_records_whose_mail_is_gone_are_forgotten(store: RecordStore, epoch: int) -> None:
    store.create(record(epoch, "open", changed_at=1.0))
    store.create(record(epoch, "old", state="done", changed_at=1.0))
    store.create(record(epoch, "in-the-inbox", state="done", changed_at=1.0, uid="1.7"))
    store.create(record(epoch, "young", state="failed", changed_at=NOW))
    assert store.forget(NOW - 1, None, epoch) == ["old"], "the mailbox was not looked into"
    assert store.forget(NOW - 1, ["1.7"], epoch) == []
    assert store.forget(NOW - 1, [], epoch) == ["in-the-inbox"]
    assert store.known("open")
    assert store.known("young")
    assert not store.known("old")


def test_pause_and_tries_survive(bed: Bed, store: RecordStore, epoch: int) -> None:
    assert not store.paused()
    store.pause(on=True)
    assert [store.attempt("1.5"), store.attempt("1.5"), store.attempt("1.6")] == [1, 2, 1]
    again = bed.open()
    assert again.paused()
    assert again.attempt("1.5") == 3
    again.attempted("1.5")
    assert again.attempt("1.5") == 1
    again.create(record(epoch, uid="1.5"))
    assert again.attempt("1.5") == 1, "what has a record is not counted any more"
    again.pause(on=False)
    assert not again.paused()


def test_a_damaged_file_and_one_of_the_future(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database at all, and longer than a header of SQLite" * 100)
    with pytest.raises(FatalError, match="move it away"):
        RecordFile(broken, here).open(1)
    with pytest.raises(TransientError):
        RecordFile(tmp_path / "nowhere" / "r.sqlite", here).open(1)


def test_a_file_of_a_newer_master_is_not_opened(tmp_path: Path) -> None:
    FileBed(tmp_path).open(2)
    with pytest.raises(Deposed):
        RecordFile(tmp_path / "requests.sqlite", here).open(1)
