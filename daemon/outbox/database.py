"""The outbox's SQLite file: what runs in a native thread, plain data in and out.

Nothing here logs, locks or uses a socket: it runs in the native pool (`offload`),
where those hang for good. One caller at a time per connection is seen to by
`store.Outbox`; the reader and the writer have a connection each, as WAL allows.

Each method makes few long SQLite calls in place of many short ones: Python lets
go of its global lock around every step, and with a busy hub it may take 5 ms to
get it back. So rows go in by the dozen in one statement, and a page comes out as
one JSON text.

Durability: WAL with `synchronous = FULL`, that is an fsync of the log at every
commit. NORMAL would be faster and survive a crash of the process, but not a loss
of power, and then "accepted" would be a lie.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from daemon.outbox import schema
from daemon.outbox.entry import Entry
from daemon.outbox.rows import Row, StateKey, entry_of, key_of

T = TypeVar("T")

_CHUNKS = (64, 16, 4, 1)
_BUSY = 5.0  # seconds to wait for an administrator's sqlite3 shell
_PAGE = (
    "SELECT json_group_array(json_array(seq, id, broker, order_key, type, routing_key, headers,"
    " timestamp, body, attempts, next_try)) FROM (SELECT * FROM messages WHERE {} ORDER BY seq LIMIT ?)"
)
_PASSING = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY,  # an administrator's shell holds a transaction
    sqlite3.SQLITE_LOCKED,
)


class DiskTrouble(Exception):
    """The disk is full or fails: the transaction did not happen and may be tried again."""


class Damaged(Exception):
    """The file is no SQLite database, or a broken one."""


@dataclass(slots=True)
class Batch:
    """What one transaction does, in this order."""

    now: float
    rows: list[Row] = field(default_factory=list)
    # Published while the disk was full: remembered only.
    seen: list[tuple[int, bytes]] = field(default_factory=list)
    confirmed: list[int] = field(default_factory=list)
    # seq, next try (seconds since the epoch), why
    postponed: list[tuple[int, float, str]] = field(default_factory=list)
    # What is remembered beside the messages; None: forgotten
    state: dict[StateKey, bytes | None] = field(default_factory=dict)
    # Ids that another node has published: dropped where they wait, remembered in any case.
    elsewhere: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a transaction found: rows that were known and not stored, and how many were dropped, by broker."""

    known: set[int]
    dropped: Mapping[str, int]


