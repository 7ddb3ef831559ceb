"""Recordings on disk: found by index and tree. Adapter."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from threading import Lock
from typing import Any, Final

from daemon.errors import PermanentError, TransientError
from daemon.recordings import names, tree
from daemon.recordings.index import Index, Unusable
from daemon.recordings.model import Found, LeftOut, Near, Recording
from daemon.recordings.store import one_of_each, ranked

_NEAR_DAYS: Final = 60
PATIENCE: Final = 60.0
"""Seconds that a search without an index may take."""


class LocalStore:
    """The roots of one node. `offload(function, *data)` runs it in a native thread."""

    source = "audio"

    def __init__(
        self,
        roots: Sequence[Path],
        index: Path,
        timezone: tzinfo,
        offload: Callable[..., Any],
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.roots = tuple(str(root) for root in roots)
        self._index = Index(index)
        self._timezone = timezone
        self._offload = offload
        self._patience = patience
        self._lock = Lock()  # the index has one reader at a time

    def find(self, extensions: Sequence[str], begin: datetime, end: datetime) -> Found:
        """PermanentError: no root can be read. TransientError: not in time, or some root can't be read."""
        low, high = self._walls(begin, end)
        with self._lock:
            result: tree.Result = self._offload(
                tree.search, self._index, self.roots, tuple(extensions), low, high, self._patience
            )
        if result.missing:
            missing = ", ".join(result.missing)
            if len(result.missing) == len(self.roots):
                raise PermanentError(
                    f"no folder of recordings can be read: {missing}; see [recordings] roots"
                )
            raise TransientError(
                f"these folders of recordings can't be read: {missing}; see [recordings] roots"
            )
        found = one_of_each(self._recording(hit) for hit in result.hits)
        return Found(found, tuple(LeftOut(*refused) for refused in result.refused))

    def near(
        self, extensions: Sequence[str], begin: datetime, end: datetime, colleagues: Sequence[str]
    ) -> Near:
        """From the index alone; empty without one."""
        low, high = self._walls(begin, end)
        with self._lock:
            days, counts = self._offload(
                _near, self._index, tuple(extensions), low, high, tuple(set(colleagues) - set(extensions))
            )
        by_date = {names.wall_day(day * names.DAY): count for day, count in days.items()}
        return ranked(by_date, counts, names.wall_day(low), names.wall_day(high))

    def fetch(self, recordings: Sequence[Recording], folder: Path) -> list[Path | LeftOut]:
        """Where each lies, if it can be read and lies below a root still."""
        del folder
        found: list[Path | LeftOut] = self._offload(_readable, self.roots, tuple(recordings))
        return found

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._offload(self._index.close)

    def _walls(self, begin: datetime, end: datetime) -> tuple[int, int]:
        return names.wall_of(begin, self._timezone), names.wall_of(end, self._timezone)

    def _recording(self, hit: tree.Hit) -> Recording:
        return Recording(
            self.source,
            hit.root,
            hit.path,
            hit.name.origin,
            hit.name.destiny,
            names.moment_of(hit.name.wall, self._timezone),
            hit.name.format,
            hit.bytes,
        )


def _near(
    index: Index, extensions: tuple[str, ...], low: int, high: int, colleagues: tuple[str, ...]
) -> tuple[dict[int, int], dict[str, int]]:
    margin = _NEAR_DAYS * names.DAY
    try:
        return index.days(extensions, low - margin, high + margin), index.counts(colleagues, low, high)
    except Unusable:
        index.close()
        return {}, {}


def _readable(roots: Sequence[str], recordings: Sequence[Recording]) -> list[Path | LeftOut]:
    found: list[Path | LeftOut] = []
    for recording in recordings:
        path = f"{roots[recording.root]}/{recording.key}"
        name = names.file_of(recording.key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            found.append(LeftOut(name, "gone"))
            continue
        except OSError:
            found.append(LeftOut(name, "unreadable"))
            continue
        try:
            real = os.readlink(f"/proc/self/fd/{descriptor}")
            if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not tree.below(roots, real):
                found.append(LeftOut(name, "outside"))
            else:
                found.append(Path(real))
        finally:
            os.close(descriptor)
    return found
