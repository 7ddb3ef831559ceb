"""The log's files: their names, their rotation, their age.

`ARI-<PID>-<YYYY-MM-DD>.LOG`, and for the loggers with a file of their own
`ARI-CALLS-<PID>-<YYYY-MM-DD>.LOG` and `ARI-PERFORMANCE-...`. A full file becomes
`.LOG.1`, the older ones move up; `files` of them are kept, the current one
included. At local midnight a new file begins.

Each line is one `write(2)` on an O_APPEND descriptor: no buffer of ours, so a
process that is killed has lost nothing (about 2 us a line; the kernel's page
cache is the buffer), and no fsync, which would stall the hub for milliseconds.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path

_NAME = re.compile(r"ARI-(?:[A-Z]+-)?(?P<pid>\d+)-(?P<date>\d{4}-\d{2}-\d{2})\.LOG(?:\.\d+)?")

LOOK_EVERY = 1.0
"""Seconds between two looks whether the file is still there under its name."""


def file_name(pid: int, day: date, kind: str = "") -> str:
    """The name of a current file; `kind` is "" or CALLS, PERFORMANCE."""
    return f"ARI-{f'{kind}-' if kind else ''}{pid}-{day.isoformat()}.LOG"


def day_of_name(name: str) -> date | None:
    """The day in the name of a file of ours, rotated ones too; None: it is not ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return date.fromisoformat(match["date"])
    except ValueError:
        return None


def expired(names: list[str], today: date, keep_days: int) -> list[str]:
    """Which of `names` are files of ours from more than `keep_days` days ago; 0 keeps all."""
    if keep_days <= 0:
        return []
    oldest = today - timedelta(days=keep_days)
    days = ((name, day_of_name(name)) for name in names)
    return sorted(name for name, day in days if day is not None and day < oldest)


def local_day(now: float, timezone: tzinfo | None) -> tuple[date, float, float]:
    """The local date at `now`, and the moments (epoch seconds) at which it begins and ends."""
    day = datetime.fromtimestamp(now, timezone).date()
    following = day + timedelta(days=1)
    begin = datetime(day.year, day.month, day.day, tzinfo=timezone).timestamp()
    end = datetime(following.year, following.month, following.day, tzinfo=timezone).timestamp()
    return day, begin, end


class DatedFile:
    """One series of files. Errors of the disk are raised as OSError; the next write tries again."""

    def __init__(
        self,
        folder: Path,
        pid: int,
        timezone: tzinfo | None,
        *,
        kind: str = "",
        max_bytes: int = 50 * 1024 * 1024,
        files: int = 10,
        keep_days: int = 30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.kind = kind
        self.max_bytes = max_bytes
        self.files = files
        self.keep_days = keep_days
        self.undeleted: OSError | None = None
        """Why midnight could not delete an old file; whoever says it sets it back."""
        self._pid = pid
        self._timezone = timezone
        self._clock = clock
        self._fd = -1
        self._inode = 0
        self._size = 0
        self._torn = False
        self._looked_at = 0.0
        self._day, self._begin, self._end = local_day(clock(), timezone)

    @property
    def path(self) -> Path:
        """The current file."""
        return self.folder / file_name(self._pid, self._day, self.kind)

    def write(self, line: bytes) -> None:
        """Append one line, which ends with a newline."""
        now = self._clock()
        if not self._begin <= now < self._end:
            self._turn_page(now)
        if self._fd < 0:
            self._open()
        elif abs(now - self._looked_at) >= LOOK_EVERY:
            self._look(now)
        if self._size and self._size + len(line) > self.max_bytes:
            self._rotate()
        if self._torn:
            # A full disk took half of a line: the next one begins on its own.
            line = b"\n" + line
        written = os.write(self._fd, line)
        self._size += written
        self._torn = written < len(line)
        if self._torn:
            # Short: the disk is full or the size limit is reached; writing the rest says which.
            os.write(self._fd, line[written:])
            self._torn = False
            self._size += len(line) - written

    def close(self) -> None:
        """Close the descriptor; a later write opens the file again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def remove_expired(self) -> list[Path]:
        """Delete the files, of any kind and process, that are too old; which ones.

        One that can't be deleted is raised as OSError after the others.
        """
        today = local_day(self._clock(), self._timezone)[0]
        names = expired(os.listdir(self.folder), today, self.keep_days)
        gone: list[Path] = []
        trouble: OSError | None = None
        for name in names:
            path = self.folder / name
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                trouble = error
            else:
                gone.append(path)
        if trouble is not None:
            raise trouble
        return gone

    def _turn_page(self, now: float) -> None:
        day, self._begin, self._end = local_day(now, self._timezone)
        if day != self._day:
            self._day = day
            self.close()
            if self.folder.is_dir():
                try:
                    self.remove_expired()
                except OSError as error:  # no reason to lose the line that is to be written
                    self.undeleted = error

    def _open(self) -> None:
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        status = os.fstat(self._fd)
        self._inode, self._size = status.st_ino, status.st_size
        self._looked_at = self._clock()

    def _look(self, now: float) -> None:
        """Somebody may have deleted or moved the file: then a new one begins."""
        self._looked_at = now
        try:
            there = os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            there = False
        if not there:
            self.close()
            self._open()

    def _rotate(self) -> None:
        self.close()
        base = str(self.path)
        names = [base, *(f"{base}.{number}" for number in range(1, self.files))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if os.path.exists(newer):
                os.replace(newer, older)
        if len(names) == 1:
            os.truncate(base, 0)
        self._torn = False
        self._open()