class Database:
    """The open file. `open` first; every method may raise DiskTrouble or Damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    def open(self) -> int:
        """Open or make it and check it whole; the version found (0: new). May raise schema.FromTheFuture."""
        with _translated():
            # Calls are not for everybody to read; the log gets the same rights as the file.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
            self._writer = self._connect()
            self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._writer.execute("PRAGMA journal_mode = WAL")
            found = schema.prepare(self._writer)
            verdict = self._writer.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise Damaged(verdict)
            self._reader = self._connect()
            self._reader.execute("PRAGMA query_only = ON")
            return found

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.execute("PRAGMA synchronous = FULL")
        # Of each connection: keeps the log short after a rush.
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    def close(self) -> None:
        """Close it; the log is folded into the file."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def apply(self, batch: Batch) -> Applied:
        """One transaction."""
        with _translated():
            connection = self._writer
            if connection is None:
                connection = self._writer = self._connect()
            try:
                connection.execute("BEGIN IMMEDIATE")
                known = _insert(connection, batch)
                _change(connection, batch)
                dropped = _drop(connection, batch)
                connection.execute("COMMIT")
            except Exception:  # whatever it is goes on to the caller
                # A failed disk may leave the connection unusable, anything else its transaction open:
                # the next try has a new one.
                self._writer = None
                connection.close()
                raise
            return Applied(known, dropped)

    def page(self, broker: str, after: int, limit: int) -> list[Entry]:
        """Pending messages of a broker with seq > `after`, oldest first."""
        return self._entries("broker = ? AND seq > ?", (broker, after, limit))

    def load(self, seqs: Sequence[int]) -> list[Entry]:
        """Those of these messages that are still pending."""
        return self._entries("seq IN (SELECT value FROM json_each(?))", (json.dumps(list(seqs)), len(seqs)))

    def _entries(self, condition: str, values: tuple[object, ...]) -> list[Entry]:
        with _translated():
            text = self._read(_PAGE.format(condition), values)[0][0]
        return [entry_of(*row) for row in json.loads(text)]

    def standing(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, str] | None]:
        """Of these ids those that are known: seq and broker of what waits, None where it waits no more."""
        found: dict[bytes, tuple[int, str] | None] = {}
        with _translated():
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                rows = self._read(
                    "SELECT s.id, m.seq, m.broker FROM seen s LEFT JOIN messages m ON m.seq = s.seq"  # noqa: S608
                    f" WHERE s.id IN ({marks})",
                    part,
                )
                found.update(
                    (bytes(key), None if seq is None else (seq, broker)) for key, seq, broker in rows
                )
        return found

    def state(self, owner: str) -> dict[str, bytes]:
        """What is remembered for this owner, by key."""
        with _translated():
            rows = self._read("SELECT key, data FROM state WHERE owner = ?", (owner,))
        return {key: bytes(data) for key, data in rows}

    def summary(self) -> tuple[int, Mapping[str, tuple[int, float]]]:
        """The highest seq ever seen, and by broker how many are pending and when the oldest was stored."""
        with _translated():
            highest = self._read(
                "SELECT COALESCE(MAX(seq), 0) FROM (SELECT MAX(seq) AS seq FROM messages"
                " UNION ALL SELECT MAX(seq) FROM seen)"
            )[0][0]
            # stored_at is that of the row with the least seq (sqlite.org/lang_select.html, bare columns).
            rows = self._read("SELECT broker, COUNT(*), MIN(seq), stored_at FROM messages GROUP BY broker")
            return highest, {broker: (count, float(stored_at)) for broker, count, _, stored_at in rows}

    def oldest(self, brokers: Sequence[str]) -> Mapping[str, float]:
        """When the oldest pending message of each broker was stored; without those that have none."""
        with _translated():
            found = {}
            for broker in brokers:
                # In one: between two statements the writer may confirm the message.
                rows = self._read(
                    "SELECT stored_at FROM messages WHERE broker = ? ORDER BY seq LIMIT 1", (broker,)
                )
                if rows:
                    found[broker] = float(rows[0][0])
            return found

    def _read(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        if self._reader is None:
            raise Damaged("the outbox is not open")
        return self._reader.execute(sql, values).fetchall()

    def prune(self, cutoff: float, limit: int, now: float) -> int:
        """Forget up to `limit` ids stored before `cutoff`, give back free pages; how many were looked at."""
        with _translated():
            writer = self._writer
            if writer is None:
                return 0
            old = writer.execute(
                "SELECT id, EXISTS (SELECT 1 FROM messages m WHERE m.seq = seen.seq)"
                " FROM seen WHERE at < ? ORDER BY at, seq LIMIT ?",
                (cutoff, limit),
            ).fetchall()
            try:
                writer.execute("BEGIN IMMEDIATE")
                writer.executemany(
                    "DELETE FROM seen WHERE id = ?", [(key,) for key, waits in old if not waits]
                )
                # What still waits must stay known; moved to the end, it isn't looked at each time.
                renewed = [(int(now), key) for key, waits in old if waits]
                writer.executemany("UPDATE seen SET at = ? WHERE id = ?", renewed)
                writer.execute("COMMIT")
                writer.execute("PRAGMA incremental_vacuum(500)").fetchall()
            except sqlite3.Error:
                self._writer = None
                writer.close()
                raise
            return len(old)

    def size(self) -> int:
        """Bytes on the disk, the log included."""
        total = 0
        for suffix in ("", "-wal"):
            path = Path(f"{self.path}{suffix}")
            if path.exists():
                total += path.stat().st_size
        return total


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise Damaged(str(error)) from error
        if code in _PASSING:
            raise DiskTrouble(str(error)) from error
        raise
    except OSError as error:
        raise DiskTrouble(error.strerror or str(error)) from error


def _insert(connection: sqlite3.Connection, batch: Batch) -> set[int]:
    known: set[int] = set()
    at = int(batch.now)
    for rows in _parts(batch.rows):
        values: list[object] = []
        for row in rows:
            values += (row[1], row[0], at)
        marks = ",".join(["(?,?,?)"] * len(rows))
        done = connection.execute(f"INSERT OR IGNORE INTO seen (id, seq, at) VALUES {marks}", values)  # noqa: S608
        if done.rowcount < len(rows):
            marks = ",".join("?" * len(rows))
            query = f"SELECT id, seq FROM seen WHERE id IN ({marks})"  # noqa: S608
            owner = dict(connection.execute(query, [row[1] for row in rows]))
            known.update(row[0] for row in rows if owner[row[1]] != row[0])
    fresh = [row for row in batch.rows if row[0] not in known]
    for rows in _parts(fresh):
        values = []
        for row in rows:
            values += (row[0], *row[2:], batch.now)
        marks = ",".join(["(?,?,?,?,?,?,?,?,?,?)"] * len(rows))
        # OR IGNORE: a commit that failed with an I/O error may have happened after all.
        connection.execute(
            "INSERT OR IGNORE INTO messages (seq, id, broker, order_key, type, routing_key, headers,"  # noqa: S608
            f" timestamp, body, stored_at) VALUES {marks}",
            values,
        )
    return known


def _change(connection: sqlite3.Connection, batch: Batch) -> None:
    if batch.seen:
        rows = [(key, seq, int(batch.now)) for seq, key in batch.seen]
        connection.executemany("INSERT OR IGNORE INTO seen (id, seq, at) VALUES (?,?,?)", rows)
    if batch.confirmed:
        _delete(connection, batch.confirmed, batch.now)
    if batch.state:
        gone = [key for key, data in batch.state.items() if data is None]
        kept = [(*key, data) for key, data in batch.state.items() if data is not None]
        connection.executemany("DELETE FROM state WHERE owner = ? AND key = ?", gone)
        connection.executemany("INSERT OR REPLACE INTO state (owner, key, data) VALUES (?,?,?)", kept)
    if batch.postponed:
        connection.executemany(
            "UPDATE messages SET attempts = attempts + 1, next_try = ?, last_error = ? WHERE seq = ?",
            [(until, why, seq) for seq, until, why in batch.postponed],
        )


def _delete(connection: sqlite3.Connection, confirmed: Sequence[int], now: float) -> None:
    seqs = json.dumps(confirmed)
    # An id is remembered from its confirm on. Most are confirmed at once, and for them
    # the time of storing is near enough: no second write.
    late = connection.execute(
        "SELECT id FROM messages WHERE stored_at < ? AND seq IN (SELECT value FROM json_each(?))",
        (now - 3600, seqs),
    ).fetchall()
    if late:
        connection.executemany(
            "UPDATE seen SET at = ? WHERE id = ?", [(int(now), key_of(i)) for (i,) in late]
        )
    connection.execute("DELETE FROM messages WHERE seq IN (SELECT value FROM json_each(?))", (seqs,))


def _drop(connection: sqlite3.Connection, batch: Batch) -> dict[str, int]:
    """Let go of what another node has published; how many waited here, by broker."""
    counts: dict[str, int] = {}
    waited: list[int] = []
    for keys in _parts(batch.elsewhere):
        marks = ",".join("?" * len(keys))
        rows = connection.execute(
            f"SELECT m.seq, m.broker FROM seen s JOIN messages m ON m.seq = s.seq WHERE s.id IN ({marks})",  # noqa: S608
            keys,
        ).fetchall()
        for seq, broker in rows:
            waited.append(seq)
            counts[broker] = counts.get(broker, 0) + 1
        # Also what was not made here yet: it is not stored when it is. No message has the number 0.
        values = [value for key in keys for value in (key, int(batch.now))]
        marks = ",".join(["(?,0,?)"] * len(keys))
        connection.execute(f"INSERT OR IGNORE INTO seen (id, seq, at) VALUES {marks}", values)  # noqa: S608
    if waited:
        _delete(connection, waited, batch.now)
    return counts


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Pieces of few fixed lengths, so that few different statements have to be compiled."""
    start = 0
    for length in _CHUNKS:
        while len(items) - start >= length:
            yield items[start : start + length]
            start += length
