"""A Listener to a fake Asterisk, and one who takes what it reads, for the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from daemon.ari.address import Address
from daemon.ari.inbox import Batch, Inbox, Lost, Mark
from daemon.ari.listener import Listener
from daemon.ari.session import ListenerOptions
from daemon.runtime.backoff import Backoff
from daemon.runtime.service import Service
from tests.servers.fake_ari import FakeAri
from tests.servers.waiting import DEADLINE, wait_until

CREATED = {"type": "ChannelCreated", "channel": {"id": "1.1", "name": "PJSIP/1013010-00000001"}}
NAMED = {
    "type": "ChannelCreated",
    "channel": {"id": "1.1", "channelvars": {"CHANNEL(linkedid)": "1.1", "MIXMONITOR_FILENAME": ""}},
}
VARSET = {"type": "ChannelVarset", "variable": "X", "value": "1", "channel": {"id": "1.1"}}


@pytest.fixture
def fake() -> Iterator[FakeAri]:
    with FakeAri() as server:
        yield server


def options_for(fake: FakeAri, **changes: object) -> ListenerOptions:
    options = ListenerOptions(
        Address.parse(fake.url), "monitor", "secret", "mon-A", check_after=0.2, check_every=0.2
    )
    return replace(options, **changes)  # type: ignore[arg-type]


def quick() -> Backoff:
    return Backoff(first=0.01, factor=1.5, cap=0.05)


@contextmanager
def running(*services: Service) -> Iterator[threading.Event]:
    stop = threading.Event()
    threads = [threading.Thread(target=s.run, args=(stop,), name=s.name, daemon=True) for s in services]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        assert not any(thread.is_alive() for thread in threads)


class Taker:
    """Takes from an inbox what comes, in order."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.frames: list[bytes] = []
        self.marks: list[Mark] = []

    def until(self, condition: Callable[[], object], what: str) -> None:
        def look() -> object:
            while (item := self.inbox.get(0)) is not None:
                if isinstance(item, Batch):
                    self.frames += item.frames
                else:
                    self.marks.append(item)
            return condition()

        wait_until(look, what)

    def until_lost(self, number: int = 1) -> Lost:
        self.until(lambda: len(self.lost()) >= number, f"mark Lost {number}")
        return self.lost()[number - 1]

    def lost(self) -> list[Lost]:
        return [mark for mark in self.marks if isinstance(mark, Lost)]


def listener_and_taker(
    fake: FakeAri, inbox: Inbox | None = None, **changes: object
) -> tuple[Listener, Taker]:
    inbox = inbox or Inbox()
    return Listener("pbx", options_for(fake, **changes), inbox, backoff=quick()), Taker(inbox)
