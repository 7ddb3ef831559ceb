"""The outbox's tables, their version, and how a file of an older version is brought up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

VERSION = 2

_TABLES = """
CREATE TABLE messages (          -- what is not confirmed yet
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL,
    broker      TEXT NOT NULL,
    order_key   TEXT NOT NULL,
    type        TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    headers     TEXT NOT NULL,   -- JSON object
    timestamp   INTEGER NOT NULL,
    body        TEXT NOT NULL,   -- JSON object
    stored_at   REAL NOT NULL,   -- seconds since the epoch
    attempts    INTEGER NOT NULL DEFAULT 0,
    next_try    REAL NOT NULL DEFAULT 0,
    last_error  TEXT NOT NULL DEFAULT ''
);
CREATE INDEX messages_broker ON messages (broker, seq);
CREATE TABLE seen (              -- ids stored and published lately: the same id is kept once
    id  BLOB PRIMARY KEY,
    seq INTEGER NOT NULL,
    at  INTEGER NOT NULL         -- stored; renewed when confirmed late
) WITHOUT ROWID;
CREATE INDEX seen_at ON seen (at, seq);
"""
_STATE = """
CREATE TABLE state (             -- what a tracker knows: written with the messages it belongs to
    owner TEXT NOT NULL,
    key   TEXT NOT NULL,
    data  BLOB NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
"""


def _to_2(connection: sqlite3.Connection) -> None:
    connection.execute(_STATE)


MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _to_2}
"""From version N to N + 1, in one transaction each."""


class FromTheFuture(Exception):
    """The file was written by a newer version of this product."""


def prepare(connection: sqlite3.Connection) -> int:
    """Make the tables or bring them to VERSION; the version that was found (0: a new file).

    Raises FromTheFuture, sqlite3.DatabaseError.
    """
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > VERSION:
        raise FromTheFuture(f"version {found}, this program knows up to {VERSION}")
    if found == 0:
        connection.executescript(f"BEGIN;{_TABLES}{_STATE}PRAGMA user_version = {VERSION};COMMIT;")
        return 0
    for version in range(found, VERSION):
        connection.execute("BEGIN IMMEDIATE")
        MIGRATIONS[version](connection)
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    return found
