"""Calls on real Asterisks 22 and 16 through a real daemon give exactly the messages of EXPECTED.txt.

All Asterisks play at the same time, each its share of the stories, and one daemon watches them all:
of each version with `channelvars` set in Asterisk, and as a site that has none.
"""

from __future__ import annotations

import copy
import os
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.calls.model import Ended
from tests.servers.asterisk import play  # noqa: F401 - enters the scenarios
from tests.servers.asterisk.bed import CHANNELVARS, SCENARIOS, STORY_FAILURES, Bed
from tests.servers.asterisk.own import own_asterisk
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.waiting import wait_until
from tests.system import told
from tests.system.long import LONG
from tests.system.sites import real
from tests.unit.calls import expectations as ex
from tests.unit.calls import test_tracker_cdr as cdr

pytestmark = [pytest.mark.asterisk]

TABLE = ex.expectations((ex.TRACES / "EXPECTED.txt").read_text(encoding="utf-8"))
# Three parts of about 45 s each.
SHORT = (
    ("no-answer", "blind-transfer", "queue-answered", "ring-group", "through-local", "cancelled",
     "trunk-out-busy"),
    ("attended-transfer", "park-and-fetch", "confbridge", "answered", "pickup", "declined", "busy"),
    (
        "queue-timeout", "ivr-then-dial", "click-to-call", "trunk-in", "dtmf", "forward-302",
        "to-application", "unavailable", "unknown-number",
    ),
)  # fmt: skip
SHARES = 3


def shares() -> tuple[tuple[str, ...], ...]:
    """The stories, in as many parts as there are Asterisks of a kind. ARIMONITOR_STORIES: these only."""
    if chosen := os.environ.get("ARIMONITOR_STORIES"):
        return (tuple(chosen.split(",")),)
    if not LONG:
        return SHORT
    names = [name for name, scenario in SCENARIOS.items() if scenario.calls and (name, "linkedid") in TABLE]
    return tuple(tuple(names[number::SHARES]) for number in range(SHARES))


# Which of the two was the faster is decided anew each time: either outcome is a right one.
EITHER = {
    "cancel-at-answer": ("cancel-at-answer", "cancel-after-answer"),
    "cancel-after-answer": ("cancel-at-answer", "cancel-after-answer"),
}
KINDS = [f"{version}-{vars_}" for version in ("22", "16") for vars_ in ("channelvars", "plain")]
STORIES = [name for share in shares() for name in share]


class Watching:
    """In place of a recorder: a story in which Asterisk restarts waits until the daemon is back."""

    def __init__(self, daemon: ArimonitorDaemon, name: str) -> None:
        self._daemon, self._name = daemon, name
        self.connected = self

    def is_set(self) -> bool:
        return bool(self._daemon.asterisk(self._name)["connected"])


@dataclass
class Part:
    """One Asterisk and what it plays. `spans`: when (seconds since the epoch) each story began and ended."""

    kind: str
    name: str
    stories: tuple[str, ...]
    server: Asterisk
    bed: Bed | None = None
    daemon: ArimonitorDaemon | None = None
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def start(self, work: Path) -> None:
        self.bed = Bed(self.server, work, CHANNELVARS if self.kind.endswith("channelvars") else None)

    def play(self) -> None:
        bed, daemon = self.bed, self.daemon
        assert bed is not None
        assert daemon is not None
        bed.recorders = [Watching(daemon, self.name)]  # type: ignore[list-item]
        for story in self.stories:
            began = time.time() - 0.002  # creation times are cut off to the millisecond
            try:
                bed.rest()
                SCENARIOS[story].play(bed)
                self.server.idle()
            except STORY_FAILURES:
                self.failed[story] = traceback.format_exc(limit=-4)
            self.spans[story] = (began, time.time())

    @property
    def expected(self) -> int:
        """Calls that its stories make."""
        return sum(len(TABLE[story, "linkedid"]) for story in self.stories)


