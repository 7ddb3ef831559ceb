"""Whether a master that lost an Asterisk should hand over to a node that still sees it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

DEAD_AFTER = 3.0
"""Seconds that the connection to an Asterisk may be gone before somebody else should be master."""
HOLD_OFF = 60.0
"""Seconds that a node is master before it hands over for this reason."""


def connections(facts: Mapping[str, object]) -> Mapping[str, bool]:
    """What a node says of its Asterisks: name to connected. Nothing of what can't be understood."""
    told = facts.get("asterisk")
    return {str(name): each is True for name, each in told.items()} if isinstance(told, Mapping) else {}


def better_there(
    mine: Mapping[str, float | None], theirs: Mapping[str, bool], master_for: float
) -> str | None:
    """Why that node should be master, in one sentence; None: it should not.

    `mine` has each Asterisk that both nodes watch, and for how long (s) its connection is gone, None
    where it lives; `theirs` whether that node is connected to it. `master_for` is how long this node
    is master. Only a node that sees more than this one is better: two that each see another Asterisk
    would hand over to and fro.
    """
    if master_for < HOLD_OFF:
        return None
    both = mine.keys() & theirs.keys()
    gained = sorted(name for name in both if (mine[name] or 0.0) > DEAD_AFTER and theirs[name])
    dead_here = sum(mine[name] is not None for name in both)
    dead_there = sum(not theirs[name] for name in both)
    if not gained or dead_there >= dead_here:
        return None
    longest = max(mine[name] or 0.0 for name in gained)
    return f"the connection to {', '.join(gained)} is gone for {longest:.0f} s, and that node has it"
