"""The one-host store of records: compare-and-set between processes, epochs, what is forgotten."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.errors import FatalError, TransientError
from daemon.jobs.model import Failure, NothingFound, Record, Request
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import Deposed, Fenced
from tests.servers.daemon import REPOSITORY

NOW = 1_761_562_800.0


def here(fn: Callable[..., Any], *data: Any, timeout: float | None = None) -> Any:
    """In this thread: the test has no hub to spare."""
    return fn(*data)


def record(name: str = "a", **other: Any) -> Record:
    request = Request(name, "RAMAIS", "Person@example.com", {"ramais": "1121"})
    return Record(
        **{"request": request, "state": "accepted", "version": 1, "epoch": 1, "accepted_at": NOW, **other}
    )


@pytest.fixture
def store(tmp_path: Path) -> RecordFile:
    made = RecordFile(tmp_path / "requests.sqlite", here, over_limit=("too-many-mails",))
    made.open(1)
    return made


def test_accepted_once(store: RecordFile, tmp_path: Path) -> None:
    assert store.create(record())
    assert not store.create(record(uid="other"))
    store.close()
    again = RecordFile(tmp_path / "requests.sqlite", here)
    again.open(1)
    assert again.read("a") == record()
    assert again.known("a")
    assert not again.known("b")


def test_compare_and_set(store: RecordFile) -> None:
    store.create(record())
    changed = store.change(msgspec.structs.replace(record(), state="done", outcome=NothingFound()), 1)
    assert changed.version == 2
    with pytest.raises(Fenced):
        store.change(record(), 1)
    assert store.read("a") == changed
    with pytest.raises(Fenced):
        store.change(record("never"), 1)


def test_an_older_epoch_changes_nothing(store: RecordFile, tmp_path: Path) -> None:
    store.create(record())
    newer = RecordFile(tmp_path / "requests.sqlite", here)
    newer.open(2)
    for stale in (lambda: store.create(record("b")), lambda: store.change(record(), 1)):
        with pytest.raises(Deposed):
            stale()
    assert newer.listing() == [record()]
    with pytest.raises(Deposed):
        RecordFile(tmp_path / "requests.sqlite", here).open(1)


_RACER = """
import json, sys
from pathlib import Path
import msgspec
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import Fenced
store = RecordFile(Path(sys.argv[1]), lambda fn, *data, timeout=None: fn(*data))
store.open(1)
won = 0
sys.stdin.readline()
for number in range(100):
    found = store.read(str(number))
    try:
        store.change(msgspec.structs.replace(found, state="running", owner=sys.argv[2]), 1)
        won += 1
    except Fenced:
        pass
print(json.dumps(won))
"""


def test_of_two_processes_one_wins_each(store: RecordFile, tmp_path: Path) -> None:
    for number in range(100):
        store.create(record(str(number)))
    store.close()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, str(tmp_path / "requests.sqlite"), owner],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for owner in ("one", "two")
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    store.open(1)
    owners = [each.owner for each in store.listing("running")]
    assert sum(won) == 100
    assert [owners.count("one"), owners.count("two")] == won


def test_history(store: RecordFile) -> None:
    store.create(record("a"))
    store.create(record("b", kind="refusal", failure=Failure("too-many-mails"), accepted_at=NOW + 60))
    since = datetime.fromtimestamp(NOW, UTC)
    assert store.recent("person@example.com", since) == 2
    assert store.recent("person@example.com", since + timedelta(seconds=1)) == 1
    assert store.recent("other@example.com", since) == 0
    assert store.recent_all(since) == 2
    assert store.warned("person@example.com", since)
    assert not store.warned("person@example.com", since + timedelta(minutes=2))


def test_listing_and_counts(store: RecordFile) -> None:
    for name, state, queued in (("late", "assigned", 9.0), ("soon", "assigned", 3.0), ("over", "done", 1.0)):
        store.create(record(name, state=state, queued_at=queued))
    store.create(record("help", kind="help", state="done"))
    assert [each.request.request_id for each in store.listing()] == ["soon", "late"]
    assert store.counts() == {
        "accepted": 0, "assigned": 2, "running": 0, "produced": 0,
        "replying": 0, "replied": 0, "done": 1, "failed": 0,
    }  # fmt: skip


def test_only_old_final_records_whose_mail_is_gone_are_forgotten(store: RecordFile) -> None:
    store.create(record("open", changed_at=1.0))
    store.create(record("old", state="done", changed_at=1.0))
    store.create(record("in the inbox", state="done", changed_at=1.0, uid="1.7"))
    store.create(record("young", state="failed", changed_at=NOW))
    assert store.forget(NOW - 1, ["1.7"], 1) == ["old"]
    assert store.forget(NOW - 1, [], 1) == ["in the inbox"]
    assert store.known("open")
    assert store.known("young")


def test_pause_and_tries_survive(store: RecordFile, tmp_path: Path) -> None:
    store.pause(on=True)
    assert [store.attempt("1.5"), store.attempt("1.5"), store.attempt("1.6")] == [1, 2, 1]
    store.close()
    again = RecordFile(tmp_path / "requests.sqlite", here)
    again.open(1)
    assert again.paused()
    assert again.attempt("1.5") == 3
    again.attempted("1.5")
    assert again.attempt("1.5") == 1


def test_a_damaged_file_and_one_of_the_future(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database at all, and longer than a header of SQLite" * 100)
    with pytest.raises(FatalError, match="move it away"):
        RecordFile(broken, here).open(1)
    with pytest.raises(TransientError):
        RecordFile(tmp_path / "nowhere" / "r.sqlite", here).open(1)
