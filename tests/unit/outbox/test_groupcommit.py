"""Line: who commits, and that the lead is always handed over."""

from __future__ import annotations

import pytest

from daemon.outbox.groupcommit import Line, Ticket
from tests.unit.outbox.make import message


def ticket(count: int = 1) -> Ticket:
    return Ticket([message(str(i)) for i in range(count)])


def commit_all(line: Line, limit: int = 2000) -> list[int]:
    """Stand in for a transaction: everything taken is stored; how many each ticket had."""
    sizes = []
    for taken in line.take(limit):
        taken.stored = len(taken.messages)
        taken.wake.set()
        sizes.append(len(taken.messages))
    return sizes


def keep(_: list[int]) -> None:
    """Nothing: a commit returns nothing."""


def test_alone_it_commits_itself_again_and_again() -> None:
    line = Line()
    for _ in range(3):
        own = ticket()
        line.pass_through(own, lambda _: keep(commit_all(line)))
        assert own.stored == 1


def test_a_commit_takes_so_many_messages_but_one_ticket_at_least() -> None:
    line = Line()
    seen: list[list[int]] = []

    def commit(_: Ticket) -> None:
        line._waiting += [ticket(3), ticket(4)]
        seen.append(commit_all(line, limit=5))
        seen.append(commit_all(line, limit=5))

    line.pass_through(ticket(9), commit)
    assert seen == [[9], [3]]


def test_the_next_in_line_is_woken_to_lead() -> None:
    line = Line()
    later = ticket()

    def commit(own: Ticket) -> None:
        own.stored = len(line.take(1))
        line._waiting.append(later)

    line.pass_through(ticket(), commit)
    assert later.leads
    assert later.wake.is_set()


def test_a_commit_that_fails_hands_over_too() -> None:
    line = Line()

    def commit(_: Ticket) -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        line.pass_through(ticket(), commit)
    own = ticket()
    line.pass_through(own, lambda _: keep(commit_all(line)))
    assert own.stored == 1
