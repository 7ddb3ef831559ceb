"""What is on its way, for people and for programs."""

from __future__ import annotations

import pytest

from daemon.console.commands.transfers import transfers_command
from daemon.console.registry import CommandError, SessionInfo
from ssh.traffic import Progress

INFO = SessionInfo("127.0.0.1")


def test_transfers() -> None:
    moving = (
        Progress("AUDIO2", "/audios/0a1b.zip", True, 50_000_000, 200_000_000, 2.0),
        Progress("gv1p", "/var/log/Master.csv", False, 0, 0, 0.0),
    )
    found = transfers_command(lambda: moving).handler((), INFO)
    assert found.text.splitlines() == [
        "MACHINE        FILE                  DONE     MB  MB/S  FOR",
        "AUDIO2   to    /audios/0a1b.zip      25 %  200.0  25.0  00:00:02",
        "gv1p     from  /var/log/Master.csv  100 %    0.0   0.0  00:00:00",
    ]
    assert found.data["transfers"][0] == {  # type: ignore[index]
        "machine": "AUDIO2",
        "out": True,
        "file": "/audios/0a1b.zip",
        "bytes": 50_000_000,
        "of": 200_000_000,
        "seconds": 2.0,
    }


def test_nothing_is_on_its_way() -> None:
    command = transfers_command(lambda: ())
    assert command.handler((), INFO).text == "Nothing is on its way to or from another machine."
    with pytest.raises(CommandError):
        command.handler(("all",), INFO)
