"""`recovery manual`: how SINCE is read, and what is answered."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from daemon.console.commands.recovery import moment, recovery_commands
from daemon.console.registry import CommandError, Registry, SessionInfo

ZONE = ZoneInfo("America/Sao_Paulo")
NOW = 1761573600.0  # 2025-10-27 11:00 in Sao Paulo


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", NOW - 1800),
        ("2h", NOW - 7200),
        ("1d", NOW - 86400),
        ("08:00", NOW - 3 * 3600),
        ("27/10/2025 08:00", NOW - 3 * 3600),
        ("27/10/2025", NOW - 11 * 3600),
        ("2025-10-27T08:00", NOW - 3 * 3600),
        ("2025-10-27T08:00:00+00:00", NOW - 6 * 3600),
    ],
)
def test_since(text: str, seconds: float) -> None:
    assert moment(text, NOW, ZONE) == seconds


@pytest.mark.parametrize("text", ["yesterday", "25:00", "31/02/2025", "2x", "-1h", "99999999h"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(CommandError, match="SINCE is 2h"):
        moment(text, NOW, ZONE)


def test_every_asterisk_is_asked() -> None:
    asked = []

    def recover(since: float | None) -> dict[str, str]:
        asked.append(since)
        return {"voip3": "voip3 was reconciled: 2 channels are alive"}

    registry = Registry(recovery_commands(recover=recover, timezone=ZONE, now=lambda: NOW))
    info = SessionInfo("test")
    assert "2 channels are alive" in registry.run(["recovery", "manual"], info).text
    registry.run(["recovery", "manual", "27/10/2025", "08:00"], info)
    assert asked == [None, NOW - 3 * 3600]
    with pytest.raises(CommandError):
        registry.run(["recovery"], info)
