"""A search in trees of recordings, and the sweep that keeps their index. Adapter of the file system.

A folder whose mtime is the index's is not read; any other is, whatever the
index says. Folders that are links are not followed (name their target as a
root of its own); a file that is a link counts if it ends below a root.

Runs in a native thread or a child process: plain data, no logging.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from daemon.errors import TransientError
from daemon.recordings import names
from daemon.recordings.index import Index, Place, Unusable, children_of

_SETTLED: Final = 50_000_000
"""ns after which a folder's mtime tells of every change: the kernel's clock for it ticks coarsely."""
_LOOK_AT_CLOCK: Final = 20_000
_DEEPEST: Final = 12
_NOBODYS: Final = b"lost+found"
"""In the root of each ext4 file system, for root's eyes only."""


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A file that matched and is there. `path` below root number `root`; `mtime` seconds since 1970."""

    root: int
    path: str
    name: names.Name
    bytes: int
    mtime: float


class Result(msgspec.Struct, frozen=True):
    """`refused`: what can't be given and why; `read`: names read; `missing`: roots that can't be."""

    hits: tuple[Hit, ...]
    refused: tuple[tuple[str, str], ...] = ()
    read: int = 0
    missing: tuple[str, ...] = ()


def search(
    index: Index, roots: Sequence[str], extensions: Sequence[str], begin: int, end: int, seconds: float
) -> Result:
    """Every recording of these extensions (as origin or destiny, exactly) in these wall seconds, inclusive.

    TransientError: it takes longer than `seconds` (a tree without an index), or the disk fails.
    """
    deadline = time.monotonic() + seconds
    try:
        folders = index.folders()
        candidates = index.matches(extensions, begin, end)
    except Unusable:
        index.close()
        folders, candidates = {}, []
    look = _Look(index, folders, tuple(extensions), begin, end, deadline)
    for number, root in enumerate(roots):
        look.root(number, root)
    numbers = {os.fsencode(root): number for number, root in enumerate(roots)}
    for folder, name in candidates:
        root_path, path = index.places.get(folder, (b"", b""))
        known = numbers.get(root_path)
        if known is None or (root_path, path) in look.read_now:
            continue
        below = os.fsdecode(path)
        look.found.add((known, f"{below}/{name}" if below else name))
    return look.result(roots)


class _Look:
    def __init__(
        self,
        index: Index,
        folders: dict[Place, tuple[int, int]],
        extensions: tuple[str, ...],
        begin: int,
        end: int,
        deadline: float,
    ) -> None:
        self.found: set[tuple[int, str]] = set()
        self.read_now: set[Place] = set()
        self._folders = folders
        self._extensions = extensions
        self._maybe = re.compile("|".join(map(re.escape, extensions)))
        self._begin, self._end, self._deadline = begin, end, deadline
        self._names = 0
        self._missing: list[str] = []
        self._refused: list[tuple[str, str]] = []
        self._children = index.children

    def root(self, number: int, root: str) -> None:
        if not os.path.isdir(root):
            self._missing.append(root)
            return
        try:
            self._folder(number, os.fsencode(root), b"")
        except OSError:
            self._missing.append(root)

    def _folder(self, number: int, root: bytes, path: bytes) -> None:
        place = root + b"/" + path if path else root
        try:
            mtime = os.stat(place).st_mtime_ns
        except FileNotFoundError:
            self.read_now.add((root, path))
            return
        known = self._folders.get((root, path))
        if known is not None and known[1] == mtime:
            below = self._children.get((root, path), [])
        else:
            self.read_now.add((root, path))
            below = self._read(number, place, path)
        for child in below:
            if child == _NOBODYS or not names.may_hold(os.fsdecode(child).split("/"), self._begin, self._end):
                continue
            try:
                self._folder(number, root, child)
            except PermissionError:
                # It does not spoil the request, and it is told.
                self._refused.append((names.shown(os.fsdecode(child)) + "/", "unreadable"))

    def _read(self, number: int, place: bytes, path: bytes) -> list[bytes]:
        prefix = os.fsdecode(path) + "/" if path else ""
        below = []
        # A flat folder may hold a million names, and each search reads it: every step here counts.
        maybe = self._maybe.search
        with os.scandir(os.fsdecode(place)) as entries:
            for entry in entries:
                self._names += 1
                if self._names % _LOOK_AT_CLOCK == 0 and time.monotonic() > self._deadline:
                    raise TransientError(
                        "the recordings can't be searched in time: the index is not made yet;"
                        " `arimonitor recordings index` makes it"
                    )
                name = entry.name
                if maybe(name) and self._matches(name):
                    self.found.add((number, prefix + name))
                elif entry.is_dir(follow_symlinks=False):
                    below.append(os.fsencode(prefix + name))
        return below

    def _matches(self, name: str) -> bool:
        read = names.parse(name)
        return (
            read is not None
            and self._begin <= read.wall <= self._end
            and (read.origin in self._extensions or read.destiny in self._extensions)
        )

    def result(self, roots: Sequence[str]) -> Result:
        """Verify each: it is there, it is a file, it is below a root."""
        hits, refused = [], list(self._refused)
        for number, path in sorted(self.found):
            name = path.rpartition("/")[2]
            read = names.parse(name)
            try:
                found = os.lstat(f"{roots[number]}/{path}")
                if stat.S_ISLNK(found.st_mode):
                    found = _target(roots, f"{roots[number]}/{path}")
            except FileNotFoundError:
                continue
            except PermissionError:
                refused.append((names.shown(name), "unreadable"))
                continue
            except _Outside:
                refused.append((names.shown(name), "outside"))
                continue
            if read is not None and stat.S_ISREG(found.st_mode):
                hits.append(Hit(number, path, read, found.st_size, found.st_mtime))
        return Result(tuple(hits), tuple(refused), self._names, tuple(self._missing))


class _Outside(Exception):
    """A link that leaves the roots."""


def _target(roots: Sequence[str], path: str) -> os.stat_result:
    if not below(roots, os.path.realpath(path)):
        raise _Outside
    return os.stat(path)


def below(roots: Sequence[str], real: str) -> bool:
    """Whether a real path lies in one of the roots."""
    return any(real.startswith(os.path.realpath(root).rstrip("/") + "/") for root in roots)


# -- the sweep --------------------------------------------------------------------------------------
class Swept(msgspec.Struct, frozen=True):
    """What a sweep did."""

    folders: int
    read: int
    came: int
    went: int
    files: int
    seconds: float


Progress = Callable[[int, int, int], None]
"""Folders done, folders known so far, names read."""


def sweep(path: Path, roots: Sequence[str], progress: Progress, *, rebuild: bool = False) -> Swept:
    """Bring the index up to date: read the folders that have changed. Raises TransientError."""
    began = time.monotonic()
    index = Index(path, writable=True)
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TransientError(f"another process is just sweeping into the index {path}") from error
        if rebuild:
            index.clear()
        index.open()
        try:
            known = index.folders()
        except Unusable:
            index.clear()
            known = {}
        return _swept(index, dict(known), roots, progress, began)
    except Unusable as error:
        raise TransientError(str(error)) from error
    finally:
        index.close()
        os.close(lock)


def _swept(
    index: Index,
    known: dict[Place, tuple[int, int]],
    roots: Sequence[str],
    progress: Progress,
    began: float,
) -> Swept:
    children = children_of(known)
    if not known:
        index.begin()
    waiting = [(os.fsencode(root), b"") for root in roots if os.path.isdir(root)]
    # A root that is away (a disk not mounted) keeps its rows: it may come back.
    away = {os.fsencode(root) for root in roots} - {root for root, _ in waiting}
    done = read = came = went = 0
    seen = set()
    while waiting:
        root, path = waiting.pop()
        seen.add((root, path))
        place = root + b"/" + path if path else root
        try:
            now, mtime = time.time_ns(), os.stat(place).st_mtime_ns
            if (root, path) in known and known[root, path][1] == mtime:
                below_it = children.get((root, path), [])
            else:
                entries, below_it = _listed(place, path)
                read += len(entries)
                settled = mtime if now - mtime > _SETTLED else 0
                more, less = index.replace(root, path, settled, entries)
                came, went = came + more, went + less
        except OSError:
            if (root, path) not in known:
                continue  # it is not readable or gone again: a search that needs it will say so
            below_it = []
        waiting += [(root, child) for child in below_it if child.count(b"/") < _DEEPEST and child != _NOBODYS]
        done += 1
        progress(done, done + len(waiting), read)
    for root, path in known.keys() - seen:
        if root not in away:
            went += index.forget(root, path)
    index.finish()
    return Swept(done, read, came, went, index.totals()[1], time.monotonic() - began)


def _listed(place: bytes, path: bytes) -> tuple[list[str], list[bytes]]:
    entries, below_it = [], []
    with os.scandir(place) as found:
        for entry in found:
            name = os.fsdecode(entry.name)
            if name[-4:].lower() in (".wav", ".mp3") and not entry.is_dir(follow_symlinks=False):
                entries.append(name)
            elif entry.is_dir(follow_symlinks=False):
                below_it.append(path + b"/" + entry.name if path else entry.name)
    return entries, below_it
