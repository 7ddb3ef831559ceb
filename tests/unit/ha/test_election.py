# ruff: noqa: E501 - a table has a row a line
"""Who is master: tables of facts and what follows, interrupted decisions, and how long is waited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ha.codec import Handover
from ha.election import RULES, rank, step
from ha.facts import (
    Action,
    Answer,
    Ask,
    Facts,
    Forget,
    Holder,
    Lose,
    Outcome,
    Phase,
    Release,
    Retire,
    State,
    Win,
)
from ha.lease import Timings, spelled, token
from ha.model import Member

T = Timings.of(4.0)
NOW = 1000.0
ME, OTHER = Member("AUDIO", "auto", 100), Member("AUDIO2", "auto", 110)
LOW = Member("AUDIO3", "auto", 50)
SESSION, E = 11, token(1, 7)
FREE = Facts(me=ME, session=SESSION, token=E, highest=E, leader="AUDIO2", others=(LOW,))
HELD = replace(FREE, holder=Holder("AUDIO2", 22), others=(OTHER,))
STALE = replace(FREE, holder=Holder("AUDIO", 10), ours=True, leader="AUDIO")
LEADS = replace(
    FREE, holder=Holder("AUDIO", SESSION), ours=True, leader="AUDIO", others=(OTHER,), lease_until=NOW + 2
)
SLAVE = State()
MASTER = State(Phase.MASTER, E, SESSION)
ASKING = State(Phase.ASKING, E - 1, SESSION)
RETIRING = State(Phase.RETIRING, E, SESSION, to="AUDIO2", why="an operator wants it", retire_by=NOW + 5)


def slave_mode(facts: Facts) -> Facts:
    return replace(facts, me=replace(facts.me, mode="slave"))


TABLE: list[tuple[str, State, Facts, tuple[Action, ...], Phase, str]] = [
    # -- nobody has it
    ("free, nobody above", SLAVE, FREE, (Ask(),), Phase.ASKING, "AUDIO2, the last master, is away"),
    ("free, nobody ever had it", SLAVE, replace(FREE, token=0, highest=0, leader=""), (Ask(),), Phase.ASKING, "nobody is master"),
    ("free, the higher is here", SLAVE, replace(FREE, others=(OTHER,)), (), Phase.SLAVE, "AUDIO2 may ask first"),
    ("free, the higher is a slave by mode", SLAVE, replace(FREE, others=(replace(OTHER, mode="slave"),)), (Ask(),), Phase.ASKING, "asks"),
    ("free, a lower one is pinned", SLAVE, replace(FREE, others=(replace(LOW, mode="master"),)), (), Phase.SLAVE, "AUDIO3 may ask first"),
    ("free, this one is pinned", SLAVE, replace(FREE, me=replace(ME, mode="master"), others=(OTHER,)), (Ask(),), Phase.ASKING, "asks"),
    ("free, long enough waited for the higher", State(free_since=NOW - 0.5), replace(FREE, others=(OTHER,)), (Ask(),), Phase.ASKING, "AUDIO2 is master no more"),
    ("free, mode slave", SLAVE, slave_mode(FREE), (), Phase.SLAVE, "never asks"),
    ("free, this node can't lead", SLAVE, replace(FREE, barred="the disk is full"), (), Phase.SLAVE, "the disk is full"),
    ("free, lost it just now, others are here", State(losses=(NOW - 1,)), FREE, (), Phase.SLAVE, "leaves it to the others"),
    ("free, lost it just now, nobody else is here", State(losses=(NOW - 1,)), replace(FREE, others=()), (Ask(),), Phase.ASKING, "asks"),
    ("free, lost it a while ago", State(losses=(NOW - 11,)), FREE, (Ask(),), Phase.ASKING, "asks"),
    ("free, refused just now, and nobody has it", State(epoch=E, vain_until=NOW + 1), FREE, (), Phase.SLAVE, "did not get it"),
    # -- a switchover of this epoch
    ("handed to this node, though a higher is here", SLAVE, replace(FREE, others=(OTHER,), handover=Handover(E, "AUDIO2", "AUDIO")), (Ask(),), Phase.ASKING, "AUDIO2 hands over to this node"),
    ("handed to this node, and why", SLAVE, replace(FREE, others=(OTHER,), handover=Handover(E, "AUDIO2", "AUDIO", "its Asterisk is gone")), (Ask(),), Phase.ASKING, "AUDIO2 hands over to this node (its Asterisk is gone): it asks for the lease"),
    ("the last master has left", SLAVE, replace(FREE, others=(), handover=Handover(E, "AUDIO2", why="its daemon ends")), (Ask(),), Phase.ASKING, "AUDIO2 is master no more (its daemon ends): this node asks for the lease"),
    ("handed to this node, whose mode is slave", SLAVE, slave_mode(replace(FREE, handover=Handover(E, "AUDIO2", "AUDIO"))), (), Phase.SLAVE, "never asks"),
    ("handed to another that is here", SLAVE, replace(FREE, handover=Handover(E, "AUDIO2", "AUDIO3")), (), Phase.SLAVE, "left to AUDIO3"),
    ("handed to another that has not taken it", State(free_since=NOW - 4), replace(FREE, handover=Handover(E, "AUDIO2", "AUDIO3")), (Ask(),), Phase.ASKING, "asks"),
    ("handed to another that is away", SLAVE, replace(FREE, others=(), handover=Handover(E, "AUDIO2", "AUDIO3")), (Ask(),), Phase.ASKING, "asks"),
    ("given back by this node, others are here", SLAVE, replace(FREE, handover=Handover(E, "AUDIO")), (), Phase.SLAVE, "left to the others"),
    ("given back by this node, nobody is here", SLAVE, replace(FREE, others=(), handover=Handover(E, "AUDIO")), (Ask(),), Phase.ASKING, "asks"),
    ("given back by the higher one: it is not waited for", SLAVE, replace(FREE, others=(OTHER,), handover=Handover(E, "AUDIO2")), (Ask(),), Phase.ASKING, "asks"),
    ("a switchover of an earlier epoch is void", SLAVE, replace(FREE, others=(OTHER,), handover=Handover(E - 1, "AUDIO2")), (), Phase.SLAVE, "AUDIO2 may ask first"),
    # -- somebody has it
    ("held", SLAVE, HELD, (), Phase.SLAVE, "AUDIO2 is master"),
    ("held, though this one is higher: no failback", SLAVE, replace(HELD, me=replace(ME, priority=900)), (), Phase.SLAVE, "AUDIO2 is master"),
    ("held, though this one is pinned", SLAVE, replace(HELD, me=replace(ME, mode="master")), (), Phase.SLAVE, "AUDIO2 is master"),
    # -- this node's own
    ("own, of a process that died", SLAVE, STALE, (Ask(over=True),), Phase.ASKING, "takes its own lease again"),
    ("own name, another installation wrote the epoch", SLAVE, replace(STALE, ours=False), (), Phase.SLAVE, "AUDIO is master"),
    ("own session, lost by the clock", State(losses=(NOW,)), replace(STALE, holder=Holder("AUDIO", SESSION)), (Ask(over=True),), Phase.ASKING, "under a new epoch"),
    ("own session, lost too often", State(losses=(NOW - 30, NOW)), replace(STALE, holder=Holder("AUDIO", SESSION)), (Forget(),), Phase.SLAVE, "more than once"),
    ("own session, lost too often, nobody else is here", State(losses=(NOW - 30, NOW)), replace(STALE, holder=Holder("AUDIO", SESSION), others=()), (Ask(over=True),), Phase.ASKING, "takes"),
    ("own, mode slave", SLAVE, slave_mode(STALE), (Forget(),), Phase.SLAVE, "gives back"),
    ("own, could not be given back at the switchover", SLAVE, replace(STALE, holder=Holder("AUDIO", SESSION), handover=Handover(E, "AUDIO", "AUDIO3")), (Forget(),), Phase.SLAVE, "switchover"),
    # -- what forbids it
    ("away", SLAVE, replace(FREE, connected=False), (), Phase.SLAVE, "does not answer"),
    ("connecting at the start", SLAVE, replace(FREE, connected=False, starting=True), (), Phase.SLAVE, "connects to ZooKeeper"),
    ("denied at the start", SLAVE, replace(FREE, connected=False, starting=True, trouble="ZooKeeper denies /lease"), (), Phase.SLAVE, "denies"),
    ("ZooKeeper denies", SLAVE, replace(FREE, connected=False, trouble="ZooKeeper denies /lease"), (), Phase.SLAVE, "denies"),
    ("a lower epoch", SLAVE, replace(FREE, highest=token(1, 9)), (), Phase.SLAVE, "`adopt` accepts them"),
    ("no epoch, and one was seen", SLAVE, replace(FREE, token=0), (), Phase.SLAVE, "no epoch"),
    ("a lower epoch of a later generation is none", SLAVE, replace(FREE, token=token(2, 0), highest=token(2, 0)), (Ask(),), Phase.ASKING, "asks"),
    ("another installation of this name", SLAVE, replace(FREE, impostor=True), (), Phase.SLAVE, "another installation"),
    # -- asked
    ("won", ASKING, replace(FREE, answer=Answer(Outcome.WON, E + 1)), (Win(E + 1),), Phase.MASTER, f"epoch {spelled(E + 1)}"),
    ("lost the race", ASKING, replace(FREE, answer=Answer(Outcome.LOST)), (), Phase.SLAVE, "did not get it"),
    ("no answer, not yet looked", ASKING, replace(LEADS, answer=Answer(Outcome.UNKNOWN)), (), Phase.ASKING, "not known who has it"),
    ("unknown, ZooKeeper is away", ASKING, replace(FREE, connected=False, answer=Answer(Outcome.UNKNOWN)), (), Phase.ASKING, "not known who has it"),
    ("unknown, and it is ours", ASKING, LEADS, (Win(E),), Phase.MASTER, f"epoch {spelled(E)}"),
    ("unknown, and nobody has it", ASKING, FREE, (), Phase.SLAVE, "not known to have it"),
    ("unknown, and another has it", ASKING, HELD, (), Phase.SLAVE, "not known to have it"),
    ("unknown, ours, but of the epoch before", replace(ASKING, epoch=E), LEADS, (), Phase.SLAVE, "not known to have it"),
    ("unknown, the session has gone", replace(ASKING, session=9), LEADS, (), Phase.SLAVE, "has expired"),
    # -- master
    ("leads", MASTER, LEADS, (), Phase.MASTER, f"this node is master, epoch {spelled(E)}"),
    ("suspended", MASTER, replace(LEADS, connected=False), (), Phase.MASTER, "begins nothing new"),
    ("its time is over, connected or not", MASTER, replace(LEADS, connected=False, lease_until=NOW), (Lose("the lease was not renewed in time"),), Phase.SLAVE, "not renewed"),
    ("its time is over, and ZooKeeper still has it", MASTER, replace(LEADS, lease_until=NOW - 50), (Lose("the lease was not renewed in time"),), Phase.SLAVE, "not renewed"),
    ("another session", MASTER, replace(LEADS, session=12), (Lose("the session with ZooKeeper has expired"),), Phase.SLAVE, "expired"),
    ("the lease is gone", MASTER, replace(LEADS, holder=None), (Lose("the lease is gone from ZooKeeper"),), Phase.SLAVE, "gone"),
    ("another has it", MASTER, replace(LEADS, holder=Holder("AUDIO2", 22)), (Lose("AUDIO2 has the lease"),), Phase.SLAVE, "AUDIO2 has the lease"),
    ("a later epoch", MASTER, replace(LEADS, token=E + 1), (Lose(f"ZooKeeper's epoch is {spelled(E + 1)} and not {spelled(E)}"),), Phase.SLAVE, "epoch"),
    ("mode slave", MASTER, slave_mode(LEADS), (Retire("its mode is slave now"),), Phase.RETIRING, "its mode is slave now"),
    ("switchover to one that is here", MASTER, replace(LEADS, handover=Handover(E, "AUDIO", "AUDIO2")), (Retire("switchover to AUDIO2"),), Phase.RETIRING, "switchover to AUDIO2"),
    ("switchover to one that has gone", MASTER, replace(LEADS, others=(), handover=Handover(E, "AUDIO", "AUDIO2")), (), Phase.MASTER, "is master"),
    ("switchover to this node", MASTER, replace(LEADS, handover=Handover(E, "AUDIO2", "AUDIO")), (), Phase.MASTER, "is master"),
    ("the switchover by which it won", MASTER, replace(LEADS, handover=Handover(E - 1, "AUDIO2", "AUDIO")), (), Phase.MASTER, "is master"),
    ("steps down", MASTER, replace(LEADS, wish="its Asterisk is away"), (Retire("its Asterisk is away"),), Phase.RETIRING, "its Asterisk is away"),
    ("would step down, nobody is here", MASTER, replace(LEADS, others=(), wish="its Asterisk is away"), (), Phase.MASTER, "is master"),
    ("its disk takes no epoch", MASTER, replace(LEADS, barred="the disk is full"), (Retire("the disk is full"),), Phase.RETIRING, "full"),
    # -- retiring
    ("its work has ended", RETIRING, replace(LEADS, retired=True), (Release("AUDIO2", "an operator wants it"),), Phase.SLAVE, "given the lease back"),
    ("its work goes on", RETIRING, LEADS, (), Phase.RETIRING, "ends its work"),
    ("its work does not end", RETIRING, replace(LEADS, lease_until=NOW + 9), (), Phase.RETIRING, "ends its work"),
    ("its work has not ended in time", replace(RETIRING, retire_by=NOW), LEADS, (Release("AUDIO2", "an operator wants it", late=True),), Phase.SLAVE, "had not ended"),
    ("ZooKeeper away meanwhile", RETIRING, replace(LEADS, connected=False, retired=True), (), Phase.RETIRING, "does not answer"),
    ("lost meanwhile", RETIRING, replace(LEADS, holder=None), (Lose("the lease is gone from ZooKeeper"),), Phase.SLAVE, "gone"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "facts", "actions", "phase", "words"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])  # fmt: skip
def test_the_table(state: State, facts: Facts, actions: tuple[Action, ...], phase: Phase, words: str) -> None:
    decided = step(state, facts, T, NOW)
    assert decided.actions == actions
    assert decided.state.phase == phase
    assert words in decided.sentence


def test_each_phase_decides_whatever_the_facts() -> None:
    """Every rule of every phase is needed by the table, and no combination is left without a decision."""
    for phase in RULES:
        for facts in (
            FREE,
            HELD,
            STALE,
            LEADS,
            replace(FREE, connected=False),
            replace(LEADS, impostor=True),
        ):
            for session in (SESSION, 99):
                decided = step(State(phase, E, session), facts, T, NOW)
                assert decided.sentence


def test_a_won_lease_is_told_once() -> None:
    won = step(ASKING, replace(LEADS, answer=Answer(Outcome.WON, E)), T, NOW)
    assert won.actions == (Win(E),)
    assert step(won.state, LEADS, T, NOW).actions == ()


def test_a_race_that_was_lost_is_not_held_against_the_next() -> None:
    asked = step(State(), FREE, T, NOW).state
    lost = step(asked, replace(FREE, answer=Answer(Outcome.LOST)), T, NOW)
    assert step(lost.state, FREE, T, NOW + 1).actions == ()
    assert step(lost.state, replace(FREE, token=E + 1, highest=E + 1), T, NOW + 1).actions == (Ask(),)
    assert step(lost.state, FREE, T, NOW + T.hold_off).actions == (Ask(),)


def test_a_loss_is_told_once_and_remembered_for_a_minute() -> None:
    lost = step(MASTER, replace(LEADS, holder=None), T, NOW)
    assert lost.state == State(losses=(NOW,))
    later = step(lost.state, HELD, T, NOW + 59)
    assert later.state.losses == (NOW,)
    assert step(later.state, HELD, T, NOW + 61).state.losses == ()


def test_the_higher_one_is_waited_for_from_when_the_lease_was_free() -> None:
    facts = replace(FREE, others=(OTHER,))
    first = step(State(), facts, T, NOW)
    assert first.again_at == NOW + T.patience
    second = step(first.state, facts, T, NOW + 0.2)
    assert second.again_at == NOW + T.patience
    assert step(second.state, facts, T, NOW + T.patience).actions == (Ask(),)
    held = step(second.state, HELD, T, NOW + 0.3)
    assert held.state.free_since is None


def test_while_zookeeper_is_away_nobody_is_waited_for() -> None:
    """How long the lease was free meanwhile is not known."""
    waiting = step(State(), replace(FREE, others=(OTHER,)), T, NOW)
    away = step(waiting.state, replace(FREE, connected=False), T, NOW + 0.1)
    assert away.state.free_since is None
    back = step(away.state, replace(FREE, others=(OTHER,)), T, NOW + 60)
    assert back.again_at == NOW + 60 + T.patience


@pytest.mark.parametrize(
    ("state", "left", "role"),
    [(MASTER, 2.5, "master"), (RETIRING, 2.5, "master"), (MASTER, 0.0, "slave"), (SLAVE, None, "slave")],
)
def test_the_role_that_others_are_told(state: State, left: float | None, role: str) -> None:
    """A process that was frozen for longer than its lease is master no more, before it has looked."""
    assert state.role(left) == role


def test_a_master_is_looked_at_again_when_its_lease_ends() -> None:
    assert step(MASTER, replace(LEADS, connected=False), T, NOW).again_at == LEADS.lease_until


def test_the_retirement_of_a_mode_has_a_deadline() -> None:
    going = step(MASTER, slave_mode(LEADS), T, NOW)
    assert going.state.retire_by == going.again_at == NOW + 10
    facts = replace(slave_mode(LEADS), lease_until=NOW + 60)
    assert step(going.state, facts, T, NOW + 9.9).actions == ()
    assert step(going.state, facts, T, NOW + 10).actions == (Release("", going.state.why, late=True),)


def test_who_goes_first() -> None:
    order = [
        Member("Z", "master", 1),
        Member("B", "auto", 200),
        Member("A", "auto", 100),
        Member("AA", "auto", 100),
        Member("B", "auto", 100),
        Member("C", "auto", 1),
    ]
    assert sorted(order, key=rank, reverse=True) == order


def test_two_nodes_never_wait_for_each_other() -> None:
    """Of any two that may lead, one asks at once when the lease is free."""
    members = [Member(n, m, p) for n in ("A", "B") for m in ("auto", "master") for p in (1, 2)]  # type: ignore[arg-type]
    for one in members:
        for two in members:
            if one.name != two.name:
                asks = [
                    step(State(), replace(FREE, me=me, others=(other,)), T, NOW).actions
                    for me, other in ((one, two), (two, one))
                ]
                assert sorted(map(len, asks)) == [0, 1]
