"""What is asked for, and what must have come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.jobs.model import ExtensionMoved, IpChecked, Record, RecordingsSent
from tests.servers.mails import mail
from tests.unit.simulator.machines import AFTER, BANNED, BEFORE, NEW, NEW_FILE, OLD, OLD_FILE
from tests.unit.simulator.site import PERSON, Site

TIME = "INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"


BOTH = {"AUDIO": ("audio", "s3"), "AUDIO2": ("s3",)}
"""The first is the master in the beginning; only it has recordings on its disk."""
OTHER = {"AUDIO": ("s3",), "AUDIO2": ("audio", "s3")}


Effect = Callable[[Site, Record], Iterator[str]]


@dataclass(frozen=True)
class Story:
    """One request. `effect` tells what is wrong with what it did. `file`: dropped into pending/, no mail.

    copies        so often the same mail comes
    away          so often the telephone server can't be reached at first
    cut           a node, and what it can't reach until all is healed
    opened        it was there before us; a person reads it when ZooKeeper loses its data
    confirmation  seconds until the place in the line is told
    serves        which recordings each node has, where there are two
    """

    name: str
    effect: Effect
    mail: bytes = b""
    file: bytes = b""
    file_name: str = "by-hand.json"
    kind: str = "result"
    state: str = "done"
    copies: int = 1
    away: int = 0
    cut: tuple[str, str] = ("", "")
    opened: bool = False
    confirmation: float = 1e9
    serves: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: BOTH)

    def is_of(self, record: Record) -> bool:
        """Whether the record is about this one."""
        if self.file:
            return record.request.request_id.startswith("by-hand")
        return record.request.message_id == f"<{self.name}@mail.example.com>"

    def begin(self, site: Site) -> None:
        """It comes."""
        if self.opened:
            site.mails.first_uid(1000)
        site.phones.away = max(site.phones.away, self.away)
        for _ in range(self.copies if self.mail else 0):
            site.mails.deliver(self.mail)
            site.came.append(self.mail)
        if self.file:
            pending = next(iter(site.hosts.values())).queue / "pending"
            pending.mkdir(parents=True, exist_ok=True)
            (pending / self.file_name).write_bytes(self.file)


def recordings(site: Site, record: Record) -> Iterator[str]:
    """They are published on the node whose link was sent, whole, under the request's name."""
    name, outcome = record.request.request_id, record.outcome
    if not isinstance(outcome, RecordingsSent):
        yield f"the outcome is {outcome}"
        return
    for host in site.hosts.values():
        told = outcome.bundle == f"https://{host.name.lower()}.example.com/r/{name}"
        there = [each for each in sorted(host.published) if each.startswith(f"{name}.")]
        if told and there != [f"{name}.json", f"{name}.zip"]:
            yield f"{host.name} has published {there}"


def let_out(site: Site, record: Record) -> Iterator[str]:
    """Out of the jail, once, and that is what was told."""
    if any(BANNED in ips for ips in site.phones.bans.values()) or site.phones.lifted != 1:
        yield f"bans: {site.phones.bans}, lifted {site.phones.lifted} times"
    outcome = record.outcome
    if not isinstance(outcome, IpChecked) or [j.name for j in outcome.jails if j.lifted] != ["asterisk"]:
        yield f"the outcome is {outcome}"


def moved(site: Site, record: Record) -> Iterator[str]:
    """The new phone's file is there, the old one's kept under the request's name, and that was told."""
    if site.phones.files != {f"{OLD_FILE}.bak-{record.request.request_id}": BEFORE, NEW_FILE: AFTER}:
        yield f"the phones' files: {site.phones.files}"
    if not isinstance(record.outcome, ExtensionMoved):
        yield f"the outcome is {record.outcome}, {record.failure}"


def nothing(site: Site, record: Record) -> Iterator[str]:
    """No effect at all."""
    name = record.request.request_id
    if any(name in each for host in site.hosts.values() for each in host.published):
        yield "something was published"


_PARAMETERS = {"ramais": "1121", "inicio": "27/10/2025 08:00", "fim": "28/10/2025 18:00"}
_FILE = json.dumps({"from_email": PERSON, "parameters": _PARAMETERS}).encode()
_NAMED = json.dumps({"request_id": "by-hand", "from_email": PERSON, "parameters": _PARAMETERS}).encode()
_MOVE = f"MACCHANGE=1121 MACATUAL={OLD} MACFUTURO={NEW} SERVER=gv1p"


def _story(name: str, effect: Effect, subject: str, **more: Any) -> Story:
    return Story(name, effect, mail(subject, ident=name), **more)


_RAMAIS = f"RAMAIS=1121 {TIME}"
_PEERS = {"serves": OTHER}
STORIES = {
    story.name: story
    for story in (
        _story("here", recordings, _RAMAIS),
        _story("peers", recordings, _RAMAIS, **_PEERS),
        _story("s3", recordings, f"{_RAMAIS} AUDIOS_FROM=s3"),
        _story("checkip", let_out, f"CHECKIP={BANNED} SERVER=gv1p"),
        _story("macchange", moved, _MOVE),
        _story("refusal", nothing, "RAMAIS=1121", kind="refused", state="failed"),
        _story("help", nothing, "AJUDA", kind="help"),
        Story("dropped", recordings, file=_FILE),
        Story("dropped-peers", recordings, file=_FILE, **_PEERS),
        Story("renamed", recordings, file=_NAMED, file_name="my file.json", **_PEERS),
        _story("twice", recordings, _RAMAIS, copies=2),
        _story("cut", recordings, _RAMAIS, cut=("AUDIO2", "imap")),
        _story("opened", recordings, _RAMAIS, opened=True),
        _story("later", let_out, f"CHECKIP={BANNED} SERVER=gv1p", away=1),
        _story("confirmed", recordings, _RAMAIS, confirmation=0.0),
    )
}
"""By name. What the peer serves makes a difference on two nodes only."""

_FOR_TWO = ("s3", "cut", "opened")
ALONE = tuple(name for name, story in STORIES.items() if story.serves is BOTH and name not in _FOR_TWO)
PAIRS = tuple(name for name in STORIES if name not in ("twice", "opened"))
