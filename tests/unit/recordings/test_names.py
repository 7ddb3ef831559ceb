"""File names of recordings, with what they say worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.recordings import names
from daemon.recordings.names import Name

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
WALL = int(datetime(2025, 10, 27, 8, 0, 0, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("name", "origin", "destiny", "kind"),
    [
        ("internal-1121-1122-20251027-080000-1761562800.42.mp3", "1121", "1122", "mp3"),
        ("internal-1013010-1013015-20251027-080000.wav", "1013010", "1013015", "wav"),
        ("external-1121-+5511955500100-20251027-080000-1761562800.42.WAV", "1121", "+5511955500100", "wav"),
        ("out-011955500100-1121-20251027-080000-x.mp3", "011955500100", "1121", "mp3"),
        ("in-5511955500100-1121-20251027-080000.mp3", "5511955500100", "1121", "mp3"),
        ("q-500-1121-20251027-080000-1761562800.1.wav", "500", "1121", "wav"),
        ("1121-1122-20251027-080000.mp3", "1121", "1122", "mp3"),
        ("1121_1122_20251027_080000.mp3", "1121", "1122", "mp3"),
        ("20251027-080000-1121-1122-1761562800.42.wav", "1121", "1122", "wav"),
        ("20251027080000_1121_1122.wav", "1121", "1122", "wav"),
        ("internal-PJSIP-1121-1122-20251027-080000.wav", "1121", "1122", "wav"),
        ("external-anonymous-1121-20251027-080000.wav", "anonymous", "1121", "wav"),
        ("exten-1121-20251027-080000.wav", "1121", "", "wav"),
        ("internal-1121-1122-20251027-080000-a\nb\udcff.wav", "1121", "1122", "wav"),
    ],
)
def test_what_a_name_says(name: str, origin: str, destiny: str, kind: str) -> None:
    assert names.parse(name) == Name(origin, destiny, WALL, kind)


@pytest.mark.parametrize(
    "name",
    [
        "", ".mp3", "index.html", "internal-1121-1122-20251027-080000.ogg", "internal-1121-1122.mp3",
        "internal-1121-1122-20251327-080000.mp3", "internal-1121-1122-20250230-080000.mp3",
        "internal-1121-1122-20251027-240000.mp3", "internal-1121-1122-20251027-086000.mp3",
        "internal-1121-1122-20251027-290000.mp3", "20251027-080000.mp3",
        "internal-1121-1122-18991027-080000.mp3",
        "internal-1121-1122-20251027-080000.mp3.part", "../../etc/passwd", "internal-a-b-20251027-080000.mp3",
    ],
)  # fmt: skip
def test_what_is_no_recording(name: str) -> None:
    assert names.parse(name) is None


@given(st.text())
def test_never_an_error(text: str) -> None:
    names.parse(text)
    names.parse(f"internal-{text}-1122-20251027-080000.mp3")
    assert names.shown(text).isprintable()


def test_an_hour_that_the_clock_repeats_is_found_whole() -> None:
    # 2018-02-18 00:00 in Sao Paulo: the wall went back to 23:00 of the 17th.
    first = datetime(2018, 2, 17, 23, 30, tzinfo=SAO_PAULO)
    again = first.replace(fold=1)
    assert first.timestamp() + 3600 == again.timestamp()
    read = names.parse("internal-1121-1122-20180217-233000.mp3")
    assert read is not None
    assert names.wall_of(first, SAO_PAULO) == names.wall_of(again, SAO_PAULO) == read.wall
    assert names.moment_of(read.wall, SAO_PAULO) == first


def test_an_hour_that_never_was_is_moved_on() -> None:
    # 2018-11-04: 00:00 became 01:00.
    wall = int(datetime(2018, 11, 4, 0, 30, tzinfo=UTC).timestamp())
    assert names.moment_of(wall, SAO_PAULO).isoformat() == "2018-11-04T01:30:00-02:00"


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("2025/10/27", True), ("2025/10/26", True), ("2025/10/28", True), ("2025/10/25", False),
        ("2025/10", True), ("2025/09", False), ("2025", True), ("2024", False), ("20251027", True),
        ("20251001", False), ("2025-10-27", True), ("2025/202509", False), ("client101", True),
        ("client101/2025/10/27", True), ("client101/2024", False), ("1013010", True), ("2025/13", True),
    ],
)  # fmt: skip
def test_which_folders_may_hold_a_day(path: str, holds: bool) -> None:
    assert names.may_hold(path.split("/"), WALL, WALL + 3600) is holds
