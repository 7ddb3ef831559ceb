"""The one-host store's SQLite file: what runs in a native thread, plain data in and out. Adapter of sqlite3.

Nothing here logs or locks beyond SQLite. WAL with `synchronous = FULL`: what
was committed survives a loss of power. BEGIN IMMEDIATE makes compare-and-set
true between processes too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.errors import FatalError, TransientError

VERSION = 1
_TABLES = """
CREATE TABLE records (
    id          TEXT PRIMARY KEY,
    version     INTEGER NOT NULL,
    state       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    sender      TEXT NOT NULL,
    failure     TEXT NOT NULL,   -- its code, '' without one
    uid         TEXT NOT NULL,   -- of its mail, '' without one
    accepted_at REAL NOT NULL,   -- seconds since the epoch, as all times here
    queued_at   REAL NOT NULL,
    changed_at  REAL NOT NULL,
    body        BLOB NOT NULL    -- the whole record, JSON
) WITHOUT ROWID;
CREATE INDEX records_state ON records (state, kind, queued_at, id);
CREATE INDEX records_changed ON records (changed_at);
CREATE INDEX records_sender ON records (sender, accepted_at);
CREATE INDEX records_accepted ON records (accepted_at);
CREATE TABLE facts (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE mails (uid TEXT PRIMARY KEY, tries INTEGER NOT NULL) WITHOUT ROWID;
"""

Row = tuple[str, int, str, str, str, str, str, float, float, float, bytes]
"""The columns of `records`, in their order."""

_MARKS = ",".join("?" * 11)
_BUSY = 5.0  # seconds to wait for another process's transaction


class Stale(Exception):
    """The version has moved on."""


class Old(Exception):
    """The epoch has moved on."""


class Table:
    """The open file; one caller at a time. Raises TransientError (a full disk, a held lock)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def open(self, epoch: int) -> None:
        """Open or make it; from now on a lower epoch is fenced. Raises FatalError for a broken file."""
        with self._writing() as db:
            found = int(db.execute("PRAGMA user_version").fetchone()[0])
            if found > VERSION:
                raise FatalError(f"{self.path} is of a newer version of this program: use that one")
            if found == 0:
                for statement in _TABLES.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
            _epoch(db, epoch)

    def close(self) -> None:
        """Close it; the log is folded into the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def create(self, row: Row, epoch: int) -> bool:
        """Insert; False: the id is there already. May raise Old."""
        with self._writing() as db:
            _epoch(db, epoch)
            done = db.execute(f"INSERT OR IGNORE INTO records VALUES ({_MARKS})", row)  # noqa: S608
            db.execute("DELETE FROM mails WHERE uid = ?", (row[6],))
            return done.rowcount == 1

    def change(self, row: Row, expected: int, epoch: int) -> None:
        """Replace if the version is still `expected`. May raise Stale, Old."""
        with self._writing() as db:
            _epoch(db, epoch)
            found = db.execute("SELECT version FROM records WHERE id = ?", (row[0],)).fetchone()
            if found is None or found[0] != expected:
                raise Stale(f"its version is {found[0] if found else 'gone'}, not {expected}")
            db.execute(f"INSERT OR REPLACE INTO records VALUES ({_MARKS})", row)  # noqa: S608

    def bodies(self, states: Sequence[str], order: str, limit: int) -> list[bytes]:
        """The records in these states. `order` is one of our own column lists."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT body FROM records WHERE state IN (SELECT value FROM json_each(?))"  # noqa: S608
                f" ORDER BY {order} LIMIT ?",
                (json.dumps(list(states)), limit),
            ).fetchall()
        return [bytes(body) for (body,) in rows]

    def body(self, request_id: str) -> bytes | None:
        """One record."""
        with self._reading() as db:
            row = db.execute("SELECT body FROM records WHERE id = ?", (request_id,)).fetchone()
        return bytes(row[0]) if row else None

    def counts(self) -> dict[str, int]:
        """Requests by state."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT state, COUNT(*) FROM records WHERE kind = 'request' GROUP BY state"
            ).fetchall()
        return dict(rows)

    def count_since(self, sender: str | None, since: float) -> int:
        """Records accepted since then, of one sender or (None) of all."""
        with self._reading() as db:
            if sender is None:
                query = db.execute("SELECT COUNT(*) FROM records WHERE accepted_at >= ?", (since,))
            else:
                query = db.execute(
                    "SELECT COUNT(*) FROM records WHERE sender = ? AND accepted_at >= ?", (sender, since)
                )
            return int(query.fetchone()[0])

    def failed_with(self, sender: str, since: float, codes: Sequence[str]) -> bool:
        """Whether a record of the sender since then has one of these failures."""
        with self._reading() as db:
            row = db.execute(
                "SELECT EXISTS (SELECT 1 FROM records WHERE sender = ? AND accepted_at >= ?"
                " AND failure IN (SELECT value FROM json_each(?)))",
                (sender, since, json.dumps(list(codes))),
            ).fetchone()
        return bool(row[0])

    def forget(self, before: float, keep: Sequence[str] | None, limit: int, epoch: int) -> list[str]:
        """Delete old final records, without `keep` only those that have no mail; the ids. May raise Old."""
        with self._writing() as db:
            _epoch(db, epoch)
            rows = db.execute(
                "SELECT id FROM records WHERE changed_at < ? AND state IN ('done', 'failed')"
                " AND CASE WHEN ? THEN uid NOT IN (SELECT value FROM json_each(?)) ELSE uid = '' END"
                " ORDER BY changed_at LIMIT ?",
                (before, keep is not None, json.dumps(list(keep or ())), limit),
            ).fetchall()
            db.executemany("DELETE FROM records WHERE id = ?", rows)
            return [name for (name,) in rows]

    def attempt(self, uid: str) -> int:
        """Count one more try of a mail."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO mails VALUES (?, 1) ON CONFLICT (uid) DO UPDATE SET tries = tries + 1", (uid,)
            )
            return int(db.execute("SELECT tries FROM mails WHERE uid = ?", (uid,)).fetchone()[0])

    def attempted(self, uid: str) -> None:
        """Forget the count."""
        with self._writing() as db:
            db.execute("DELETE FROM mails WHERE uid = ?", (uid,))

    def fact(self, key: str) -> int:
        """A number that is kept beside the records; 0 if it never was."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def remember(self, key: str, value: int) -> None:
        """Keep a number."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException:
                # A failed disk may leave the connection unusable: the next call has a new one.
                self._connection = None
                db.close()
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise FatalError(
                    f"{self.path} is damaged ({error}): move it away; mails that are not answered yet"
                    " and the files in pending/ are taken in again"
                ) from error
            raise TransientError(f"the records in {self.path} can't be reached: {error}") from error
        except OSError as error:
            raise TransientError(f"the records in {self.path} can't be reached: {error.strerror}") from error

    def _connect(self) -> sqlite3.Connection:
        self.path.touch(mode=0o600)
        db = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        return db


def _epoch(db: sqlite3.Connection, epoch: int) -> None:
    """Refuse an epoch older than the highest seen; remember a newer one."""
    row = db.execute("SELECT value FROM facts WHERE key = 'epoch'").fetchone()
    highest = int(row[0]) if row else 0
    if epoch < highest:
        raise Old(f"epoch {epoch} is over: {highest} was seen")
    if epoch > highest:
        db.execute("INSERT OR REPLACE INTO facts VALUES ('epoch', ?)", (epoch,))
