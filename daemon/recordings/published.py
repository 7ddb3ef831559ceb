"""What is published: a ZIP under a name nobody guesses, and a note of when it expires. Adapter.

    <publish_dir>/<32 hex digits>.zip      the web server of the site need not serve it: /r/TOKEN does
    <data_dir>/published/<the same>.json   the note: written last, so a publication without it never happened
    <data_dir>/published/<the same>.PEER.unshared    it is not on that other node yet (`sharing`)
    <data_dir>/published/key.check         tells other nodes whether their links are signed as ours
    <data_dir>/link.key                    signs the links, 0600

A ZIP is written beside its place as .<name>.part, synced, and renamed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from daemon.errors import FatalError, TransientError
from daemon.recordings.model import LeftOut
from daemon.runtime.durable import sync_folder

_KEY_BYTES: Final = 32
_OURS: Final = re.compile(r"[0-9a-f]{32}")
_PARTS: Final = re.compile(r"\.[0-9a-f]{32}(\.(zip|json)\.[0-9]+-[0-9a-f]+)?\.part")  # another node's too
_UNSHARED: Final = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]+)\.unshared")
_STALE_PART: Final = 24 * 3600.0


KEY_CHECK: Final = "key.check"


class NotedRow(msgspec.Struct, frozen=True):
    """A recording of a publication; `url_key` is its key in the bucket, "" where the ZIP serves it."""

    origin: str
    destiny: str
    started: str
    seconds: float | None
    url_key: str = ""


class Note(msgspec.Struct, frozen=True):
    """What an answer is written from again. Times are seconds since 1970; `place` is folder or s3."""

    request_id: str
    published: float
    expires: int
    bytes: int
    rows: tuple[NotedRow, ...]
    left_out: tuple[LeftOut, ...] = ()
    rate: int = 0
    place: str = "folder"
    url_key: str = ""


class Shelf:
    """The folder, the notes and the key of one node. Everything is quick, but for `prune`.

    `peers`: the other nodes that have publications too.
    """

    def __init__(
        self,
        publish_dir: Path,
        data_dir: Path,
        *,
        peers: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = publish_dir
        self.peers = tuple(peers)
        self.notes = data_dir / "published"
        self._key_file = data_dir / "link.key"
        self._clock = clock

    def key(self) -> bytes:
        """The key of this node, made at first use. FatalError: it can't be read or made."""
        try:
            self._key_file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._key_file.with_name(f".link.key.{os.getpid()}")
            if not self._key_file.exists():
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(secrets.token_bytes(_KEY_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):  # the first of two processes wins
                    os.link(fresh, self._key_file)
                fresh.unlink()
            key = self._key_file.read_bytes()
        except OSError as error:
            raise FatalError(
                f"the key of the links {self._key_file} can't be used: {error.strerror}"
            ) from error
        if len(key) < _KEY_BYTES:
            raise FatalError(
                f"the key of the links {self._key_file} is cut short: remove it; all links end with it"
            )
        return key

    def path(self, publication: str) -> Path:
        """Where its ZIP is."""
        return self.folder / f"{publication}.zip"

    def part(self, publication: str) -> Path:
        """Where it is written first."""
        return self.folder / f".{publication}.part"

    def note(self, publication: str) -> Note | None:
        """The note of a publication that is there; None: there is none, or it is not finished."""
        try:
            note = msgspec.json.decode((self.notes / f"{publication}.json").read_bytes(), type=Note)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise TransientError(
                f"the note of a publication in {self.notes} can't be read: {error}"
            ) from error
        return note if note.place != "folder" or self.path(publication).exists() else None

    def prepare(self, check: str = "") -> None:
        """Make the folders, so that other nodes can put something there; write key.check. OSError: disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        if check:
            _written(self.notes, KEY_CHECK, check.encode())

    def publish(self, publication: str, note: Note) -> None:
        """The part becomes the ZIP, it is put on the list of what other nodes lack, the note is written.

        OSError: the disk.
        """
        self.notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        if note.place == "folder":
            os.replace(self.part(publication), self.path(publication))
            sync_folder(self.folder)
        for peer in self.peers:
            _written(self.notes, f"{publication}.{peer}.unshared", b"")
        _written(self.notes, f"{publication}.json", msgspec.json.encode(note))

    def note_path(self, publication: str) -> Path:
        """Where its note is."""
        return self.notes / f"{publication}.json"

    def unshared(self) -> list[tuple[str, str]]:
        """(publication, peer) of what a peer lacks, oldest first; what has no note any more is left out."""
        found = []
        for path in self.notes.glob("*.unshared"):
            if (known := _UNSHARED.fullmatch(path.name)) is None:
                continue
            written = path.stat().st_mtime
            if known[2] in self.peers and self.note_path(known[1]).exists():
                found.append((written, known[1], known[2]))
            elif self._clock() - written > _STALE_PART:  # not one whose note is just being written
                path.unlink(missing_ok=True)
        return [(publication, peer) for _, publication, peer in sorted(found)]

    def shared(self, publication: str, peer: str) -> None:
        """That peer has it."""
        (self.notes / f"{publication}.{peer}.unshared").unlink(missing_ok=True)

    def withdraw(self, publication: str) -> None:
        """Remove what a try left behind."""
        for path in (self.part(publication), self.notes / f".{publication}.part"):
            path.unlink(missing_ok=True)

    def expired(self, keep: float) -> list[tuple[str, Note]]:
        """Publications whose links have ended and that are older than `keep` seconds."""
        now = self._clock()
        found = []
        for path in sorted(self.notes.glob("*.json")):
            if _OURS.fullmatch(path.stem):
                try:
                    note = msgspec.json.decode(path.read_bytes(), type=Note)
                except (FileNotFoundError, msgspec.DecodeError):
                    continue  # no note of ours any more: somebody's file is left alone
                if now > note.expires and now > note.published + keep:
                    found.append((path.stem, note))
        return found

    def remove(self, publication: str) -> None:
        """ZIP first, then its note."""
        self.path(publication).unlink(missing_ok=True)
        for path in self.notes.glob(f"{publication}.*"):
            path.unlink(missing_ok=True)

    def prune_parts(self) -> int:
        """Remove what a killed process left and nobody took up within a day."""
        removed = 0
        for folder in (self.folder, self.notes):
            for entry in os.scandir(folder) if folder.is_dir() else ():
                if _PARTS.fullmatch(entry.name) and self._clock() - entry.stat().st_mtime > _STALE_PART:
                    os.unlink(entry.path)
                    removed += 1
        return removed

    def room(self, needed: int, reserve: int, folder: Path | None = None) -> None:
        """TransientError: less than `needed` and `reserve` bytes are free in the shelf, or in `folder`."""
        place = folder or self.folder
        free = shutil.disk_usage(place).free
        if free < needed + reserve:
            raise TransientError(
                f"the disk of {place} has {free >> 20} MB free, and"
                f" {(needed + reserve) >> 20} MB are needed: make room there"
            )


def _written(folder: Path, name: str, data: bytes) -> None:
    """A file that is there whole or as it was, synced."""
    fresh = folder / f".{name.partition('.')[0]}.part"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, folder / name)
    sync_folder(folder)
