"""Two real outboxes and one that publishes: nothing lost, nothing repeated that need not be."""

from __future__ import annotations

import json
import logging

import pytest

from tests.integration.standby_parts import Pair
from tests.integration.standby_parts import pair as pair


def test_the_standby_forgets_what_the_master_has_published_and_nothing_else(pair: Pair) -> None:
    pair.happen(100)
    pair.a.sender.send(60, 1)
    pair.a.sender.hear(40)
    pair.a.succession.writer.step(answer=False)
    pair.b.follow(pair.now)
    assert len(pair.b.waiting()) == 60
    assert pair.b.waiting() == pair.a.waiting()
    pair.a.publish()
    pair.b.follow(pair.now)
    assert pair.b.waiting() == set()
    assert pair.b.outbox.counts() == {"": 0}


def test_nothing_new_is_nothing_written(pair: Pair) -> None:
    pair.happen(10)
    pair.a.publish()
    writes = pair.board.writes
    for _ in range(5):
        pair.a.publish()
    assert pair.board.writes == writes


def test_a_planned_switchover_repeats_nothing_and_loses_nothing(pair: Pair) -> None:
    old, new = pair.a, pair.b
    for _ in range(6):
        pair.happen(50)
        old.sender.send(30, pair.epoch)
        old.sender.hear(10)
        pair.happen(5, old)  # which the other will only tell later
        later = pair.happen(5, old)
        old.sender.send(30, pair.epoch)
        pair.switch(old, new)
        new.outbox.store(later)
        new.publish()
        old, new = new, old
    pair.pass_time(new, 40, old)
    assert pair.broker.repeated == []
    assert set(pair.broker.ids) == pair.made
    assert pair.a.waiting() == pair.b.waiting() == set()


def test_a_fact_told_later_here_than_there_is_not_told_twice(pair: Pair) -> None:
    late = pair.happen(3, pair.a)
    pair.a.publish()
    pair.switch(pair.a, pair.b)
    assert pair.b.outbox.store(late) == 0
    pair.b.publish()
    assert pair.broker.repeated == []


def test_a_crash_repeats_only_what_was_not_told_and_loses_nothing(pair: Pair) -> None:
    pair.happen(100)
    pair.a.publish(40)
    pair.b.follow(pair.now)
    pair.happen(20)
    pair.a.sender.send(30, 1)
    pair.a.sender.hear(10)  # confirmed, but it dies before it says so
    under_way = set(pair.broker.ids[40:])
    pair.a.crash()
    sentence = pair.take_over(pair.b)
    assert sentence == (
        "A has ended without a last word (epoch 1): 0 more messages were published by it, 80 go out now"
    )
    pair.b.publish()
    assert set(pair.broker.ids) == pair.made
    assert set(pair.broker.repeated) == under_way


def test_what_was_told_and_not_yet_read_is_not_repeated(pair: Pair) -> None:
    pair.happen(2000)
    for _ in range(20):
        pair.a.publish(90)  # over several blocks
    pair.a.crash()
    sentence = pair.take_over(pair.b)
    assert "1800 more messages were published by it, 200 go out now" in sentence
    pair.b.publish()
    assert pair.broker.repeated == []
    assert set(pair.broker.ids) == pair.made


def test_the_old_master_comes_back_as_standby(pair: Pair) -> None:
    """What it had not published by its own account, the new one has or gets from it."""
    pair.happen(50)
    pair.happen(7, pair.a)  # which the other did not see
    pair.a.publish(20)
    pair.a.crash()
    pair.take_over(pair.b)
    pair.b.publish()
    pair.happen(30, pair.b)
    pair.b.publish()
    assert len(pair.made - set(pair.broker.ids)) == 7
    pair.a.start()
    pair.pass_time(pair.a, 30, pair.b)
    assert set(pair.broker.ids) == pair.made
    assert pair.broker.repeated == []
    assert pair.a.waiting() == set()
    assert pair.b.waiting() == set()


