"""A thousand calls at the same time: under 100 MB, the documented bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ari import FakeAri
from tests.system.played import Playing
from tests.system.sites import asterisk, config, has_told

pytestmark = [pytest.mark.heavy]

CALLS = 1000
BOUND = 100 * 1024 * 1024


def test_a_thousand_active_calls(tmp_path: Path) -> None:
    with FakeAri() as fake:
        with ArimonitorDaemon(tmp_path / "site", config([asterisk(fake)])) as daemon:
            daemon.connected()
            playing = Playing(fake)

            def taken_in() -> None:
                """At the daemon's pace: events that wait on a busy machine are no active calls."""
                daemon.wait_for(lambda s: not s["asterisk"][0]["backlog"], "the events are used")

            numbers: list[int] = []
            for _ in range(CALLS // 20):
                numbers += playing.begin(20)
                playing.answer(numbers[-20:])
                taken_in()
            daemon.wait_for(lambda s: s["asterisk"][0]["active_calls"] == CALLS, "a thousand calls")
            daemon.wait_for(lambda s: s["brokers"][0]["confirmed"] >= 2 * CALLS, "begins and answers are out")
            active = daemon.memory()
            for first in range(0, CALLS, 20):
                playing.end(numbers[first : first + 20])
                taken_in()
            has_told(daemon, playing.expected())
            after = daemon.memory()
        print(f"{active / 1e6:.1f} MB with {CALLS} active calls, {after / 1e6:.1f} MB after")
        assert active < BOUND
        assert after < BOUND
