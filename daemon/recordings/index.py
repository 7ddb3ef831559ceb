"""The index of recordings on disk: one SQLite file, a cache that can be made anew at any time. Adapter.

    folder   one row a folder: its path and the mtime at which its names were read (0: look again)
    file     id = folder << 24 | n; a common name is kept in pieces (origin, destiny, time, the rest)
    party    (extension, wall seconds, file): what a search runs on; longer numbers, which
             no request can name, are not in it

A folder's mtime changes whenever a name in it comes or goes: where it is still
the one of the index, the index is right about that folder, and `tree` reads
the others itself. So a search is right with an old index, and without any.

All of it runs in a native thread or a child process: plain data, no logging.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from daemon.errors import TransientError
from daemon.recordings import names
from daemon.recordings.names import DAY

VERSION: Final = 1
_SHIFT: Final = 24
_BUSY: Final = 5.0
_MAPPED: Final = 1 << 30
_PIECES: Final = re.compile(
    r"([A-Za-z]+-)?([0-9]{1,15})-([0-9]{1,15})-([0-9]{8})-([0-9]{6})(.*)(\.[A-Za-z0-9]{3})\Z", re.DOTALL
)
_EXTENSION: Final = re.compile(r"[0-9]{1,15}")
_LONGEST: Final = 8  # digits of an extension that a request may name
_SCHEMA: Final = """
CREATE TABLE folder (id INTEGER PRIMARY KEY, root BLOB NOT NULL, path BLOB NOT NULL, mtime INTEGER NOT NULL,
                     UNIQUE (root, path));
CREATE TABLE form (id INTEGER PRIMARY KEY, head TEXT NOT NULL, tail TEXT NOT NULL, UNIQUE (head, tail));
CREATE TABLE file (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, origin, destiny, form INTEGER NOT NULL, rest);
CREATE TABLE party (extension, at INTEGER NOT NULL, file INTEGER NOT NULL,
                    PRIMARY KEY (extension, at, file)) WITHOUT ROWID;
