"""Which services run when, by a real supervisor and services that only say what happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from threading import Event

import pytest

from daemon.errors import TransientError
from daemon.roles import TABLE, Roles, when
from daemon.runtime.supervisor import Supervisor
from tests.servers.waiting import wait_until


class Spoken:
    """What happened, in order."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, word: str) -> None:
        self.words.append(word)


class Worker:
    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name = name
        self._say = say

    def run(self, stop: Event) -> None:
        self._say(f"+{self.name}")
        stop.wait()
        self._say(f"-{self.name}")

    def status(self) -> Mapping[str, object]:
        return {}


class Site:
    """A node whose election is the test."""

    def __init__(self) -> None:
        self.say = Spoken()
        self.is_valid = True
        self.trouble = 0
        self.supervisor = Supervisor()
        self.roles = Roles(
            self.supervisor, self, valid=lambda: self.is_valid, retired=lambda: self.say("retired")
        )
        self.roles.add(self.roles)
        for name in ("queue", "marks", "publisher mq", "pruner", "mail"):
            self.roles.keep(name, lambda name=name: Worker(name, self.say))

    def take_over(self, epoch: int) -> None:
        if self.trouble:
            self.trouble -= 1
            self.say("no answer")
            raise TransientError("no answer")
        self.say(f"take over {epoch}")

    def hand_over(self) -> None:
        self.say("hand over")

    def begin(self) -> None:
        self.supervisor.start()

    def said(self, *words: str) -> None:
        """Exactly these, within the deadline."""
        wait_until(lambda: len(self.say.words) >= len(words), f"{words} are said")
        assert self.say.words == list(words)
        self.say.words.clear()


@pytest.fixture
def site() -> Site:
    made = Site()
    yield made
    made.supervisor.stop()


def test_every_service_is_in_the_table() -> None:
    assert when("publisher mq") == when("publisher [file]") == "master"
    assert when("own-publisher mq (own)") == when("queue-commands") == when("monitor-voip3") == "any"
    assert {name for name, role in TABLE.items() if role == "slave"} == {"pruner"}
    with pytest.raises(KeyError, match="clicks"):
        when("clicks")


def test_a_slave_becomes_master_and_slave_again(site: Site) -> None:
    site.begin()
    site.said("+queue", "+pruner")
    site.roles.won(7)
    site.said("-pruner", "take over 7", "+marks", "+publisher mq", "+mail")
    assert site.roles.role == "master"
    site.roles.lost("ZooKeeper is silent")
    site.said("-mail", "-publisher mq", "-marks", "+pruner")
    assert site.roles.role == "slave"


def test_retiring_ends_the_way_in_first_and_hands_over_while_the_way_out_still_runs(site: Site) -> None:
    site.begin()
    site.said("+queue", "+pruner")
    site.roles.won(7)
    site.said("-pruner", "take over 7", "+marks", "+publisher mq", "+mail")
    site.roles.retire("switchover to AUDIO")
    site.said("-mail", "hand over", "-publisher mq", "-marks", "retired", "+pruner")


def test_what_can_not_be_taken_over_yet_is_tried_again_and_nothing_is_published_before(site: Site) -> None:
    site.begin()
    site.said("+queue", "+pruner")
    site.trouble = 2
    site.roles.won(8)
    site.said(
        "-pruner",
        "no answer",
        "no answer",
        "take over 8",
        "+marks",
        "+publisher mq",
        "+mail",
    )


def test_a_lease_that_ended_meanwhile_begins_nothing(site: Site) -> None:
    site.begin()
    site.said("+queue", "+pruner")
    site.is_valid = False
    site.roles.won(9)
    site.roles.lost("it was too short")
    site.said("-pruner", "take over 9", "+pruner")
    assert site.roles.role == "slave"


def test_leaving_is_retiring(site: Site) -> None:
    site.begin()
    site.roles.won(7)
    wait_until(lambda: site.roles.role == "master", "it is master")
    wait_until(lambda: "+mail" in site.say.words, "all runs")
    site.say.words.clear()
    site.roles.leave(10.0)
    assert site.say.words[:3] == ["-mail", "hand over", "-publisher mq"]
    assert "retired" in site.say.words


def test_one_host_is_master_from_the_first_moment_on() -> None:
    say = Spoken()
    roles = Roles(Supervisor(), Site(), valid=lambda: True, retired=threading.Event().set)
    roles.begin_as("master")
    roles.keep("publisher mq", lambda: Worker("publisher mq", say))
    roles.keep("pruner", lambda: Worker("pruner", say))
    assert roles.role == "master"


def test_one_that_is_replaced_ends_and_begins_anew(site: Site) -> None:
    """A message server that has moved."""
    site.begin()
    site.roles.won(7)
    wait_until(lambda: "+mail" in site.say.words, "all runs")
    site.say.words.clear()
    site.roles.forget("publisher mq")
    site.roles.keep("publisher mq", lambda: Worker("publisher mq", lambda word: site.say(word + " moved")))
    site.said("-publisher mq", "+publisher mq moved")
