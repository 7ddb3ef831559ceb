"""What the tests of the lab share: its recorded calls, its people, a day that is played."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import daemon.lab
from daemon.directory.definitions import assemble, parse_clients, parse_endpoints, parse_servers
from daemon.lab.people import Company, companies
from daemon.lab.play import Played
from daemon.lab.player import Player
from daemon.lab.scenery import stories as packaged
from daemon.lab.story import Story

DEFINITIONS = Path(daemon.lab.__file__).parent / "definitions"
MONDAY = 1_795_428_000.0  # 2026-11-23T10:00:00Z
APP = "arimonitor-LAB"


@cache
def stories() -> tuple[Story, ...]:
    return tuple(packaged())


def story(name: str) -> Story:
    return next(story for story in stories() if story.name == name)


@cache
def people() -> tuple[Company, ...]:
    directory, bad = assemble(
        parse_clients((DEFINITIONS / "__CLIENTES__.DEF").read_bytes()),
        parse_endpoints((DEFINITIONS / "endpoints_pjsip.def").read_bytes()),
        parse_servers((DEFINITIONS / "__MQSERVERS__.DEF").read_bytes()),
    )
    assert not bad
    return companies(directory)


def player(*, seed: int = 7, speed: float = 1.0, of: Sequence[Story] | None = None) -> Player:
    made = Player(of or stories(), people(), Random(seed), speed=speed)
    made.begin(MONDAY)
    return made


def day(played: Player, seconds: float) -> list[Played]:
    """What is played in so many seconds; then nothing new begins, and what was begun ends."""
    events = played.take(MONDAY + seconds)
    played.finish()
    while (due := played.next_due()) is not None:
        events += played.take(due)
    return events
