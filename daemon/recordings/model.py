"""A recording, and what a search for recordings gives. Pure.

Times are aware datetimes in the node's time zone; sizes are bytes.
"""

from __future__ import annotations

from datetime import date, datetime

import msgspec


class Recording(msgspec.Struct, frozen=True, gc=False):
    """One file of a store: `key` is its path below root number `root`, or its key in the bucket.

    `origin` and `destiny` are as the file's name has them; `format` is wav or mp3.
    """

    source: str
    root: int
    key: str
    origin: str
    destiny: str
    started: datetime
    format: str
    bytes: int


class LeftOut(msgspec.Struct, frozen=True, gc=False):
    """A recording that matched and can't be given: `name` without folders, `reason` a code of reasons."""

    name: str
    reason: str


class Found(msgspec.Struct, frozen=True):
    """Answer of a search, oldest first; every one of `recordings` was there a moment ago."""

    recordings: tuple[Recording, ...]
    left_out: tuple[LeftOut, ...] = ()


class Near(msgspec.Struct, frozen=True):
    """What there is instead, where nothing was found.

    `days`: other days of the same extensions with their counts, the nearest
    first; `extensions`: other extensions of the same client in the same time.
    """

    days: tuple[tuple[date, int], ...] = ()
    extensions: tuple[tuple[str, int], ...] = ()
