"""The recordings that were made since a moment, in one Asterisk's spool. Adapter.

Sites keep them in one folder, or in a folder a day; only those of the days
asked for are read, so a spool of a million files costs one day.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.calls.recorded import Recorded, parse

_DAY_FOLDERS: Final = ("%Y/%m/%d", "%Y-%m-%d", "%Y%m%d")


def recorded_since(folder: str, since: int, now: int) -> list[Recorded]:
    """Files of calls that began between `since` and `now` (ms). For a native thread: it may read long.

    Folders that are not there are none; raises OSError where `folder` itself can't be read.
    """
    found = []
    for place in (folder, *filter(os.path.isdir, day_folders(folder, since, now))):
        with os.scandir(place) as entries:
            for entry in entries:
                known = parse(entry.name, 0, 0)
                if known is None or not since <= known.created <= now or not entry.is_file():
                    continue
                about = entry.stat()
                if (file := parse(entry.name, about.st_size, about.st_mtime_ns // 1_000_000)) is not None:
                    found.append(file)
    return found


def day_folders(folder: str, since: int, now: int) -> Iterator[str]:
    """Where the files of the days in between may be, in any time zone: a day more at either end."""
    day = datetime.fromtimestamp(since / 1000, UTC) - timedelta(days=1)
    last = datetime.fromtimestamp(now / 1000, UTC) + timedelta(days=1)
    while day <= last:
        for form in _DAY_FOLDERS:
            yield f"{folder}/{day.strftime(form)}"
        day += timedelta(days=1)
