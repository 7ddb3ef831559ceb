"""The service that looks: while looks fail it still hears that it is to stop."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event, Thread
from typing import Any

import pytest

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


class Restarted:
    """ARI of an Asterisk that starts anew between two looks."""

    def __init__(self) -> None:
        self.seconds = 0

    def ping(self) -> str:
        return f"2025-10-27T08:00:{self.seconds + 9:02d}.000+0000"

    def endpoints(self) -> list[Any]:
        return []

    def get_info(self) -> Mapping[str, Any]:
        return {"status": {"startup_time": f"2025-10-27T08:00:{self.seconds:02d}.000+0000"}}


def test_a_restart_is_told_by_its_startup_time(caplog: pytest.LogCaptureFixture) -> None:
    ari = Restarted()
    looks = Looks(Looker("voip3", ari), hand=lambda look: None)
    looks.look()
    looks.look()
    assert "was restarted" not in caplog.text
    ari.seconds = 30
    looks.look()
    looks.look()
    assert caplog.text.count("voip3 was restarted 9 s ago: its calls were cut off") == 1
