"""Random histories of two nodes: whatever happens in whatever order, nothing that one of them stored is lost.

What may be repeated is what a master had sent and not yet told when it crashed or was cut off; histories with
planned switchovers only repeat nothing at all.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.outbox.message import Message
from daemon.standby import journal
from tests.integration.standby_parts import Node, Pair

MEMORY = Path("/dev/shm")

SIGHT = st.sampled_from(["both", "master", "standby", "master first", "standby first"])
PLANNED = st.one_of(
    st.tuples(st.just("happen"), st.integers(1, 12), SIGHT),
    st.tuples(st.just("late"), st.just(0)),
    st.tuples(st.just("send"), st.integers(1, 10)),
    st.tuples(st.just("hear"), st.integers(1, 10)),
    st.tuples(st.just("tell"), st.booleans()),
    st.tuples(st.just("follow"), st.sampled_from([1, 4, 15])),
    st.tuples(st.just("switch"), st.just(0)),
    st.tuples(st.just("restart standby"), st.just(0)),
)
ANY = st.one_of(
    PLANNED,
    st.tuples(st.just("crash"), st.booleans()),
    st.tuples(st.just("freeze"), st.just(0)),
    st.tuples(st.just("cut master"), st.booleans()),
    st.tuples(st.just("cut standby"), st.booleans()),
    st.tuples(st.just("deaf"), st.booleans()),
    st.tuples(st.just("empty the board"), st.just(0)),
)


class History:
    """Takes the steps; `excused` are the ids that may be repeated."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.master, self.standby = pair.a, pair.b
        self.late: list[tuple[Node, list[Message]]] = []
        self.excused: set[str] = set()

    def step(self, what: str, *values: object) -> None:
        getattr(self, what.replace(" ", "_"))(*values)

    def happen(self, count: int, sight: str) -> None:
        nodes = {"master": self.master, "standby": self.standby}
        if sight == "both":
            self.pair.happen(count)
            return
        name, _, first = sight.partition(" ")
        seen = self.pair.happen(count, nodes[name])
        if first:
            self.late.append((nodes["standby" if name == "master" else "master"], seen))

    def late_(self) -> None:
        for node, messages in self.late:
            self.pair.see(node, messages)
        self.late.clear()

    def send(self, count: int) -> None:
        self.master.sender.send(count, self.master.epoch)

    def hear(self, count: int) -> None:
        self.master.sender.hear(count)

    def tell(self, answer: bool) -> None:
        self.master.succession.writer.step(answer=answer)

    def follow(self, seconds: int) -> None:
        self.pair.now += seconds
        if not self.standby.board.cut:
            self.standby.follow(self.pair.now)

    def switch(self, _: int) -> None:
        if self.master.board.cut or self.standby.board.cut:
            return
        self.pair.switch(self.master, self.standby)
        self.master, self.standby = self.standby, self.master

    def restart_standby(self, _: int) -> None:
        self.standby.outbox.close()
        self.standby.start()

    def crash(self, broker_too: bool) -> None:
        self._excuse()
        if broker_too:  # which loses what it has not confirmed
            lost = {entry.message.id for entry in self.master.sender.under_way.values()}
            self.pair.broker.got = [each for each in self.pair.broker.got if each[0] not in lost]
        self.master.crash()
        self.pair.take_over(self.standby)
        self.master.start()
        self.master, self.standby = self.standby, self.master

    def freeze(self, _: int) -> None:
        """The master stands still, the other takes over, and then it goes on as if nothing had been."""
        self._excuse()
        frozen = self.master
        self.pair.take_over(self.standby)
        frozen.sender.hear(1000)
        frozen.succession.writer.step(answer=True)
        self.master, self.standby = self.standby, self.master

    def _excuse(self) -> None:
        # Sent and not told; and all of it where the new master can't be told.
        writer = self.master.succession.writer
        self.excused |= {entry.message.id for entry in self.master.sender.under_way.values()}
        self.excused |= set(writer._waiting)
        if self.standby.board.cut:
            self.excused |= set(self.pair.broker.ids)

    def cut_master(self, cut: bool) -> None:
        self.master.board.cut = cut

    def cut_standby(self, cut: bool) -> None:
        self.standby.board.cut = cut

    def deaf(self, deaf: bool) -> None:
        self.pair.board.deaf = deaf

    def empty_the_board(self, _: int) -> None:
        self.pair.board.data.clear()
        self.excused |= set(self.pair.broker.ids)

    def end_alone(self) -> None:
        """The master is lost for good: whatever the standby ever stored must come from here."""
        self.master.board.cut = self.standby.board.cut = self.pair.board.deaf = False
        self.crash(True)
        self.standby.crash()
        self.master.publish()
        assert self.pair.stored[self.master.name] <= set(self.pair.broker.ids), "lost with its node"

    def settle(self) -> None:
        """Everything is well again, for long enough."""
        self.master.board.cut = self.standby.board.cut = self.pair.board.deaf = False
        self.late_()
        for _ in range(60):
            self.master.publish()
            self.follow(5)
        assert set(self.pair.broker.ids) == self.pair.made, "lost"
        assert self.master.waiting() == self.standby.waiting() == set(), "left over"
        assert self.master.outbox.counts().get("", 0) == self.standby.outbox.counts().get("", 0) == 0


def run(steps: list[tuple[object, ...]], *, alone: bool = False) -> History:
    """One history, in a folder of its own; `alone`: it ends with one node."""
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
        # Small, so that blocks are filled and readers are lapped.
        patch.object(journal, "PER_BLOCK", 4),
        patch.object(journal, "SLOTS", 8),
        Pair(Path(folder)) as pair,
    ):
        history = History(pair)
        for what, *values in steps:
            history.step("late_" if what == "late" else str(what), *([] if what == "late" else values))
        if alone:
            history.end_alone()
        else:
            history.settle()
        return history


QUIET = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@QUIET
@given(st.lists(ANY, max_size=40))
@example([("happen", 9, "both"), ("send", 5), ("hear", 3), ("crash", False), ("send", 9), ("crash", False)])
@example([("happen", 9, "master"), ("send", 5), ("hear", 5), ("freeze", 0), ("follow", 15)])
@example(
    [
        ("happen", 9, "standby"),
        ("follow", 15),
        ("follow", 15),
        ("tell", True),
        ("follow", 1),
        ("crash", False),
    ]
)
def test_nothing_is_lost_and_only_what_a_crash_excuses_is_repeated(steps: list[tuple[object, ...]]) -> None:
    history = run(steps)
    assert set(history.pair.broker.repeated) <= history.excused


@QUIET
@given(st.lists(ANY, max_size=40))
@example([("happen", 9, "both"), ("follow", 15), ("follow", 15), ("tell", True), ("follow", 1)])
@example([("happen", 9, "both"), ("send", 9), ("hear", 5), ("tell", True), ("follow", 1)])
def test_what_a_node_stored_is_published_though_the_other_is_lost_for_good(
    steps: list[tuple[object, ...]],
) -> None:
    run(steps, alone=True)


@QUIET
@given(st.lists(PLANNED, max_size=40))
@example([("happen", 9, "master first"), ("send", 9), ("hear", 9), ("switch", 0), ("late", 0), ("send", 9)])
def test_planned_switchovers_repeat_nothing(steps: list[tuple[object, ...]]) -> None:
    assert run(steps).pair.broker.repeated == []
