"""What an operator asks of the election: is it possible, and how is it said to the other nodes."""

from __future__ import annotations

import time
from collections.abc import Callable

from ha.board import Board
from ha.codec import Handover
from ha.election import rank
from ha.errors import BadVersion, CommandRefused, NodeExists, NoNode
from ha.keeper import Keeper
from ha.lease import spelled

_PATIENCE = 15.0  # seconds: a master has ten to end its work
WaitForMaster = Callable[[str, int, float], int | None]


def switchover(board: Board, keeper: Keeper, to: str | None, wait: WaitForMaster, timeout: float) -> str:
    """Ask the master, whichever node that is, to give the lease to `to`; wait for it, and say what came.

    Raises CommandRefused or Unreachable.
    """
    holder, epoch, here = board.holder(), keeper.epoch(timeout), board.here()
    if holder is None or epoch is None:
        raise CommandRefused("nobody is master at this moment: there is nothing to switch over")
    able = [each for each in here if each.name != holder.name and each.mode != "slave"]
    if to is None:
        if not able:
            raise CommandRefused("no other node is here that could be master")
        to = max(able, key=rank).name
    elif to == holder.name:
        raise CommandRefused(f"{to} is master already")
    elif to not in {each.name for each in here}:
        raise CommandRefused(f"{to} is not here: `nodes` lists those that are")
    elif to not in {each.name for each in able}:
        raise CommandRefused(f"the mode of {to} is slave: it never becomes master")
    began = time.monotonic()
    handover = Handover(epoch.token, holder.name, to, "an operator wants it")
    keeper.leave_for(handover, timeout)
    won = wait(to, epoch.token, _PATIENCE)
    if won is None:
        keeper.withdraw(handover, timeout)  # a master that is back later shall not follow it then
        raise CommandRefused(
            f"{to} has not become master within {_PATIENCE:g} s: `role` and `history` tell how it stands"
        )
    took = time.monotonic() - began
    return f"{to} is master in place of {holder.name}, epoch {spelled(won)}, after {took:.1f} s"


def may_step_down(leads: bool, name: str, board: Board) -> None:
    """Raises CommandRefused where this node is not master, or nobody could take over."""
    if not leads:
        raise CommandRefused("this node is not master")
    if not any(
        each.here and each.member.name != name and each.member.mode != "slave" for each in board.members()
    ):
        raise CommandRefused("no other node is here that could be master")


def adopt(keeper: Keeper, highest: int, timeout: float) -> int:
    """The new epoch, above `highest`. Raises CommandRefused where there is nothing to adopt."""
    found = keeper.epoch(timeout)
    if found is not None and found.token >= highest:
        raise CommandRefused(
            f"there is nothing to adopt: ZooKeeper's epoch {spelled(found.token)} is not lower than"
            f" {spelled(highest)}, the highest that this node has seen"
        )
    try:
        return keeper.adopt(highest, timeout)
    except (BadVersion, NodeExists, NoNode) as error:
        raise CommandRefused("another node was faster: `role` tells how it stands") from error
