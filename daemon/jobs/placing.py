"""Which node has to carry a request out, and which one can where that node is lost. Pure.

    recordings on a machine's disk   the node that serves "audio"
    recordings in a bucket           this node, if it serves "s3", else one that does
    commands over SSH                the node that accepted it

Never who happens to be the master. Of several, those that are here come
first, then by name, so that all nodes answer alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from daemon.jobs.model import Request
from ha.model import Seen

SERVES = "serves"
"""The key of a member's facts: the kinds of recordings that it can give, "audio" and "s3"."""
AUDIO, S3 = "audio", "s3"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster. `here`: it is alive; `since` (UTC s) when that changed last."""

    name: str
    here: bool = True
    serves: frozenset[str] = frozenset()
    since: float = 0.0


def nodes_of(
    me: str, serves: Collection[str], members: Iterable[Seen], peers: Mapping[str, str]
) -> tuple[Node, ...]:
    """This node, the members, and what the configuration says of those that nobody has seen yet.

    `peers`: the names of [[peer]] with their audios_from.
    """
    found = {name: Node(name, here=False, serves=frozenset({source})) for name, source in peers.items()}
    for seen in members:
        told = seen.member.facts.get(SERVES)
        known = found.get(seen.member.name, Node(seen.member.name))
        served = frozenset(map(str, told)) if isinstance(told, list | tuple) else known.serves
        found[seen.member.name] = Node(seen.member.name, seen.here, served, seen.since)
    found[me] = Node(me, here=True, serves=frozenset(serves))
    return tuple(found[name] for name in sorted(found))


def owner_of(request: Request, nodes: Sequence[Node], me: str) -> Node:
    """Who has to do it, here or not. `me` where nobody can: its refusal tells the requester."""
    by_name = {node.name: node for node in nodes}
    mine = by_name.get(me, Node(me))
    source = _source(request)
    if not source:
        accepted = by_name.get(request.accepted_by, mine)
        return accepted if accepted.here else mine
    if source == S3 and S3 in mine.serves:
        return mine
    return min((node for node in nodes if source in node.serves), key=_first, default=mine)


def heir_of(request: Request, nodes: Sequence[Node], me: str, lost: str) -> Node | None:
    """Who can do it in place of a lost node; None: it has to wait for that one."""
    others = [node for node in nodes if node.name != lost and node.here]
    source = _source(request)
    can = others if not source else [node for node in others if source in node.serves]
    return min(can, key=lambda node: (node.name != me, node.name), default=None)


def _source(request: Request) -> str:
    """Which kind of recordings it needs; "": none, it is a command."""
    return (request.audios_from or AUDIO) if request.command == "RAMAIS" else ""


def _first(node: Node) -> tuple[bool, str]:
    return (not node.here, node.name)
