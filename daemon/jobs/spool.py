"""The queue's folders: one request, one file. Adapter of the file system; all of it runs off the hub.

    pending/ processing/ completed/ failed/ superseded/

A file is written under a temporary name, synced, given its name, and the folder
is synced. The record is the truth, the file its mirror: `put` makes the folders
say what the record says, whatever they said before. People may drop files of
their own into pending/; `dropped` finds them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import TransientError
from daemon.jobs.policy import Folder
from daemon.jobs.requestfile import MAX_BYTES
from daemon.runtime.durable import sync_folder

FOLDERS: tuple[Folder, ...] = ("pending", "processing", "completed", "failed", "superseded")
_REASON = ".reason.txt"
_SAFE = re.compile(r"[^A-Za-z0-9._-]")
_MOST = 1000  # dropped files looked at in one round


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file in pending/ that is nobody's yet. `data` is None where it can't be read: `problem` says why.

    `age` in seconds since it was last written: a young one may still be on its way.
    """

    name: str
    data: bytes | None
    age: float
    problem: str = ""

    @property
    def source(self) -> str:
        """What tells this file from another of its name: a hash of its content, and the name."""
        return f"{hashlib.sha256(self.data or b'').hexdigest()[:16]} {self.name}"


class Spool:
    """The folders under one directory. Every method raises TransientError where the disk refuses."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folders; take away what a crash left half written."""
        try:
            for folder in FOLDERS:
                (self.root / folder).mkdir(mode=0o750, parents=True, exist_ok=True)
                for name in os.listdir(self.root / folder):
                    if name.startswith(".") and name.endswith(".part"):
                        _remove(self.root / folder / name)
        except OSError as error:
            raise self._trouble(error) from error

    def put(self, request_id: str, folder: Folder, data: bytes) -> None:
        """The request's file is in this folder, with this content, and in no other."""
        name = f"{request_id}.json"
        try:
            final = self.root / folder / name
            if not _same(final, data):
                _write(final, data)
            for other in FOLDERS:
                if other != folder and _remove(self.root / other / name):
                    sync_folder(self.root / other)
        except OSError as error:
            raise self._trouble(error) from error

    def drop(self, request_id: str, data: bytes) -> bool:
        """A new file in pending/, as somebody from outside; False: there is one of that name."""
        folder = self.root / "pending"
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            _write(folder / f"{request_id}.json", data, exclusive=True, owner=folder.stat())
        except FileExistsError:
            return False
        except OSError as error:
            raise self._trouble(error) from error
        return True

    def dropped(self, known: Sequence[str], now: float) -> list[Dropped]:
        """The files in pending/ that are not those of the `known` ids, oldest first."""
        ours = {f"{request_id}.json" for request_id in known}
        found: list[tuple[float, str]] = []
        try:
            with os.scandir(self.root / "pending") as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name in ours or entry.name.endswith(_REASON):
                        continue
                    with suppress(FileNotFoundError):
                        found.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
        except FileNotFoundError:
            self.prepare()
            return []
        except OSError as error:
            raise self._trouble(error) from error
        return [self._look(name, now - written) for written, name in sorted(found)[:_MOST]]

    def _look(self, name: str, age: float, folder: Folder = "pending") -> Dropped:
        path = self.root / folder / name
        if not name.endswith(".json"):
            return Dropped(name, None, age, "its name does not end with .json")
        if path.is_symlink() or not path.is_file():
            return Dropped(name, None, age, "it is no plain file")
        try:
            # Not to wait for the other end of what became a pipe meanwhile.
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(file, "rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            return Dropped(name, None, age, f"it can't be read: {error.strerror}")
        if len(data) > MAX_BYTES:
            return Dropped(name, None, age, f"it has more than {MAX_BYTES // 1024} KiB")
        return Dropped(name, data, age)

    def contents(self) -> list[tuple[Folder, bytes]]:
        """All requests' files, and in which folder each is; those that can't be read are left out."""
        found: list[tuple[Folder, bytes]] = []
        try:
            for folder in ("pending", "processing", "completed", "failed"):
                for path in sorted((self.root / folder).glob("*.json")):
                    looked = self._look(path.name, 0.0, folder)
                    if looked.data is not None:
                        found.append((folder, looked.data))
        except OSError as error:
            raise self._trouble(error) from error
        return found

    def is_superseded(self, request_id: str) -> bool:
        """Whether its file was put away here, since another node has it."""
        return (self.root / "superseded" / f"{request_id}.json").exists()

    def holds(self, request_id: str) -> bool:
        """Whether its file waits or is worked on here."""
        return any(
            (self.root / folder / f"{request_id}.json").exists() for folder in ("pending", "processing")
        )

    def working(self) -> list[str]:
        """The ids of the files in processing/."""
        try:
            names = os.listdir(self.root / "processing")
            return [name.removesuffix(".json") for name in names if name.endswith(".json")]
        except OSError as error:
            raise self._trouble(error) from error

    def waits(self, name: str) -> bool:
        """Whether this file is in pending/ now."""
        return (self.root / "pending" / name).exists()

    def refuse(self, name: str, reason: str) -> str:
        """A dropped file goes to failed/ with the reason beside it; its name there."""
        there = self._free(self.root / "failed", name)
        try:
            os.rename(self.root / "pending" / name, there)
            _write(there.with_name(there.name + _REASON), (reason + "\n").encode())
            sync_folder(self.root / "pending")
        except FileNotFoundError:
            return name  # somebody took it away meanwhile
        except OSError as error:
            raise self._trouble(error) from error
        return there.name

    def taken(self, source: str) -> None:
        """A dropped file was taken in under another name; one that was dropped anew meanwhile stays."""
        name = source.partition(" ")[2]
        try:
            found = self._look(name, 0.0)
            if found.data is not None and found.source == source and _remove(self.root / "pending" / name):
                sync_folder(self.root / "pending")
        except OSError as error:
            raise self._trouble(error) from error

    def free_id(self, request_id: str, known: Sequence[str]) -> str:
        """The id with the first suffix that neither a record nor a file has."""
        for number in range(2, 10_000):
            candidate = f"{request_id[:74]}-{number}"
            if candidate in known:
                continue
            if not any((self.root / folder / f"{candidate}.json").exists() for folder in FOLDERS):
                return candidate
        raise TransientError(f"there are too many files like {request_id} in {self.root}: take old ones away")

    def aged(self, before: float) -> list[str]:
        """The ids of requests' files in completed/ and failed/ that were last written before then."""
        found = []
        try:
            for folder in ("completed", "failed"):
                with os.scandir(self.root / folder) as entries:
                    for entry in entries:
                        old = entry.stat(follow_symlinks=False).st_mtime < before
                        if old and entry.name.endswith(".json") and not Path(entry.path + _REASON).exists():
                            found.append(entry.name.removesuffix(".json"))
        except OSError as error:
            raise self._trouble(error) from error
        return found

    def forget(self, request_ids: Sequence[str], before: float) -> int:
        """Delete the files of these ids, and what was refused or superseded before then; how many."""
        gone = 0
        try:
            for request_id in request_ids:
                for folder in ("completed", "failed"):
                    gone += _remove(self.root / folder / f"{request_id}.json")
            for folder in ("failed", "superseded"):
                with os.scandir(self.root / folder) as entries:
                    old = [e.path for e in entries if e.stat(follow_symlinks=False).st_mtime < before]
                for path in old:
                    reason = Path(path + _REASON)
                    if path.endswith(_REASON) or reason.exists() or folder == "superseded":
                        gone += _remove(Path(path))
        except OSError as error:
            raise self._trouble(error) from error
        return gone

    def _free(self, folder: Path, name: str) -> Path:
        safe = _SAFE.sub("_", name)[:120] or "file"
        for number in range(10_000):
            path = folder / (safe if not number else f"{number}-{safe}")
            if not path.exists() and not path.is_symlink():
                return path
        raise TransientError(f"there are too many files like {safe} in {folder}: take old ones away")

    def _trouble(self, error: OSError) -> TransientError:
        return TransientError(
            f"the queue's folder {self.root} can't be used: {error.strerror or error};"
            " is the disk full, or are its rights wrong?"
        )


def _same(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False


def _write(final: Path, data: bytes, *, exclusive: bool = False, owner: os.stat_result | None = None) -> None:
    """Temporary name, sync, final name, sync of the folder. `exclusive`: FileExistsError if it is there.

    `owner`: whose the file is to be, where root writes it.
    """
    part = final.with_name(f".{final.name}.{os.getpid()}.part")
    target = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        with os.fdopen(target, "wb") as file:
            file.write(data)
            if owner is not None and os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(part, final)
        else:
            os.rename(part, final)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(final.parent)


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
