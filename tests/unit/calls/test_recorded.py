"""What a recording's name, size and last change tell of a call."""

from __future__ import annotations

import pytest

from daemon.calls.model import Answered, Ended, Received
from daemon.calls.recorded import Recorded, parse, unheard

NAME = "internal-1013010-1013015-20251027-080000-1761562800.42.wav"


def test_a_name_is_taken_apart() -> None:
    assert parse(NAME, 80_044, 1761562810_500) == Recorded(
        NAME, "1761562800.42", "1013010", "1013015", 1761562800_000, 1761562810_500, 5_000
    )


@pytest.mark.parametrize(
    ("name", "uniqueid"),
    [
        ("in-5511900000000-1121-20251027-080000-pbx1-1761562800.7.wav", "pbx1-1761562800.7"),
        ("internal-1121-1122-20251027-080000-1761562800.7.mp3", "1761562800.7"),
        ("internal-1121-1122-20251027-080000.wav", None),
        ("auto-1761562800-1013010-1013015.wav", None),
        (".internal-1121-1122-20251027-080000-1761562800.7.wav", None),
        ("", None),
    ],
)
def test_names(name: str, uniqueid: str | None) -> None:
    file = parse(name, 44, 1761562810_000)
    assert (file.uniqueid if file is not None else None) == uniqueid


def test_an_empty_file_is_a_call_that_nobody_answered() -> None:
    file = parse(NAME, 44, 1761562812_300)
    assert file is not None
    (facts,) = unheard([file], lambda _id: False, 0).values()
    received, ended = facts
    assert received == Received("1761562800.42", 1761562800_000, "1013010", "1013015", 1, True)
    assert isinstance(ended, Ended)
    assert (ended.disposition, ended.endtime, ended.duration, ended.billsec) == (
        "NO ANSWER", 1761562812_300, 12, 0,
    )  # fmt: skip
    assert ended.recordings == (NAME,)


def test_its_length_is_how_long_they_talked() -> None:
    file = parse(NAME, 44 + 10 * 16_000, 1761562812_000)
    assert file is not None
    (facts,) = unheard([file], lambda _id: False, 0).values()
    _, answered, ended = facts
    assert isinstance(answered, Answered)
    assert (answered.answertime, answered.answered_by, answered.application) == (1761562802_000, None, None)
    assert isinstance(ended, Ended)
    assert (ended.disposition, ended.duration, ended.billsec, ended.answertime) == (
        "ANSWERED", 12, 10, 1761562802_000,
    )  # fmt: skip
    assert (answered.seq, ended.seq, ended.recovered) == (2, 3, True)


def test_known_and_older_calls_are_left_alone() -> None:
    file = parse(NAME, 44, 1761562812_300)
    assert file is not None
    assert unheard([file], lambda id_: id_ == "1761562800.42", 0) == {}
    assert unheard([file], lambda _id: False, 1761562800_001) == {}


def test_two_files_of_one_channel_are_one_call() -> None:
    names = [NAME, NAME.replace("080000", "080010")]
    files = [file for name in names if (file := parse(name, 44 + 32_000, 1761562820_000)) is not None]
    (facts,) = unheard(files, lambda _id: False, 0).values()
    ended = facts[-1]
    assert isinstance(ended, Ended)
    assert ended.recordings == tuple(names)
    assert ended.billsec == 4
