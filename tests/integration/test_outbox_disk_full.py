"""The outbox's disk is full: said once, held in memory, published on, recovered in order.

On a small tmpfs, which only root can mount.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from daemon.outbox.filesink import FileSink
from daemon.outbox.keeper import Keeper
from daemon.outbox.publisher import Publisher
from daemon.outbox.sink import SinkLost
from daemon.outbox.spillover import OutboxFull
from daemon.outbox.store import Outbox
from tests.integration.outbox_parts import offload
from tests.servers.disk import fill, small_disk
from tests.servers.waiting import DEADLINE, wait_until
from tests.unit.outbox.make import entry, message


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "2m") as folder:
        yield folder


def test_held_in_memory_said_once_written_in_order(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    box = Outbox(disk / "outbox.sqlite", offload(), memory_limit=1000)
    box.open()
    assert box.store([message(f"before {i}") for i in range(20)]) == 20
    ballast = fill(disk)
    with caplog.at_level(logging.INFO, "arimonitor.outbox"):
        count = 0
        while not box.degraded:  # the log has some room of its own still
            box.store([message(f"full {count}")])
            count += 1
            assert count < 5000
        for _ in range(100):
            assert box.store([message(f"full {count}")]) == 1
            count += 1
        assert sum("outbox disk full" in r.getMessage() for r in caplog.records) == 1
        assert box.held >= 100
        # The same ids, of before and of now, are still kept once.
        assert box.store([message("before 3"), message("full 0"), message(f"full {count - 1}")]) == 0
        expected = [message(f"before {i}").id for i in range(20)]
        expected += [message(f"full {i}").id for i in range(count)]
        pending = box.pending("", 0, 10_000)
        assert [e.message.id for e in pending] == expected
        # Pages go on over the border from disk to memory.
        paged, after = [], 0
        while page := box.pending("", after, 7):
            paged += page
            after = page[-1].seq
        assert paged == pending
        # Confirmed while it is full: one that the disk has, one that the memory has.
        box.confirm("", [pending[0].seq, pending[-1].seq])
        assert [e.message.id for e in box.pending("", 0, 10_000)] == expected[1:-1]
        assert box.recover() is False
        # The memory's share is bounded.
        with pytest.raises(OutboxFull):
            box.store([message(f"too many {i}") for i in range(1001)])
        assert [e.message.id for e in box.pending("", 0, 10_000)] == expected[1:-1]
        ballast.unlink()
        assert box.recover() is True
        assert box.degraded == ""
        assert box.held == 0
        assert "has room again" in caplog.text
    assert box.store([message("after"), message("full 1"), message(f"full {count - 1}")]) == 1
    box.close()
    box = Outbox(disk / "outbox.sqlite", offload())
    box.open()
    expected = [*expected[1:-1], message("after").id]
    assert [e.message.id for e in box.pending("", 0, 10_000)] == expected
    assert box.counts() == {"": len(expected)}
    assert box.store([message("before 0"), message(f"full {count - 1}")]) == 0, "published ids are remembered"
    box.close()


def degraded(folder: Path) -> tuple[Outbox, Path]:
    """An outbox that holds in memory, with room for two messages, and what fills its disk."""
    box = Outbox(folder / "outbox.sqlite", offload(), memory_limit=2)
    box.open()
    ballast = fill(folder)
    filler = 0
    while not box.degraded:  # the log has some room of its own still
        box.store((), {("voip3", f"filler {filler}"): b"x" * 4000})
        filler += 1
        assert filler < 1000
    return box, ballast


def test_what_is_refused_leaves_no_state_behind(disk: Path) -> None:
    """The state tells what was sent: without its messages it would say of a call what nobody was told."""
    box, ballast = degraded(disk)
    with pytest.raises(OutboxFull):
        box.store([message(f"{i}") for i in range(3)], {("voip3", "call"): b"told"})
    ballast.unlink()
    assert box.recover()
    box.store([message("another")])
    assert "call" not in box.state("voip3")
    box.close()


def test_state_that_waited_for_the_disk_is_written_with_its_messages(disk: Path) -> None:
    box, ballast = degraded(disk)
    box.store([message("1"), message("2")], {("voip3", "call"): b"told"})
    assert box.degraded
    ballast.unlink()
    assert box.recover()
    box.close()
    box = Outbox(disk / "outbox.sqlite", offload())
    box.open()
    assert [e.message.id for e in box.pending("")] == [message("1").id, message("2").id]
    assert box.state("voip3")["call"] == b"told"
    box.close()


def test_messages_go_on_being_published_and_the_keeper_recovers(disk: Path, tmp_path: Path) -> None:
    native = offload()
    box = Outbox(disk / "outbox.sqlite", native)
    box.open()
    ballast = fill(disk)
    sink = FileSink(tmp_path / "messages", native)
    publisher = Publisher("", box, sink)
    keeper = Keeper(box, flush_every=0.02, recover_every=0.05)
    stop = Event()
    threads = [Thread(target=part.run, args=(stop,)) for part in (publisher, keeper)]
    for thread in threads:
        thread.start()
    try:
        count = 0
        while not box.degraded or count < 200:
            box.store([message(f"{count}", order=f"voip3/{count % 7}")])
            count += 1
            assert count < 5000
        wait_until(lambda: publisher.status()["published"] == count, "all are published, full disk or not")
        assert box.counts() == {"": 0}
        assert box.degraded
        ballast.unlink()
        wait_until(lambda: not box.degraded, "recovered by itself")
        wait_until(lambda: not box.noted, "the confirmations are written")
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
    box.close()
    box = Outbox(disk / "outbox.sqlite", native)
    box.open()
    assert box.pending("") == []
    assert box.store([message(f"{i}") for i in range(count)]) == 0
    box.close()


def test_the_file_sink_on_a_full_disk_leaves_no_half_line(disk: Path) -> None:
    sink = FileSink(disk / "messages", offload())
    sink.open()
    sink.publish([entry(1, "a")])
    ballast = fill(disk)
    with pytest.raises(SinkLost, match="can't write"):
        sink.publish([entry(i, "a") for i in range(100, 2000)])
    ballast.unlink()
    sink.open()
    sink.publish([entry(10**6, "a")])
    data = (disk / "messages" / "messages-000001.jsonl").read_bytes()
    assert data.endswith(b"\n")
    import json

    ids = [json.loads(line)["message_id"] for line in data.splitlines()]
    assert ids[-1] == message(str(10**6)).id
    assert len(ids) == len(set(ids))
