"""Opening the outbox's file: a broken one is put aside, a newer one refused. Adapter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from daemon.errors import FatalError
from daemon.outbox.database import Damaged, Database, DiskTrouble
from daemon.outbox.lockfile import put_aside
from daemon.outbox.schema import FromTheFuture

log = logging.getLogger("arimonitor.outbox")

OffloadCall = Callable[..., Any]
"""`offload(function, *plain_data)` runs it in a native thread and returns its result."""

Found = tuple[int, Mapping[str, tuple[int, float]]]
"""The highest seq ever seen, and by broker how many messages wait and since when (s since the epoch)."""


def open_file(database: Database, offload: OffloadCall, now: float) -> Found:
    """Open or make it; what it holds. Raises FatalError."""
    path = database.path
    try:
        try:
            found: Found = offload(_open, database)
        except Damaged as error:
            _put_aside(database, offload, error, now)
            found = offload(_open, database)
    except FromTheFuture as error:
        raise FatalError(
            f"the outbox {path} was written by a newer arimonitor ({error}): install that one again"
        ) from error
    except (DiskTrouble, Damaged) as error:
        raise FatalError(
            f"the outbox {path} can't be opened: {error}; see to the disk's space and rights"
        ) from error
    return found


def _open(database: Database) -> Found:
    database.open()
    return database.summary()


def _put_aside(database: Database, offload: OffloadCall, error: Damaged, now: float) -> None:
    offload(database.close)
    aside = put_aside(database.path, now)
    log.error(
        "the outbox %s is damaged (%s): it was moved to %s and a new one begun; messages that were not"
        " published yet may be in there: look with  sqlite3 %s .recover | sqlite3 rescued.sqlite,"
        "  then  SELECT routing_key, body FROM messages ORDER BY seq",
        database.path,
        error,
        aside,
        aside,
    )
