"""`endpoints`: Asterisk is asked again, the answer counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

import pytest

from daemon.console.commands.endpoints import Asked, endpoints_commands
from daemon.console.registry import CommandError, Registry, Result, SessionInfo
from daemon.console.views import EndpointState
from daemon.directory.model import Directory, EndpointEntry

ONLINE = EndpointState("online", "192.0.2.10:5060", 1761562800000)
OFFLINE = EndpointState("offline", None, 1761562800000)
DIRECTORY = Directory(
    endpoints={
        "1013010": EndpointEntry("1013010", "101", "condominio"),
        "1013011": EndpointEntry("1013011", "101"),
        "1013012": EndpointEntry("1013012", "101"),
    }
)
STATES = {"1013010": ONLINE, "1013011": OFFLINE, "trunk": ONLINE}


def run(line: str, answers: Sequence[Asked], tables: dict[str, Directory]) -> Result:
    commands = endpoints_commands(
        directories=lambda: tables, states=lambda _s, _e: None, timezone=UTC, ask=lambda: answers
    )
    return Registry(commands).run(line.split(), SessionInfo("192.0.2.7:4000"))


def test_it_ends_with_the_counts() -> None:
    result = run("endpoints", [Asked("voip3", STATES)], {"voip3": DIRECTORY})
    assert result.text == (
        "=== ALL ENDPOINTS (3) ===\n"
        "1013010  condominio  online   192.0.2.10:5060  2025-10-27 11:00:00\n"
        "1013011  -           offline  -                2025-10-27 11:00:00\n"
        "1013012  -           unknown  -                -\n"
        "voip3: in no definition file, not counted: trunk\n"
        "Active: 1\n"
        "Offline: 2\n"
        "Total: 3"
    )
    assert {key: result.data[key] for key in ("active", "offline", "total")} == {
        "active": 1,
        "offline": 2,
        "total": 3,
    }
    assert result.data["asterisk"] == [
        {"server": "voip3", "error": None, "note": None, "undefined": ["trunk"]}
    ]
    assert [each["state"] for each in result.data["endpoints"]] == ["online", "offline", "unknown"]


def test_without_definition_files_it_shows_asterisks_own() -> None:
    result = run("endpoints", [Asked("voip3", STATES)], {"voip3": Directory()})
    assert result.text.splitlines()[1:] == [
        "1013010  -  online   192.0.2.10:5060  2025-10-27 11:00:00",
        "1013011  -  offline  -                2025-10-27 11:00:00",
        "trunk    -  online   192.0.2.10:5060  2025-10-27 11:00:00",
        "Active: 2",
        "Offline: 1",
        "Total: 3",
    ]


def test_two_asterisks_of_which_one_does_not_answer() -> None:
    answers = [Asked("voip3", STATES), Asked("voip1", {"1013010": ONLINE}, error="it is down", note="no ami")]
    result = run("endpoints", answers, {"voip3": DIRECTORY, "voip1": DIRECTORY})
    lines = result.text.splitlines()
    assert lines[0] == "=== ALL ENDPOINTS (6) ==="
    assert lines[1].endswith("  voip1")
    assert lines[7:9] == ["voip1: it is down", "voip1: no ami"]
    assert lines[-3:] == ["Active: 2", "Offline: 4", "Total: 6"]


def test_nobody_answers() -> None:
    with pytest.raises(CommandError) as caught:
        run("endpoints", [Asked("voip3", {}, error="it is down")], {"voip3": DIRECTORY})
    assert (caught.value.code, caught.value.message) == ("failed", "voip3: it is down")


def test_no_asterisk_at_all_and_arguments() -> None:
    assert run("endpoints", [], {}).text.splitlines() == [
        "=== ALL ENDPOINTS (0) ===",
        "Active: 0",
        "Offline: 0",
        "Total: 0",
    ]
    with pytest.raises(CommandError):
        run("endpoints 101", [], {})


def test_many_undefined_ones_are_not_all_named() -> None:
    states = {f"x{number:02}": ONLINE for number in range(12)}
    text = run("endpoints", [Asked("voip3", states)], {"voip3": DIRECTORY}).text
    assert "not counted: x00, x01, x02, x03, x04, x05, x06, x07, x08, x09 and 2 more\n" in text