@dataclass
class Played:
    """Everything that was played, and everything that was told."""

    parts: dict[tuple[str, str], Part]
    messages: dict[str, list[dict[str, Any]]]
    rows: dict[str, dict[str, list[dict[str, str]]]]

    def of(self, kind: str, story: str) -> tuple[Part, list[dict[str, Any]]]:
        """The Asterisk that played a story, and the messages of the story's calls."""
        part = self.parts[kind, story]
        assert story not in part.failed, f"the story itself failed: {part.failed[story]}"
        began, ended = part.spans[story]
        found = [
            message
            for message in self.messages[part.name]
            if began * 1000 <= told.millis(message["data"]["creationtime"]) <= ended * 1000
        ]
        return part, found


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    work = tmp_path_factory.mktemp("live")
    with ExitStack() as stack:
        parts = []
        for kind in KINDS:
            version = kind.partition("-")[0]
            for number, stories in enumerate(shares()):
                name = f"{kind}-{number}"
                server = stack.enter_context(own_asterisk(version, work / name))
                parts.append(Part(kind, name, stories, server))
        _at_once([threading.Thread(target=part.start, args=(work,)) for part in parts])
        assert all(part.bed for part in parts), "not every Asterisk has started"
        daemon = ArimonitorDaemon(
            work / "daemon",
            {
                "node": {"name": "LIVE"},
                "asterisk": [real(part.server, part.name) for part in parts],
                "mq": {"backend": "file"},
            },
        )
        with daemon:
            daemon.connected()
            for part in parts:
                part.daemon = daemon
            _at_once([threading.Thread(target=part.play) for part in parts])
            wanted = sum(part.expected for part in parts)
            try:
                wait_until(lambda: _ended(daemon) >= wanted, f"{wanted} calls have ended")
                daemon.settled()
            except AssertionError as error:
                print(error)  # which of them is what the tests say
        messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in daemon.messages():
            if "call" in line["body"]["data"]:
                messages[line["headers"]["server"]].append(line["body"])
        rows = {part.name: _rows(part.server, work) for part in parts}
        yield Played({(p.kind, story): p for p in parts for story in p.stories}, messages, rows)


def _at_once(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ended(daemon: ArimonitorDaemon) -> int:
    return sum(line["type"] == "ended-call" for line in daemon.messages())


def _rows(server: Asterisk, work: Path) -> dict[str, list[dict[str, str]]]:
    path = work / "cdr.csv"
    path.write_text("".join(row + "\n" for row in server.cdr_rows()), encoding="utf-8")
    by_uniqueid: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in cdr.rows(path):
        by_uniqueid[row["uniqueid"]].append(row)
    return by_uniqueid


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("kind", KINDS)
def test_story(played: Played, kind: str, story: str) -> None:
    part, messages = played.of(kind, story)
    for message in messages:
        told.validate(message)
        assert message["operation"]["server"] == part.name
    facts = [told.fact(message) for message in messages]
    # How long it really was, the CDR tells below.
    found = [
        list(ex.differences(_written(each, kind), facts, longer=5)) for each in EITHER.get(story, (story,))
    ]
    assert [] in found, found
    for fact in facts:
        if isinstance(fact, Ended) and not fact.recovered:
            _agrees_with_the_cdr(story, fact, played.rows[part.name][fact.call])


def _written(story: str, kind: str) -> list[ex.ExpectedCall]:
    """What EXPECTED.txt says of a story, live on such an Asterisk."""
    calls = TABLE[story, "linkedid"]
    if story == "originate-app" and kind.endswith("channelvars"):
        # Only a ChannelVarset names that application, and these are not asked for here.
        calls = copy.deepcopy(calls)
        for line in calls[0].lines:
            if line[0] == "answered":
                line[-1] = None  # type: ignore[call-overload]
    return calls


def _agrees_with_the_cdr(story: str, fact: Ended, rows: list[dict[str, str]]) -> None:
    answered = [row for row in rows if row["disposition"] == "ANSWERED"]
    row = max(answered or rows, key=lambda row: int(row["duration"]))
    if story not in cdr.WORD_DIFFERS:
        assert fact.disposition.replace("CANCEL", "NO ANSWER") == row["disposition"]
    if story not in cdr.LENGTH_DIFFERS:
        assert abs(fact.duration - int(row["duration"])) <= 1
        assert abs(fact.billsec - int(row["billsec"])) <= 1


def test_every_id_is_one_fact(played: Played) -> None:
    ids = [message["operation"]["id"] for messages in played.messages.values() for message in messages]
    assert len(ids) == len(set(ids))


def test_nothing_else_is_told(played: Played) -> None:
    """Every message belongs to a call of a story."""
    of_stories = {
        message["operation"]["id"] for kind, story in played.parts for message in played.of(kind, story)[1]
    }
    everything = {message["operation"]["id"] for messages in played.messages.values() for message in messages}
    assert everything == of_stories
