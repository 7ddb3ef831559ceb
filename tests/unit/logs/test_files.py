"""Names, days and rotation of the log's files, by a clock that is an argument."""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.logs.files import DatedFile, day_of_name, expired, file_name, local_day

SAO_PAULO = ZoneInfo("America/Sao_Paulo")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("", "ARI-4711-2025-10-27.LOG"),
        ("CALLS", "ARI-CALLS-4711-2025-10-27.LOG"),
        ("PERFORMANCE", "ARI-PERFORMANCE-4711-2025-10-27.LOG"),
    ],
)
def test_names(kind: str, name: str) -> None:
    assert file_name(4711, date(2025, 10, 27), kind) == name
    assert day_of_name(name) == date(2025, 10, 27)
    assert day_of_name(f"{name}.9") == date(2025, 10, 27)


@pytest.mark.parametrize(
    "name",
    [
        "ARI-4711-2025-10-27.log",
        "ARI-4711-2025-13-27.LOG",
        "ARI-x-2025-10-27.LOG",
        "ARI-4711-2025-10-27.LOG.gz",
        "my-ARI-4711-2025-10-27.LOG",
        "ARI-4711-2025-10-27.LOG\n",
        "messages",
    ],
)
def test_names_of_others(name: str) -> None:
    assert day_of_name(name) is None


def test_expired() -> None:
    names = [
        "ARI-1-2025-09-26.LOG",
        "ARI-1-2025-09-26.LOG.3",
        "ARI-CALLS-2-2025-01-01.LOG",
        "ARI-1-2025-09-27.LOG",
        "ARI-1-2025-10-27.LOG",
        "old-2001-01-01.LOG",
    ]
    assert expired(names, date(2025, 10, 27), 30) == [
        "ARI-1-2025-09-26.LOG",
        "ARI-1-2025-09-26.LOG.3",
        "ARI-CALLS-2-2025-01-01.LOG",
    ]
    assert expired(names, date(2025, 10, 27), 0) == []


@pytest.mark.parametrize(
    ("now", "day", "begin", "end"),
    [
        ("2025-10-27T00:00:00-03:00", "2025-10-27", "2025-10-27T03:00:00+00:00", "2025-10-28T03:00:00+00:00"),
        ("2025-10-27T02:59:59+00:00", "2025-10-26", "2025-10-26T03:00:00+00:00", "2025-10-27T03:00:00+00:00"),
        # Clocks went from 00:00 to 01:00 on 4 November 2018: a day of 23 hours without a midnight.
        ("2018-11-04T12:00:00-02:00", "2018-11-04", "2018-11-04T03:00:00+00:00", "2018-11-05T02:00:00+00:00"),
        # And back from 00:00 to 23:00 on 18 February 2018: the 17th had 25 hours.
        ("2018-02-17T23:30:00-03:00", "2018-02-17", "2018-02-17T02:00:00+00:00", "2018-02-18T03:00:00+00:00"),
    ],
)
def test_local_day(now: str, day: str, begin: str, end: str) -> None:
    assert local_day(at(now), SAO_PAULO) == (date.fromisoformat(day), at(begin), at(end))


def test_a_new_file_at_local_midnight_and_back_when_the_clock_is_set_back(tmp_path: Path) -> None:
    clock = Clock(at("2025-10-27T23:59:59-03:00"))
    file = DatedFile(tmp_path, 7, SAO_PAULO, clock=clock)
    file.write(b"one\n")
    clock.now += 1
    file.write(b"two\n")
    clock.now -= 2
    file.write(b"three\n")
    file.close()
    assert (tmp_path / "ARI-7-2025-10-27.LOG").read_bytes() == b"one\nthree\n"
    assert (tmp_path / "ARI-7-2025-10-28.LOG").read_bytes() == b"two\n"


def test_rotation_keeps_so_many_files(tmp_path: Path) -> None:
    file = DatedFile(tmp_path, 7, UTC, max_bytes=8, files=3, clock=Clock(at("2025-10-27T12:00:00+00:00")))
    for number in range(10):
        file.write(b"%03d\n" % number)
    file.close()
    base = "ARI-7-2025-10-27.LOG"
    assert sorted(os.listdir(tmp_path)) == [base, f"{base}.1", f"{base}.2"]
    assert (tmp_path / base).read_bytes() == b"008\n009\n"
    assert (tmp_path / f"{base}.1").read_bytes() == b"006\n007\n"
    assert (tmp_path / f"{base}.2").read_bytes() == b"004\n005\n"


