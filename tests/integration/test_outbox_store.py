"""The outbox on a real SQLite file: durable, once per id, in order."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from daemon.errors import FatalError
from daemon.outbox.entry import Entry
from daemon.outbox.keeper import Keeper
from daemon.outbox.store import Outbox
from daemon.runtime.native import patched
from tests.integration.outbox_parts import Clock, offload
from tests.servers.waiting import DEADLINE, wait_until
from tests.unit.outbox.make import message


@contextmanager
def outbox(folder: Path, clock: Clock | None = None, memory_limit: int = 100) -> Iterator[Outbox]:
    box = Outbox(folder / "outbox.sqlite", offload(), memory_limit=memory_limit, now=clock or Clock())
    box.open()
    try:
        yield box
    finally:
        box.close()


def orders(entries: list[Entry]) -> list[str]:
    return [entry.message.order for entry in entries]


def test_the_same_id_is_kept_once_also_after_its_confirm_and_a_restart(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        assert box.store([]) == 0
        assert box.store([message("a"), message("b"), message("a")]) == 2
        assert box.store([message("b"), message("c")]) == 1
        entries = box.pending("")
        assert [e.message for e in entries] == [message("a"), message("b"), message("c")]
        box.confirm("", [entries[0].seq])
        assert box.counts() == {"": 2}
        box.flush()
        assert box.store([message("a")]) == 0
    with outbox(tmp_path) as box:
        assert box.counts() == {"": 2}
        assert box.store([message("a"), message("b")]) == 0
        assert box.store([message("d")]) == 1
        assert [e.message for e in box.pending("")] == [message("b"), message("c"), message("d")]


def test_calls_are_not_for_everybody_to_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with outbox(tmp_path) as box:
            box.store([message("a")])
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"outbox.sqlite", "outbox.sqlite-wal"} < modes.keys()
    assert {name for name, mode in modes.items() if mode & 0o007} == set()


def test_pages_and_brokers(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.store([message(str(i), order=str(i), broker="ab"[i % 2]) for i in range(300)])
        first = box.pending("a", 0, 100)
        assert orders(first) == [str(i) for i in range(0, 200, 2)]
        assert orders(box.pending("a", first[-1].seq, 100)) == [str(i) for i in range(200, 300, 2)]
        assert orders(box.pending("b", 0, 3)) == ["1", "3", "5"]
        assert box.pending("nobody") == []
        wanted = [first[5].seq, first[2].seq, 10**9]
        assert orders(box.load(wanted)) == ["4", "10"]


def test_a_short_page_is_the_last_also_with_confirms_that_are_not_written(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.store([message(str(i), order=str(i)) for i in range(50)])
        first = box.pending("", 0, 10)
        box.confirm("", [entry.seq for entry in first[:9]])
        assert orders(box.pending("", 0, 10)) == [str(i) for i in range(9, 19)]
        assert len(box.pending("", 0, 41)) == 41
        assert len(box.pending("", 0, 42)) == 41


def test_what_was_refused_waits_over_a_restart(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.store([message("a"), message("b", "voip3/2")])
        seq = box.pending("")[0].seq
        box.postpone(seq, 1_700_000_060.0, "no queue")
        box.flush()
        box.postpone(seq, 1_700_000_120.0, "no queue")
    with outbox(tmp_path) as box:
        refused, other = box.pending("")
        assert (refused.attempts, refused.next_try) == (2, 1_700_000_120.0)
        assert (other.attempts, other.next_try) == (0, 0.0)


def test_many_callers_share_few_transactions(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        total: list[int] = []

        def call(number: int) -> None:
            for step in range(5):
                total.append(box.store([message(f"{number}/{step}", order=f"voip3/{number}")]))

        threads = [Thread(target=call, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert sum(total) == 200
        if patched():  # without gevent the native call is made by the caller and none waits long
            assert box.commits < 40, "40 callers at once, 5 messages each"
        seen: dict[str, list[str]] = {}
        for entry in box.pending("", 0, 1000):
            seen.setdefault(entry.message.order, []).append(entry.message.id)
        for number in range(40):
            assert seen[f"voip3/{number}"] == [message(f"{number}/{step}").id for step in range(5)]


def test_a_message_that_cant_be_written_fails_its_own_caller_only(tmp_path: Path) -> None:
    from dataclasses import replace

    with outbox(tmp_path) as box:
        with pytest.raises(UnicodeDecodeError):
            box.store([replace(message("bad"), body=b"\xff")])
        assert box.store([message("good")]) == 1


def test_text_that_is_no_unicode_fails_its_own_caller_only(tmp_path: Path) -> None:
    """A lone surrogate, as undecodable bytes of an environment become: SQLite takes none."""
    with outbox(tmp_path) as box:
        with pytest.raises(UnicodeEncodeError):
            box.store([replace(message("a"), routing_key="call.\udcff")])
        with pytest.raises(UnicodeEncodeError):
            box.store([message("a")], {("voip3\udcff", "key"): b"told"})
        assert box.store([message("a"), message("b")]) == 2
        assert box.degraded == ""


def test_subscribers_get_new_messages_in_order(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        got: list[Entry] = []
        box.subscribe("", got.extend)
        box.store([message("a"), message("b")])
        box.store([message("b"), message("c"), message("x", broker="other")])
        assert [e.message for e in got] == [message("a"), message("b"), message("c")]
        assert got == box.pending("")
        box.unsubscribe("")
        box.store([message("d")])
        assert len(got) == 3


def test_ids_are_forgotten_after_their_time_but_never_while_they_wait(tmp_path: Path) -> None:
    clock = Clock()
    with outbox(tmp_path, clock) as box:
        box.store([message("early"), message("stuck")])
        early, _stuck = box.pending("")
        box.confirm("", [early.seq])
        box.flush()
        clock.now += 47 * 3600
        while box.prune():
            pass
        assert box.store([message("early")]) == 0
        clock.now += 2 * 3600
        while box.prune():
            pass
        assert box.store([message("early")]) == 1, "49 hours after it was published"
        assert box.store([message("stuck")]) == 0, "it still waits"
        # Confirmed late, it is remembered from then on.
        box.confirm("", [box.pending("")[0].seq])
        box.flush()
        clock.now += 47 * 3600
        while box.prune():
            pass
        assert box.store([message("stuck")]) == 0


def test_ages_and_counts(tmp_path: Path) -> None:
    clock = Clock()
    with outbox(tmp_path, clock) as box:
        assert box.oldest("") == 0.0
        box.store([message("a")])
        clock.now += 10
        box.store([message("b")])
        box.refresh()
        assert box.oldest("") == 10.0
        box.confirm("", [box.pending("")[0].seq])
        box.flush()
        clock.now += 5
        box.refresh()
        assert box.oldest("") == 5.0
    with outbox(tmp_path, clock) as box:
        assert box.oldest("") == 5.0
        assert box.disk_bytes() > 4096


def test_a_damaged_file_is_put_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    with caplog.at_level(logging.ERROR), outbox(tmp_path) as box:
        assert box.store([message("a")]) == 1
    aside = tmp_path / "outbox.sqlite.damaged-20231114-221320"
    assert aside.read_bytes().startswith(b"this is no database")
    assert "is damaged" in caplog.text
    assert f"sqlite3 {aside} .recover" in caplog.text


def test_a_file_with_a_broken_page_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with outbox(tmp_path) as box:
        for part in range(10):
            box.store([message(f"{part}/{i}") for i in range(200)])
    path = tmp_path / "outbox.sqlite"
    data = bytearray(path.read_bytes())
    for page in range(8, len(data) // 4096 - 1):
        data[page * 4096 : page * 4096 + 200] = b"\xab" * 200
    path.write_bytes(bytes(data))
    with caplog.at_level(logging.ERROR), outbox(tmp_path) as box:
        assert box.counts() == {}
        assert box.store([message("a")]) == 1
    assert "is damaged" in caplog.text


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with outbox(tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "outbox.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FatalError, match="newer arimonitor"), outbox(tmp_path):
        pass
    assert not list(tmp_path.glob("*damaged*"))


def test_two_processes_cant_share_a_data_directory(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from daemon.outbox.lockfile import DirectoryLock\n"
        "DirectoryLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with (
            pytest.raises(FatalError, match=f"another arimonitor \\(process {child.pid}\\)"),
            outbox(tmp_path),
        ):
            pass
    finally:
        child.kill()
        child.wait(10)
    with outbox(tmp_path) as box:
        assert box.store([message("a")]) == 1, "the lock ends with its process"


_STORING = """
import sys
from pathlib import Path
from daemon.outbox.store import Outbox
from tests.unit.outbox.make import message
box = Outbox(Path(sys.argv[1]), lambda f, *d: f(*d))
box.open()
number = 0
while True:
    box.store([message(str(number + i)) for i in range(3)])
    number += 3
    print(number, flush=True)
