"""What another node has published: dropped, remembered, told apart from what waits. On a full disk too."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.outbox.rows import key_of
from daemon.outbox.spillover import OutboxFull
from daemon.outbox.store import Outbox
from tests.integration.outbox_parts import Clock, offload
from tests.servers.disk import fill, small_disk
from tests.unit.outbox.make import message


def keys(*names: str) -> list[bytes]:
    return [key_of(message(name).id) for name in names]


def open_in(folder: Path, clock: Clock | None = None) -> Outbox:
    box = Outbox(folder / "outbox.sqlite", offload(), memory_limit=1000, now=clock or Clock())
    box.open()
    return box


def test_dropped_by_id_and_remembered_also_over_a_restart(tmp_path: Path) -> None:
    box = open_in(tmp_path)
    box.store([message("a"), message("b", broker="main"), message("c"), message("d")])
    assert box.drop([]) == 0
    assert box.drop(keys("a", "b", "later")) == 2
    assert box.counts() == {"": 2, "main": 0}
    assert box.drop(keys("a", "b", "later")) == 0
    assert box.store([message("a"), message("later")]) == 0
    box.close()
    box = open_in(tmp_path)
    assert box.counts() == {"": 2}
    assert [e.message for e in box.pending("")] == [message("c"), message("d")]
    assert box.store([message("b", broker="main"), message("later"), message("new")]) == 1
    assert box.known([message(name).id for name in ("later", "new", "never")]) == {
        message("later").id,
        message("new").id,
    }
    box.close()


def test_what_is_confirmed_here_and_named_there_counts_once(tmp_path: Path) -> None:
    box = open_in(tmp_path)
    box.store([message("a"), message("b"), message("c")])
    box.confirm("", [box.pending("")[0].seq])  # noted, not written yet
    assert box.standing(keys("a", "b", "never")) == dict(zip(keys("a", "b"), [False, True], strict=True))
    assert box.drop(keys("a", "b")) == 1
    assert box.counts() == {"": 1}
    assert box.standing(keys("a", "b", "c")) == dict(
        zip(keys("a", "b", "c"), [False, False, True], strict=True)
    )
    box.close()


def test_what_was_dropped_late_is_remembered_from_then_on(tmp_path: Path) -> None:
    clock = Clock()
    box = open_in(tmp_path, clock)
    box.store([message("a")])
    clock.now += 40 * 3600
    assert box.drop(keys("a")) == 1
    clock.now += 40 * 3600
    box.prune()
    assert box.store([message("a")]) == 0
    clock.now += 9 * 3600
    box.prune()
    assert box.store([message("a")]) == 1
    box.close()


def test_many_at_once(tmp_path: Path) -> None:
    box = open_in(tmp_path)
    names = [str(number) for number in range(5000)]
    box.store([message(name) for name in names])
    assert box.drop(keys(*names[10:])) == 4990
    assert [e.message for e in box.pending("")] == [message(name) for name in names[:10]]
    box.close()


def test_on_a_full_disk_it_is_let_go_of_and_has_to_be_said_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "2m") as disk:
        box = open_in(disk)
        box.store([message("on the disk"), message("stays")])
        ballast = fill(disk)
        count = 0
        while not box.degraded:
            box.store([message(f"full {count}")])
            count += 1
            assert count < 5000
        box.store([message("in memory"), message("published from memory")])
        box.confirm("", [box.pending("", 0, 5000)[-1].seq])
        told = keys("on the disk", "in memory", "later")
        with pytest.raises(OutboxFull):
            box.drop(told)
        left = {e.message.id for e in box.pending("", 0, 5000)}
        assert len(left) == count + 1
        assert message("stays").id in left
        assert left.isdisjoint({message("on the disk").id, message("in memory").id})
        assert box.standing([*told, *keys("stays", "published from memory")]) == dict(
            zip(
                keys("on the disk", "in memory", "stays", "published from memory"),
                [False, False, True, False],
                strict=True,
            )
        )
        ballast.unlink()
        assert box.recover()
        assert box.drop(told) == 0
        assert box.store([message("later"), message("in memory"), message("on the disk")]) == 0
        assert box.counts() == {"": count + 1}
        box.close()
