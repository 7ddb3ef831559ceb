"""Who was master from when to when, as ZooKeeper has it; whom a node believed to be. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tests.system.faults.history import History, Said, Write

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Reign:
    """`node` held the lease from `begin` to `end`, under the epoch `token`. `order`: of the writes."""

    node: str
    token: int
    begin: float
    end: float
    order: tuple[int, int]
    order_end: tuple[float, float] = (FOREVER, FOREVER)


def reigns(history: History) -> list[Reign]:
    """By the writes of /lease and /epoch; where there are none (one host), by what the nodes said."""
    if not any(write.path == "/lease" for write in history.writes):
        return _by_words(history.said)
    found: list[Reign] = []
    tokens = {
        (write.life, write.zxid): write.token
        for write in history.writes
        if write.path == "/epoch" and write.token is not None
    }
    for write in history.writes:
        if write.path != "/lease":
            continue
        order = (write.life, write.zxid)
        if found and found[-1].end == FOREVER:
            found[-1] = replace(found[-1], end=write.at, order_end=order)
        if write.kind == "create":
            found.append(Reign(write.holder, tokens.get(order) or 0, write.at, FOREVER, order))
    return found


def _by_words(said: Iterable[Said]) -> list[Reign]:
    found: list[Reign] = []
    for word in sorted(said, key=lambda word: word.at):
        if word.role != "master" or (found and word.epoch <= found[-1].token):
            continue  # goes on, or is one that is over
        if found:
            found[-1] = replace(found[-1], end=word.asked)
        found.append(Reign(word.node, word.epoch, word.asked, FOREVER, (0, len(found))))
    return found


def holder_at(all_of_them: Iterable[Reign], at: float) -> Reign | None:
    """The last reign that had begun then, over or not: who may still do what was begun."""
    begun = [reign for reign in all_of_them if reign.begin <= at]
    return begun[-1] if begun else None


def holder_for(all_of_them: Iterable[Reign], write: Write) -> Reign | None:
    """The same in the order of ZooKeeper's writes, which no clock disturbs."""
    order = (write.life, write.zxid)
    begun = [reign for reign in all_of_them if reign.order <= order]
    return begun[-1] if begun else None


def believes(said: Said) -> bool:
    """Whether the node takes itself for the master, with a lease that counts."""
    return said.role == "master" and (said.lease_left is None or said.lease_left > 0)