def test_what_only_the_standby_saw_in_a_gap_of_the_master_is_published(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    pair.happen(10)
    missed = pair.happen(4, pair.b)
    stored: list[bytes] = []
    pair.a.outbox.subscribe("", lambda entries: stored.extend(entry.message.body for entry in entries))
    with caplog.at_level(logging.INFO, "arimonitor.standby"):
        pair.pass_time(pair.b, 9, pair.a)
        assert len(pair.b.waiting()) == 4, "the master may still tell it itself"
        pair.pass_time(pair.b, 10, pair.a)
    assert pair.b.waiting() == set()
    assert set(pair.broker.ids) == pair.made
    assert pair.broker.repeated == []
    assert [json.loads(body)["operation"]["recovered"] for body in stored] == [True] * 4
    assert f"4 messages that only B saw are published now, such as {missed[0].id}" in caplog.text


def test_a_question_of_an_earlier_mastership_is_left(pair: Pair) -> None:
    """What was handed over long ago may be forgotten by now, and would go out again."""
    pair.happen(4, pair.b)
    pair.pass_time(pair.b, 20, pair.a)
    assert set(pair.broker.ids) == pair.made
    for node in (pair.a, pair.b):
        node.outbox.flush()
        node.clock.now += 72 * 3600
        node.outbox.prune()
    pair.a.outbox.close()
    pair.a.start()
    pair.board.data = {key: data for key, data in pair.board.data.items() if key[0] == "question"}
    assert pair.board.data
    pair.take_over(pair.a)
    pair.pass_time(pair.b, 40, pair.a)
    assert pair.broker.repeated == []


def test_what_the_master_found_out_itself_meanwhile_is_not_taken(pair: Pair) -> None:
    missed = pair.happen(4, pair.b)
    pair.pass_time(pair.b, 10)
    pair.a.outbox.store(missed)
    pair.pass_time(pair.b, 10, pair.a)
    assert pair.broker.repeated == []
    assert pair.a.succession.writer.status()["taken_from_standby"] == 0


def test_a_broker_that_is_away_makes_the_standby_keep_all_and_ask_once(pair: Pair) -> None:
    pair.happen(3000)
    for _ in range(60):
        pair.now += 1.0
        pair.b.follow(pair.now)
        pair.a.succession.writer.step(answer=True)  # nothing is published
    assert len(pair.b.waiting()) == 3000
    assert pair.board.writes < 1 + 2 * 4, "three questions of a thousand ids, and their answers"
    pair.a.publish(3000)
    pair.b.follow(pair.now)
    assert pair.b.waiting() == set()


def test_a_nodes_own_word_and_later_discoveries_are_kept_a_while_and_then_dropped(pair: Pair) -> None:
    pair.happen(2, pair.b, kind="monitor-gap")
    pair.happen(2, pair.b, kind="endpoint-status")
    pair.happen(2, pair.b, recovered=True)
    pair.pass_time(pair.b, 800, pair.a)
    assert len(pair.b.waiting()) == 6
    pair.pass_time(pair.b, 600, pair.a)
    assert pair.b.waiting() == set()
    assert pair.broker.ids == []
    assert pair.b.succession.pruner.status()["given_up"] == 6
    assert pair.b.succession.pruner.status()["handed"] == 0


def test_they_go_out_at_a_takeover_within_that_time(pair: Pair) -> None:
    pair.happen(2, pair.b, recovered=True)
    pair.pass_time(pair.b, 100, pair.a)
    pair.a.crash()
    pair.take_over(pair.b)
    pair.b.publish()
    assert set(pair.broker.ids) == pair.made


def test_a_discovery_whose_call_began_a_second_off_was_told_already(pair: Pair) -> None:
    from dataclasses import replace

    from daemon.calls.ids import fact_id

    (message,) = pair.happen(1, pair.a)
    here = replace(message, id=fact_id("voip3", "1.7", "ended-call", 1_761_562_801_000))
    there = replace(message, id=fact_id("voip3", "1.7", "ended-call", 1_761_562_800_000))
    pair.a.outbox.store([here])
    pair.b.outbox.store([there])
    pair.pass_time(pair.b, 15, pair.a)
    assert pair.b.waiting() == set()
    assert there.id not in pair.broker.ids
