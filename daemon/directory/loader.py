"""Reads the definition files of one Asterisk and keeps its current tables. Adapter of the file system.

A reload that fails changes nothing: a file that was there and is gone, that
can't be read, or that had rows and now has none (half-written, emptied).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from daemon.directory.definitions import (
    CLIENTS_FILE,
    ENDPOINTS_FILE,
    SERVERS_FILE,
    BadLine,
    Table,
    assemble,
    parse_clients,
    parse_endpoints,
    parse_servers,
)
from daemon.directory.model import Client, Directory, EndpointEntry, MessageServer
from daemon.errors import PermanentError, TransientError

log = logging.getLogger("arimonitor.directory")

# What `reload WHICH` names, and the file of each. Definition files are some
# hundred kB; a folder's device or log behind such a name is no such file.
FILES: Mapping[str, str] = MappingProxyType(
    {"clients": CLIENTS_FILE, "endpoints": ENDPOINTS_FILE, "mqservers": SERVERS_FILE}
)
_MOST_BYTES = 64 * 1024 * 1024
_MOST_LOGGED = 20


@dataclass(frozen=True, slots=True)
class Tables:
    """The parsed files. A missing one is empty and named in `missing`."""

    clients: Table[Client] = field(default_factory=Table)
    endpoints: Table[EndpointEntry] = field(default_factory=Table)
    servers: Table[MessageServer] = field(default_factory=Table)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A directory, the lines that were skipped, rows by name of the table, missing files."""

    directory: Directory
    bad_lines: tuple[BadLine, ...]
    counts: Mapping[str, int]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of a reload: `sentence` says it for people; not `ok`: the old tables are kept."""

    ok: bool
    sentence: str
    counts: Mapping[str, int]
    bad_lines: tuple[BadLine, ...]


def load(folder: Path) -> Loaded:
    """Every definition file of a folder. Raises TransientError where a file is there but can't be read."""
    tables = _read_all(folder, FILES)
    return _loaded(tables)


