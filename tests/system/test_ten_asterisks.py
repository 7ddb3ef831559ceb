"""Ten Asterisks on one daemon, one of them misbehaving in every way: the other nine are complete."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ari import FakeAri
from tests.servers.waiting import DEADLINE, wait_until
from tests.system.played import Load, Playing
from tests.system.sites import asterisk, config, has_told

pytestmark = [pytest.mark.heavy]

FAULTS = ("drop", "garbage", "hang", "503", "drip", "endless", "reset")


def misbehave(fake: FakeAri, stop: threading.Event) -> None:
    """Accepts and resets, sends what is no frame, closes, refuses, hangs: one after the other, on and on."""
    number = 0
    while not stop.wait(0.1):
        number += 1
        fake.faults.handshake = FAULTS[number % len(FAULTS)] if number % 2 else "ok"
        fake.faults.rest = {"/channels": FAULTS[number % len(FAULTS)]}
        for session in list(fake.sessions):
            if session.closed.is_set():
                continue
            try:
                session.send(b"garbage", {"type": 5}, {"type": "ChannelCreated", "channel": 7})
                if number % 3 == 0:
                    session.abort()
                elif number % 3 == 1:
                    session.raw(b"\xff" * 100_000)
                else:
                    session.close(1011, b"for no reason")
            except OSError:
                continue


def test_one_misbehaves(tmp_path: Path) -> None:
    with ExitStack() as stack:
        fakes = [stack.enter_context(FakeAri()) for _ in range(10)]
        bad, stop = fakes[4], threading.Event()
        quick = {"connect_timeout": 1.0, "request_timeout": 1.0}
        entries = [
            asterisk(fake, f"pabx{number}", **(quick if fake is bad else {}))
            for number, fake in enumerate(fakes)
        ]
        daemon = stack.enter_context(ArimonitorDaemon(tmp_path / "site", config(entries)))
        daemon.connected()
        stack.callback(stop.set)
        trouble = threading.Thread(target=misbehave, args=(bad, stop), daemon=True)
        trouble.start()
        good = {number: Playing(fake) for number, fake in enumerate(fakes) if fake is not bad}
        loads = [stack.enter_context(Load(playing, rate=10)) for playing in good.values()]
        wait_until(lambda: all(load.calls >= 60 for load in loads), "60 calls each have begun")
        wait_until(lambda: len(bad.sessions) > 3, "the bad one was tried again and again")
        for load in loads:
            load.finish()
        for number, playing in good.items():
            has_told(daemon, playing.expected(), f"pabx{number}")
        status = {each["name"]: each for each in daemon.status()["asterisk"]}
        for number in good:
            assert status[f"pabx{number}"]["connected"]
            assert status[f"pabx{number}"]["gaps"] == 0
            assert len(fakes[number].sessions) == 1
        daemon.says("lost pabx4")
        # Once it behaves it is used as the others are.
        stop.set()
        trouble.join(DEADLINE)
        assert not trouble.is_alive()
        bad.faults.handshake, bad.faults.rest = "ok", {}
        wait_until(lambda: daemon.asterisk("pabx4")["connected"], "it is back", 90)
        playing = Playing(bad)
        playing.play(10)
        has_told(daemon, playing.expected(), "pabx4")
        assert daemon.asterisk("pabx4")["gaps"] > 0
        assert "Traceback" not in daemon.log_text()
