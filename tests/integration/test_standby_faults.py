"""Two real outboxes where journal, board, disk or mark fail: repeats at most, and they are noticed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from daemon.standby import journal
from daemon.standby.journal import PER_BLOCK
from daemon.standby.writer import MarkWriter
from tests.integration.standby_parts import Pair
from tests.integration.standby_parts import pair as pair


def test_a_standby_that_was_away_for_longer_than_the_journal_reaches_asks(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SLOTS", 4)
    pair.b.board.cut = True
    sent = 8 * PER_BLOCK
    for _ in range(8):
        pair.happen(PER_BLOCK)
        pair.a.publish()
    with pytest.raises(Exception, match="cut off"):
        pair.b.follow(pair.now)
    assert len(pair.b.waiting()) == sent
    pair.b.board.cut = False
    pair.b.follow(pair.now)
    left = len(pair.b.waiting())
    assert sent - 5 * PER_BLOCK <= left < sent, "only the end of the journal was still there"
    pair.pass_time(pair.b, 30, pair.a)
    assert pair.b.waiting() == set()
    assert pair.broker.repeated == []


def test_a_standby_that_is_lapped_while_it_follows_asks_too(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SLOTS", 4)
    pair.happen(10)
    pair.a.publish()
    pair.b.follow(pair.now)
    pair.pass_time(pair.b, 20, pair.a)
    for _ in range(10):
        pair.happen(PER_BLOCK)
        pair.a.publish()
    pair.pass_time(pair.b, 30, pair.a)
    assert pair.b.succession.pruner.status()["blocks_missed"] > 0
    assert pair.b.waiting() == set()
    assert pair.broker.repeated == []


def test_the_board_is_emptied(pair: Pair) -> None:
    pair.happen(600)
    pair.a.publish()
    pair.b.follow(pair.now)
    pair.board.data.clear()
    pair.happen(300)
    pair.b.follow(pair.now)
    pair.a.publish()
    pair.b.follow(pair.now)
    assert pair.b.waiting() == set()
    # And again, with a new master that finds nothing.
    pair.board.data.clear()
    pair.happen(300)
    pair.switch(pair.a, pair.b)
    pair.board.data.clear()
    pair.b.publish()
    pair.pass_time(pair.a, 30, pair.b)
    assert pair.a.waiting() == set()
    assert pair.broker.repeated == []
    assert set(pair.broker.ids) == pair.made


def test_the_board_is_set_back(pair: Pair) -> None:
    pair.happen(100)
    pair.a.publish()
    old = dict(pair.board.data)
    pair.happen(400)
    pair.a.publish()
    pair.b.follow(pair.now)
    pair.board.data = old
    pair.b.follow(pair.now)
    pair.happen(500)
    pair.a.publish()
    pair.pass_time(pair.b, 30, pair.a)
    assert pair.b.waiting() == set()


def test_a_board_that_is_away_at_a_takeover_costs_repeats_not_messages(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    pair.happen(20)
    pair.a.publish(5)
    pair.a.crash()
    pair.board.away = True
    assert "could not be read (the board is away): 20 messages go out" in pair.take_over(pair.b)
    pair.b.publish()
    assert set(pair.broker.ids) == pair.made
    assert len(pair.broker.repeated) == 5
    assert pair.b.succession.writer.status()["waiting"] == 20
    assert pair.b.succession.trouble(leads=True) == "the board is away"
    pair.board.away = False
    pair.b.publish()
    assert pair.b.succession.trouble(leads=True) == ""
    assert pair.b.succession.writer.status()["waiting"] == 0
    pair.a.start()
    pair.a.follow(pair.now)
    assert pair.a.waiting() == set()
    assert len([r for r in caplog.records if "can't be told what is published" in r.getMessage()]) == 1


def test_a_write_without_an_answer_is_made_again(pair: Pair) -> None:
    pair.happen(700)
    pair.board.deaf = True
    pair.a.publish(300)
    pair.board.deaf = False
    pair.a.publish(100)
    pair.b.follow(pair.now)
    assert pair.b.waiting() == pair.a.waiting()
    assert len(pair.b.waiting()) == 300


def test_a_stale_master_writes_nothing(pair: Pair) -> None:
    pair.happen(50)
    pair.a.publish(10)
    pair.a.sender.send(10, 1)
    pair.take_over(pair.b)  # while A is frozen
    pair.b.publish()
    pair.a.sender.hear(10)
    head = pair.board.data["journal", "head"]
    pair.a.succession.writer.step(answer=True)
    assert pair.board.data["journal", "head"] == head
    pair.pass_time(pair.a, 20, pair.b)
    assert pair.a.waiting() == set()


def test_a_full_disk_at_the_takeover(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published is let go of in memory, and remembered when there is room."""
    from daemon.outbox.database import DiskTrouble

    pair.happen(20)
    later = pair.happen(2, pair.a)
    pair.a.publish(8)
    pair.a.publish()
    database, apply = pair.b.outbox._database, pair.b.outbox._database.apply

    def full(_: object) -> None:
        raise DiskTrouble("no space")

    monkeypatch.setattr(database, "apply", full)
    pair.switch(pair.a, pair.b)
    assert pair.b.outbox.counts() == {"": 0}
    pair.b.publish()
    assert pair.broker.repeated == []
    monkeypatch.setattr(database, "apply", apply)
    assert pair.b.outbox.recover()
    pair.b.retire()
    pair.b.follow(pair.now)
    assert pair.b.outbox.store(later) == 0


# -- bugs planted: this test, or the one of random runs, must find each --------------------


class TellsTooEarly(MarkWriter):
    """Moves the mark over what the broker has not confirmed."""

    def flush(self, *, clean: bool = False) -> None:
        self.published([entry.message.id for entry in self.sender.under_way.values()])  # type: ignore[attr-defined]
        super().flush(clean=clean)


class Forgets(MarkWriter):
    """Skips every second mark."""

    skipped = 0

    def published(self, ids: Sequence[str]) -> None:
        self.skipped += 1
        if self.skipped % 2:
            super().published(ids)


def planted(pair: Pair, kind: type[MarkWriter]) -> None:
    old = pair.a.succession.writer
    old.__class__ = kind
    old.sender = pair.a.sender  # type: ignore[attr-defined]
    pair.a.sender._told = old.published


def test_a_mark_over_what_is_not_confirmed_is_found_as_a_loss(pair: Pair) -> None:
    planted(pair, TellsTooEarly)
    pair.happen(20)
    pair.a.sender.send(10, 1)
    lost = set(pair.broker.ids)
    pair.broker.got.clear()  # the broker dies with what it has not confirmed
    pair.a.succession.writer.step(answer=False)
    pair.a.crash()
    pair.take_over(pair.b)
    pair.b.publish()
    assert pair.made - set(pair.broker.ids) == lost


def test_a_skipped_mark_is_found_as_a_repeat(pair: Pair) -> None:
    planted(pair, Forgets)
    pair.happen(20)
    pair.a.publish(5)
    pair.a.publish(5)
    pair.switch(pair.a, pair.b)
    pair.b.publish()
    assert len(pair.broker.repeated) == 5


def test_a_skipped_mark_costs_a_question_where_there_is_time(pair: Pair) -> None:
    planted(pair, Forgets)
    pair.happen(20)
    pair.a.publish(5)
    pair.a.publish(5)
    pair.pass_time(pair.b, 15, pair.a)
    assert pair.b.waiting() == pair.a.waiting() == set()
    assert pair.b.succession.pruner.status()["settled"] == 5
