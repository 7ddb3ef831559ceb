"""What of requests stays on this node's disk while ZooKeeper has the record: large outcomes, and steps that
could not be told yet. Adapter of the file system; all of it runs off the hub.

A file is written under a temporary name, synced, given its name, and the folder is synced.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

import msgspec

from daemon.errors import TransientError
from daemon.jobs.model import Outcome, Record
from daemon.runtime.durable import sync_folder

log = logging.getLogger("arimonitor.requests")

_KEEP = 15 * 86_400.0  # seconds: longer than the record is remembered
_SWEEP = 3600.0


class Outcomes:
    """`folder`/REQUESTID.json: outcomes that are too large for their records. Raises TransientError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = 0.0

    def keep(self, request_id: str, outcome: Outcome) -> str:
        """It is on the disk when this returns; its SHA-256."""
        data = msgspec.json.encode(outcome)
        path = self._folder / f"{request_id}.json"
        try:
            if not path.exists() or path.read_bytes() != data:
                _write(path, data)
            self._sweep()
        except OSError as error:
            raise TransientError(f"{path} can't be written: {error.strerror or error}") from error
        return hashlib.sha256(data).hexdigest()

    def read(self, request_id: str, digest: str) -> Outcome | None:
        """The outcome with that SHA-256; None: it is not here (any more)."""
        path = self._folder / f"{request_id}.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TransientError(f"{path} can't be read: {error.strerror or error}") from error
        return msgspec.json.decode(data, type=Outcome) if hashlib.sha256(data).hexdigest() == digest else None

    def _sweep(self) -> None:
        now = time.time()
        if now - self._swept < _SWEEP:
            return
        self._swept = now
        for path in self._folder.iterdir():
            if path.stat().st_mtime < now - _KEEP:
                path.unlink(missing_ok=True)


class Step(msgspec.Struct, frozen=True):
    """A step of a record that was made here: from what to what."""

    before: Record
    after: Record


class UntoldSteps:
    """`folder`/REQUESTID.json: what a work ended with while the records could not be reached.

    Raises TransientError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, step: Step) -> None:
        """It survives the power."""
        path = self._path(step.before.request.request_id)
        try:
            _write(path, msgspec.json.encode(step))
        except OSError as error:
            raise TransientError(f"{path} can't be written: {error.strerror or error}") from error

    def all(self) -> list[Step]:
        """Those that are kept."""
        try:
            found = [path.read_bytes() for path in sorted(self._folder.glob("[!.]*.json"))]
        except OSError as error:
            raise TransientError(f"{self._folder} can't be read: {error.strerror or error}") from error
        return [msgspec.json.decode(data, type=Step) for data in found]

    def drop(self, request_id: str) -> None:
        """It was told."""
        try:
            self._path(request_id).unlink(missing_ok=True)
        except OSError as error:
            raise TransientError(f"{self._folder} can't be changed: {error.strerror or error}") from error

    def _path(self, request_id: str) -> Path:
        return self._folder / f"{request_id}.json"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