def test_one_file_only_begins_again(tmp_path: Path) -> None:
    file = DatedFile(tmp_path, 7, UTC, max_bytes=8, files=1, clock=Clock(0.0))
    for number in range(5):
        file.write(b"%03d\n" % number)
    file.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"ARI-7-1970-01-01.LOG": b"004\n"}


def test_a_second_start_appends_and_counts_what_is_there(tmp_path: Path) -> None:
    for line in (b"first\n", b"second\n"):
        file = DatedFile(tmp_path, 7, UTC, max_bytes=10, clock=Clock(0.0))
        file.write(line)
        file.close()
    assert (tmp_path / "ARI-7-1970-01-01.LOG").read_bytes() == b"second\n"
    assert (tmp_path / "ARI-7-1970-01-01.LOG.1").read_bytes() == b"first\n"


def test_midnight_deletes_what_is_too_old_and_nothing_else(tmp_path: Path) -> None:
    for name in (
        "ARI-1-2025-10-24.LOG",
        "ARI-1-2025-10-25.LOG.2",
        "ARI-CALLS-1-2025-10-25.LOG",
        "notes-2025-01-01.LOG",
    ):
        (tmp_path / name).write_bytes(b"x")
    clock = Clock(at("2025-10-27T12:00:00-03:00"))
    file = DatedFile(tmp_path, 7, SAO_PAULO, keep_days=2, clock=clock)
    assert [path.name for path in file.remove_expired()] == ["ARI-1-2025-10-24.LOG"]
    file.write(b"one\n")
    clock.now += 86400
    file.write(b"two\n")
    file.close()
    assert sorted(os.listdir(tmp_path)) == [
        "ARI-7-2025-10-27.LOG",
        "ARI-7-2025-10-28.LOG",
        "notes-2025-01-01.LOG",
    ]


def test_a_file_that_somebody_deleted_or_moved_is_begun_again(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    file = DatedFile(tmp_path / "logs", 7, UTC, clock=clock)
    file.write(b"one\n")
    file.path.rename(tmp_path / "moved")
    (tmp_path / "logs").rmdir()
    clock.now += 5
    file.write(b"two\n")
    file.close()
    assert file.path.read_bytes() == b"two\n"
    assert (tmp_path / "moved").read_bytes() == b"one\n"


def test_a_folder_that_can_t_be_made_is_an_oserror_and_mended_later(tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"in the way")
    file = DatedFile(tmp_path / "logs", 7, UTC, clock=Clock(0.0))
    with pytest.raises(OSError):
        file.write(b"one\n")
    (tmp_path / "logs").unlink()
    file.write(b"two\n")
    file.close()
    assert file.path.read_bytes() == b"two\n"


def test_permissions_are_the_owner_s_and_group_s(tmp_path: Path) -> None:
    file = DatedFile(tmp_path / "logs", 7, UTC, clock=Clock(0.0))
    file.write(b"one\n")
    file.close()
    assert file.path.stat().st_mode & 0o007 == 0


def test_what_cant_be_deleted_costs_neither_the_line_nor_the_other_files(tmp_path: Path) -> None:
    (tmp_path / "ARI-1-2025-10-01.LOG").mkdir()  # unlink(2) refuses it, root's too
    (tmp_path / "ARI-1-2025-10-02.LOG").write_bytes(b"x")
    clock = Clock(at("2025-10-27T23:59:59-03:00"))
    file = DatedFile(tmp_path, 7, SAO_PAULO, keep_days=2, clock=clock)
    file.write(b"one\n")
    assert file.undeleted is None
    clock.now += 1
    file.write(b"two\n")
    file.close()
    assert (tmp_path / "ARI-7-2025-10-28.LOG").read_bytes() == b"two\n"
    assert not (tmp_path / "ARI-1-2025-10-02.LOG").exists()
    assert isinstance(file.undeleted, OSError)
    assert "ARI-1-2025-10-01.LOG" in str(file.undeleted)