"""

Place = tuple[bytes, bytes]
"""A root's path, and a folder's path below it."""

Row = tuple[int, int, object, object, int, object]
"""id, wall seconds, origin, destiny, form, rest."""


class Unusable(Exception):
    """The file is not there, broken, or of another version: search without it, and make it anew."""


class Index:
    """The open file, for reading; `writable` makes it, or makes it anew. One caller at a time."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        self.writable = writable
        self._connection: sqlite3.Connection | None = None
        self._forms: dict[int, tuple[str, str]] = {}
        self._form_ids: dict[tuple[str, str], int] = {}
        self._folders: dict[Place, tuple[int, int]] = {}
        self.children: dict[Place, list[bytes]] = {}
        self.places: dict[int, Place] = {}
        self._version = -1
        self._inode = 0
        self._building = False

    # -- opening -----------------------------------------------------------
    def open(self) -> None:
        """Raises Unusable, or TransientError where the disk does not let us."""
        if self._connection is not None:
            return
        if not self.writable and not self.path.exists():
            raise Unusable(f"there is no index {self.path} yet")
        with _translated(self.path):
            try:
                self._connection = self._opened()
                self._inode = _inode(self.path)
            except (sqlite3.DatabaseError, Unusable) as error:
                if not self.writable or isinstance(error, sqlite3.OperationalError):
                    raise
                remove(self.path)  # a cache: broken or old, it is made anew
                self._connection = self._opened()

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY, check_same_thread=False, isolation_level=None)
        try:
            if self.writable:
                os.chmod(self.path, 0o640)
                connection.execute("PRAGMA journal_mode = WAL")
            # A cache: what a loss of power takes from it, the next sweep brings back.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"PRAGMA mmap_size = {_MAPPED}")  # a search reads a page here and there
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and self.writable:
                connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")
            elif version != VERSION:
                raise Unusable(f"the index {self.path} is of another version ({version})")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Twice is no mistake."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._folders, self._forms, self._form_ids, self._version = {}, {}, {}, -1
        self.children, self.places, self._building = {}, {}, False

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection."""
        if self._connection is None:
            self.open()
        assert self._connection is not None
        return self._connection

    # -- reading -----------------------------------------------------------
    def folders(self) -> dict[Place, tuple[int, int]]:
        """(root, path) -> id and mtime (ns); read again only when somebody wrote."""
        if not self.writable and self._connection is not None and _inode(self.path) != self._inode:
            self.close()  # it was made anew
        with _translated(self.path):
            version = self.connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version or self.writable:
                if self.connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                    raise Unusable(f"the index {self.path} is being built")
                rows = self.connection.execute("SELECT root, path, id, mtime FROM folder")
                self._folders = {(root, path): (key, mtime) for root, path, key, mtime in rows}
                self.places = {key: place for place, (key, _) in self._folders.items()}
                self.children = children_of(self._folders)
                self._forms = {key: (head, tail) for key, head, tail in self._all_forms()}
                self._version = version
            return self._folders

    def _all_forms(self) -> list[tuple[int, str, str]]:
        return self.connection.execute("SELECT id, head, tail FROM form").fetchall()

    def matches(self, extensions: Sequence[str], begin: int, end: int) -> list[tuple[int, str]]:
        """Folder id and name of every file of these extensions and wall seconds, each once."""
        found: dict[int, str] = {}
        with _translated(self.path):
            for extension in extensions:
                rows = self.connection.execute(
                    "SELECT f.id, f.at, f.origin, f.destiny, f.form, f.rest FROM party p"
                    " CROSS JOIN file f ON f.id = p.file"
                    " WHERE p.extension = ? AND p.at BETWEEN ? AND ?",
                    (_key(extension), begin, end),
                )
                for row in rows:
                    if row[0] not in found:
                        found[row[0]] = self._name(row)
        return [(key >> _SHIFT, name) for key, name in found.items()]

    def days(self, extensions: Sequence[str], begin: int, end: int) -> dict[int, int]:
        """Wall day -> how many files these extensions have on it. A WAV and its MP3 count as two."""
        marks = ",".join("?" * len(extensions))
        query = (
            f"SELECT at / {DAY}, count(DISTINCT file) FROM party WHERE extension IN ({marks})"  # noqa: S608
            " AND at BETWEEN ? AND ? GROUP BY 1"
        )
        with _translated(self.path):
            return dict(self.connection.execute(query, (*map(_key, extensions), begin, end)).fetchall())

    def counts(self, extensions: Sequence[str], begin: int, end: int) -> dict[str, int]:
        """Extension -> how many files it has in these wall seconds; those that have any."""
        found = {}
        with _translated(self.path):
            for extension in extensions:
                (count,) = self.connection.execute(
                    "SELECT count(*) FROM party WHERE extension = ? AND at BETWEEN ? AND ?",
                    (_key(extension), begin, end),
                ).fetchone()
                if count:
                    found[extension] = count
        return found

    def totals(self) -> tuple[int, int]:
        """Folders and files."""
        with _translated(self.path):
            (folders,) = self.connection.execute("SELECT count(*) FROM folder").fetchone()
            (files,) = self.connection.execute("SELECT count(*) FROM file").fetchone()
            return folders, files

    def _name(self, row: Row) -> str:
        _, at, origin, destiny, form, rest = row
        if form == 0:
            return os.fsdecode(rest) if isinstance(rest, bytes) else str(rest)
        if form not in self._forms:
            self._forms = {key: (head, tail) for key, head, tail in self._all_forms()}
        head, tail = self._forms[form]
        day = names.wall_day(at)
        hours, seconds = divmod(at % DAY, 3600)
        return (
            f"{head}{origin}-{destiny}-{day.year:04}{day.month:02}{day.day:02}"
            f"-{hours:02}{seconds // 60:02}{seconds % 60:02}{rest or ''}{tail}"
        )

    # -- writing (the sweep only) --------------------------------------------
    def replace(self, root: bytes, path: bytes, mtime: int, entries: Sequence[str]) -> tuple[int, int]:
        """These are the names in a folder now: how many came, how many went. One transaction."""
        with _translated(self.path), _transaction(self.connection) as connection:
            known = connection.execute(
                "SELECT id FROM folder WHERE root = ? AND path = ?", (root, path)
            ).fetchone()
            if known is None:
                folder = connection.execute(
                    "INSERT INTO folder (root, path, mtime) VALUES (?, ?, ?)", (root, path, mtime)
                ).lastrowid
                assert folder is not None
                old: dict[str, int] = {}
            else:
                folder = known[0]
                connection.execute("UPDATE folder SET mtime = ? WHERE id = ?", (mtime, folder))
                old = self._names_in(folder)
            fresh = [entry for entry in entries if entry not in old]
            here = set(entries)
            gone = [key for name, key in old.items() if name not in here]
            self._delete(connection, gone)
            rows = list(self._rows(connection, folder, max(old.values(), default=folder << _SHIFT), fresh))
            connection.executemany("INSERT INTO file VALUES (?,?,?,?,?,?)", rows)
            table = "party" if not self._building else "temp.posting"
            connection.executemany(
                f"INSERT OR IGNORE INTO {table} VALUES (?,?,?)",  # noqa: S608
                _sorted(_postings(rows)),
            )
        return len(rows), len(gone)

    def begin(self) -> None:
        """The first build of an empty index: postings are put in order at its end, which halves them.

        Until `finish` the file is of no version: readers do without it, and
        what a crash leaves is made anew.
        """
        with _translated(self.path):
            self.connection.execute("PRAGMA user_version = -1")
            self.connection.execute("CREATE TEMP TABLE posting (extension, at INTEGER, file INTEGER)")
            self._building = True

    def forget(self, root: bytes, path: bytes) -> int:
        """A folder is gone: how many files went with it."""
        with _translated(self.path), _transaction(self.connection) as connection:
            known = connection.execute(
                "SELECT id FROM folder WHERE root = ? AND path = ?", (root, path)
            ).fetchone()
            if known is None:
                return 0
            gone = list(self._names_in(known[0]).values())
            self._delete(connection, gone)
            connection.execute("DELETE FROM folder WHERE id = ?", known)
        return len(gone)

    def clear(self) -> None:
        """Make it anew."""
        self.close()
        remove(self.path)
        self.open()

    def finish(self) -> None:
        """After a sweep: postings in order, the log back to nothing."""
        with _translated(self.path):
            if self._building:
                with _transaction(self.connection) as connection:
                    connection.execute(
                        "INSERT OR IGNORE INTO party SELECT * FROM temp.posting ORDER BY extension, at, file"
                    )
                    connection.execute(f"PRAGMA user_version = {VERSION}")
                self.connection.execute("DROP TABLE temp.posting")
                self._building = False
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _names_in(self, folder: int) -> dict[str, int]:
        rows = self.connection.execute(
            "SELECT id, at, origin, destiny, form, rest FROM file WHERE id >= ? AND id < ?",
            (folder << _SHIFT, (folder + 1) << _SHIFT),
        )
        return {self._name(row): row[0] for row in rows}

    def _delete(self, connection: sqlite3.Connection, gone: Sequence[int]) -> None:
        for key in gone:
            at, origin, destiny, form, rest = connection.execute(
                "SELECT at, origin, destiny, form, rest FROM file WHERE id = ?", (key,)
            ).fetchone()
            row: Row = (key, at, origin, destiny, form, rest)
            connection.executemany(
                "DELETE FROM party WHERE extension = ? AND at = ? AND file = ?", _postings([row])
            )
            connection.execute("DELETE FROM file WHERE id = ?", (key,))

    def _rows(
        self, connection: sqlite3.Connection, folder: int, last: int, entries: Sequence[str]
    ) -> Iterator[Row]:
        number = last
        for entry in entries:
            read = names.parse(entry)
            if read is None:
                continue
            number += 1
            if number >> _SHIFT != folder:
                raise TransientError("a folder holds more names than the index can number; rebuild it")
            pieces = _PIECES.match(entry)
            if pieces is not None:
                head, origin, destiny, _, _, rest, tail = pieces.groups("")
                row: Row = (
                    number, read.wall, int(origin), int(destiny),
                    self._form(connection, head, tail), rest or None,
                )  # fmt: skip
                if rest.isprintable() and self._name(row) == entry:
                    yield row
                    continue
            yield (number, read.wall, read.origin, read.destiny, 0, os.fsencode(entry))

    def _form(self, connection: sqlite3.Connection, head: str, tail: str) -> int:
        known = self._form_ids.get((head, tail))
        if known is None:
            connection.execute("INSERT OR IGNORE INTO form (head, tail) VALUES (?, ?)", (head, tail))
            (known,) = connection.execute(
                "SELECT id FROM form WHERE head = ? AND tail = ?", (head, tail)
            ).fetchone()
            self._form_ids[(head, tail)] = known
            self._forms[known] = (head, tail)
        return known


def children_of(folders: Iterable[Place]) -> dict[Place, list[bytes]]:
    """The folders right below each."""
    found: dict[Place, list[bytes]] = {}
    for root, path in folders:
        if path:
            found.setdefault((root, path.rpartition(b"/")[0]), []).append(path)
    return found


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return -1


def remove(path: Path) -> None:
    """The file and what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def _key(extension: object) -> int | str:
    """A number without leading zeros as an integer: that is what most rows have."""
    text = str(extension)
    return int(text) if _EXTENSION.fullmatch(text) and str(int(text)) == text else text


def _postings(rows: Sequence[Row]) -> list[tuple[int | str, int, int]]:
    found = []
    for key, at, origin, destiny, _, _ in rows:
        for party in {str(origin), str(destiny)}:
            if len(party) <= _LONGEST and party.isdigit():
                found.append((_key(party), at, key))
    return found


def _sorted(postings: list[tuple[int | str, int, int]]) -> list[tuple[int | str, int, int]]:
    """In the order of the table; SQLite has numbers before texts."""
    return sorted(postings, key=lambda each: (isinstance(each[0], str), *each))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_READONLY,
        ):
            raise TransientError(f"the index {path} can't be written: {error}; see to the disk") from error
        raise Unusable(f"the index {path} can't be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Unusable(f"the index {path} is broken: {error}") from error