"""


def test_what_was_stored_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    child = subprocess.Popen([sys.executable, "-c", _STORING, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(50):
        line = child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait(10)
    promised = int(rest[-1]) if rest else int(line)
    with outbox(tmp_path) as box:
        stored = box.pending("", 0, 100_000)
        assert len(stored) >= promised
        assert [e.message.id for e in stored] == [message(str(i)).id for i in range(len(stored))]
        assert len(stored) % 3 == 0, "a batch is stored whole or not at all"


def test_the_keeper_writes_confirmations_and_prunes(tmp_path: Path) -> None:
    clock = Clock()
    with outbox(tmp_path, clock) as box:
        keeper = Keeper(box, flush_every=0.01, upkeep_every=0.05, prune_every=0.05)
        stop = Event()
        thread = Thread(target=keeper.run, args=(stop,))
        thread.start()
        try:
            box.store([message("a")])
            box.confirm("", [box.pending("")[0].seq])
            wait_until(lambda: not box.noted, "the confirmation is written")
            clock.now += 49 * 3600
            wait_until(lambda: box.store([message("a")]) == 1, "the id is forgotten")
            wait_until(lambda: keeper.status()["disk_bytes"], "the size is known")
        finally:
            stop.set()
            thread.join(DEADLINE)
        assert keeper.status()["waiting"] == 1


def test_callers_and_flushes_at_once_never_wait_for_ever(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        stop = Event()

        def flush() -> None:
            while not stop.is_set():
                for entry in box.pending("", 0, 20):
                    box.confirm("", [entry.seq])
                box.flush()

        flushers = [Thread(target=flush) for _ in range(2)]
        callers = [
            Thread(target=lambda n=n: [box.store([message(f"{n}/{step}")]) for step in range(30)])
            for n in range(20)
        ]
        for thread in (*flushers, *callers):
            thread.start()
        for thread in callers:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "a caller waits for ever"
        stop.set()
        for thread in flushers:
            thread.join(DEADLINE)
        assert box.store([message("after")]) == 1
        assert box.stored_total == 601
