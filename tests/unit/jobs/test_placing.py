"""Where a request is carried out: tables over requests and nodes, and who can do it when a node is lost."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.jobs.model import Request
from daemon.jobs.placing import Node, heir_of, nodes_of, owner_of
from ha.model import Member, Seen

AUDIO = frozenset({"audio"})
S3 = frozenset({"s3"})
BOTH = AUDIO | S3


def request(command: str = "RAMAIS", source: str = "audio", by: str = "A") -> Request:
    return Request("r", command, "p@example.com", {}, audios_from=source, accepted_by=by)  # type: ignore[arg-type]


def nodes(**served: Any) -> tuple[Node, ...]:
    """`a=AUDIO`: here; `b=(S3, False)`: away."""
    return tuple(
        Node(name.upper(), *((what[1], what[0]) if isinstance(what, tuple) else (True, what)))
        for name, what in served.items()
    )


AUDIO_ONLY, S3_ONLY, COMMAND = request(), request(source="s3"), request("CHECKIP", "")

OWNERS = [
    # the request, the nodes, who asks, who has to do it
    (AUDIO_ONLY, nodes(a=AUDIO, b=S3), "A", "A"),
    (AUDIO_ONLY, nodes(a=S3, b=AUDIO), "A", "B"),
    (AUDIO_ONLY, nodes(a=S3, b=(AUDIO, False)), "A", "B"),
    (AUDIO_ONLY, nodes(a=AUDIO, b=AUDIO), "B", "A"),
    (AUDIO_ONLY, nodes(a=(AUDIO, False), b=AUDIO), "B", "B"),
    (AUDIO_ONLY, nodes(a=(AUDIO, False), b=S3, c=AUDIO), "B", "C"),
    (AUDIO_ONLY, nodes(a=S3, b=S3), "A", "A"),
    (request(source=""), nodes(a=S3, b=AUDIO), "A", "B"),
    (S3_ONLY, nodes(a=AUDIO, b=S3), "A", "B"),
    (S3_ONLY, nodes(a=BOTH, b=S3), "A", "A"),
    (S3_ONLY, nodes(a=BOTH, b=S3), "B", "B"),
    (S3_ONLY, nodes(a=AUDIO, b=(S3, False), c=S3), "A", "C"),
    (S3_ONLY, nodes(a=AUDIO, b=(S3, False)), "A", "B"),
    (COMMAND, nodes(a=AUDIO, b=S3), "A", "A"),
    (COMMAND, nodes(a=AUDIO, b=S3), "B", "A"),
    (COMMAND, nodes(a=(AUDIO, False), b=S3), "B", "B"),
    (COMMAND, nodes(b=S3), "B", "B"),
    (AUDIO_ONLY, (), "A", "A"),
]


@pytest.mark.parametrize(("asked", "known", "me", "owner"), OWNERS)
def test_who_has_to_do_it(asked: Request, known: tuple[Node, ...], me: str, owner: str) -> None:
    assert owner_of(asked, known, me).name == owner
    assert owner_of(asked, known[::-1], me).name == owner, "the order of the nodes says nothing"


HEIRS = [
    # the request, the nodes, who asks, who is lost, who can do it instead
    (AUDIO_ONLY, nodes(a=(AUDIO, False), b=S3), "B", "A", None),
    (AUDIO_ONLY, nodes(a=(AUDIO, False), b=BOTH), "B", "A", "B"),
    (AUDIO_ONLY, nodes(a=(AUDIO, False), b=S3, c=AUDIO), "B", "A", "C"),
    (S3_ONLY, nodes(a=(BOTH, False), b=S3), "B", "A", "B"),
    (S3_ONLY, nodes(a=(BOTH, False), b=AUDIO), "B", "A", None),
    (S3_ONLY, nodes(a=(BOTH, False), b=S3, c=S3), "C", "A", "C"),
    (COMMAND, nodes(a=(AUDIO, False), b=AUDIO), "B", "A", "B"),
    (COMMAND, nodes(a=(AUDIO, False), b=(S3, False), c=S3), "C", "A", "C"),
    (COMMAND, nodes(a=AUDIO, b=AUDIO), "B", "A", "B"),
]


@pytest.mark.parametrize(("asked", "known", "me", "lost", "heir"), HEIRS)
def test_who_can_do_it_instead(
    asked: Request, known: tuple[Node, ...], me: str, lost: str, heir: str | None
) -> None:
    found = heir_of(asked, known, me, lost)
    assert (found.name if found else None) == heir


def test_members_know_better_than_the_configuration() -> None:
    members = [
        Seen(Member("B", facts={"serves": ["s3"]}), here=False, since=5.0),
        Seen(Member("C", facts={}), here=True, since=1.0),
        Seen(Member("A", facts={"serves": ["s3"]}), here=False, since=1.0),
    ]
    found = nodes_of("A", ("audio",), members, {"B": "audio", "C": "audio", "D": "s3"})
    assert found == (
        Node("A", here=True, serves=AUDIO),
        Node("B", here=False, serves=S3, since=5.0),
        Node("C", here=True, serves=AUDIO, since=1.0),
        Node("D", here=False, serves=S3),
    )