class DirectoryHolder:
    """The current directory of one Asterisk.

    `current` is replaced whole and may be read from anywhere. The first load
    is the constructor's `start`: it never fails, what can't be read is empty
    and warned about.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """Name of the Asterisk, folder of its definition files. Nothing is read yet: see `start`."""
        self.name = name
        self.folder = folder
        self._tables = Tables(missing=tuple(FILES.values()))
        self._loaded = _loaded(self._tables)

    @property
    def current(self) -> Directory:
        """The tables in force."""
        return self._loaded.directory

    @property
    def loaded(self) -> Loaded:
        """The tables in force with their bad lines and counts."""
        return self._loaded

    def start(self) -> Reloaded:
        """The first load: each file for itself, so that one that can't be read costs only its own table."""
        tables, unreadable = Tables(), []
        for which, file in FILES.items():
            try:
                tables = _merge(tables, _read_all(self.folder, {which: file}), which)
            except TransientError as error:
                unreadable.append(str(error))
        self._take(tables)
        ok = not unreadable and not tables.missing
        if not self.folder.is_dir():
            sentence = f"no definition files of {self.name}: the folder {self.folder} is not there"
        else:
            gone = [f"{self.folder / file} is not there" for file in tables.missing]
            sentence = "; ".join(
                [f"loaded the definitions of {self.name}: {self._counted()}", *gone, *unreadable]
            )
        (log.info if ok else log.warning)("%s", sentence)
        self._log_bad_lines()
        return Reloaded(ok, sentence, self._loaded.counts, self._loaded.bad_lines)

    def reload(self, which: str = "all") -> Reloaded:
        """Read `clients`, `endpoints`, `mqservers` or `all` again; all or nothing.

        Raises PermanentError for another word.
        """
        if which != "all" and which not in FILES:
            raise PermanentError(f"there is no table {which!r}; there are {', '.join(FILES)} and all")
        wanted = dict(FILES) if which == "all" else {which: FILES[which]}
        try:
            fresh = _read_all(self.folder, wanted)
            tables = self._tables
            for each in wanted:
                tables = _merge(tables, fresh, each)
            self._compare(tables)
        except TransientError as error:
            sentence = f"the definitions of {self.name} stay as they are ({self._counted()}): {error}"
            log.warning("%s", sentence)
            return Reloaded(False, sentence, self._loaded.counts, self._loaded.bad_lines)
        self._take(tables)
        sentence = f"read the definitions of {self.name} again: {self._counted()}"
        log.info("%s", sentence)
        self._log_bad_lines()
        return Reloaded(True, sentence, self._loaded.counts, self._loaded.bad_lines)

    def _compare(self, tables: Tables) -> None:
        """Raises TransientError where a file looks damaged beside what we have."""
        for which, file in FILES.items():
            before, after = _table(self._tables, which), _table(tables, which)
            if file in tables.missing and file not in self._tables.missing:
                raise TransientError(f"{self.folder / file} is not there any more")
            if before.rows and not after.rows:
                wrong = f" ({len(after.bad)} bad lines)" if after.bad else ""
                raise TransientError(
                    f"{self.folder / file} had {len(before.rows)} entries and has none now{wrong}"
                )

    def _take(self, tables: Tables) -> None:
        self._tables, self._loaded = tables, _loaded(tables)

    def _counted(self) -> str:
        bad = len(self._loaded.bad_lines)
        counts = ", ".join(f"{number} {which}" for which, number in self._loaded.counts.items())
        return counts + (f", {bad} bad line{'s' if bad > 1 else ''}" if bad else "")

    def _log_bad_lines(self) -> None:
        for line in self._loaded.bad_lines[:_MOST_LOGGED]:
            log.warning("skipped in the definitions of %s: %s", self.name, line)
        more = len(self._loaded.bad_lines) - _MOST_LOGGED
        if more > 0:
            log.warning("skipped in the definitions of %s: %d more bad lines", self.name, more)


def _read_all(folder: Path, wanted: Mapping[str, str]) -> Tables:
    tables, missing = Tables(), []
    for which, file in wanted.items():
        data = _read(folder / file)
        if data is None:
            missing.append(file)
        elif which == "clients":
            tables = replace(tables, clients=parse_clients(data))
        elif which == "endpoints":
            tables = replace(tables, endpoints=parse_endpoints(data))
        else:
            tables = replace(tables, servers=parse_servers(data))
    return replace(tables, missing=tuple(missing))


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TransientError(f"{path} can't be read: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise TransientError(f"{path} is larger than {_MOST_BYTES // 1024 // 1024} MB")
    return data


def _table(tables: Tables, which: str) -> Table[Client] | Table[EndpointEntry] | Table[MessageServer]:
    if which == "clients":
        return tables.clients
    return tables.endpoints if which == "endpoints" else tables.servers


def _merge(old: Tables, fresh: Tables, which: str) -> Tables:
    """`old` with the table `which`, and what is known of its file, of `fresh`."""
    file = FILES[which]
    missing = tuple(f for f in old.missing if f != file) + ((file,) if file in fresh.missing else ())
    return Tables(
        fresh.clients if which == "clients" else old.clients,
        fresh.endpoints if which == "endpoints" else old.endpoints,
        fresh.servers if which == "mqservers" else old.servers,
        missing,
    )


def _loaded(tables: Tables) -> Loaded:
    directory, doubtful = assemble(tables.clients, tables.endpoints, tables.servers)
    counts = {
        "clients": len(directory.clients),
        "endpoints": len(directory.endpoints),
        "mqservers": len(directory.servers),
    }
    bad = (*tables.clients.bad, *doubtful, *tables.endpoints.bad, *tables.servers.bad)
    return Loaded(directory, bad, MappingProxyType(counts), tables.missing)
