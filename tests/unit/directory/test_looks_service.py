"""The service that looks: while looks fail it still hears that it is to stop."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event, Thread
from typing import Any

from daemon.ari.rest import AriUnavailable
from daemon.directory.looker import Looker
from daemon.directory.looks import Looks


class NoAsterisk:
    """ARI that does not answer."""

    def __init__(self) -> None:
        self.asked = Event()

    def ping(self) -> str:
        self.asked.set()
        raise AriUnavailable("nobody answers")

    def endpoints(self) -> list[Any]:
        raise AssertionError("not after a ping without an answer")

    def get_info(self) -> Mapping[str, Any]:
        raise AssertionError("not after a ping without an answer")


def test_it_stops_between_two_tries() -> None:
    ari = NoAsterisk()
    looks = Looks(Looker("voip3", ari), hand=lambda look: None)
    stop = Event()
    thread = Thread(target=looks.run, args=(stop,), daemon=True)
    thread.start()
    looks.want()
    assert ari.asked.wait(10)
    stop.set()
    thread.join(10)  # what the supervisor waits before it kills
    assert not thread.is_alive()
    assert looks.status() == {
        "looks": 0,
        "error": "nobody answers",
        "addresses": "",
    }
