"""Moves a file within an SFTP session of paramiko, in the greenlet that asks. Adapter.

For files so small that no child process is worth it, and where there is no
`ssh` program. The same methods as `pump.Pump`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ssh.connection import Connection, sync_file
from ssh.errors import SshUnreachable
from ssh.pace import Pace
from ssh.traffic import Moving, Traffic

_CHUNK: Final = 32 * 1024
_AHEAD: Final = 4 * 1024 * 1024  # bytes asked for at a time
_LOCAL_PIECE: Final = 1024 * 1024


class InPlace:
    """For one greenlet; see Pump for the methods."""

    def __init__(self, connection: Connection, client: Any, traffic: Traffic) -> None:
        self._connection = connection
        self._client = client
        self._traffic = traffic

    def send(
        self, local: Path, remote: str, begin: int, moving: Moving, *, deadline: float, sync: bool
    ) -> str:
        """As Pump.send."""
        digest = hashlib.sha256()
        with self._connection.within(deadline, f"sending of {remote}"), local.open("rb") as source:
            went = self._went(moving, deadline)
            with self._client.open(remote, "ab" if begin else "wb") as target:
                self._client.chmod(remote, 0o600)
                target.set_pipelined(True)
                for data in _read(source, begin):
                    digest.update(data)
                while data := source.read(_CHUNK):
                    digest.update(data)
                    went(len(data))
                    target.write(data)
                if sync:
                    sync_file(self._client, target)
        return digest.hexdigest()

    def fetch(
        self, remote: str, local: Path, begin: int, moving: Moving, *, deadline: float, sync: bool
    ) -> str:
        """As Pump.fetch."""
        digest = hashlib.sha256()
        with self._connection.within(deadline, f"fetching of {remote}"), local.open("a+b") as target:
            target.truncate(begin)
            target.seek(0)
            for data in _read(target, begin):
                digest.update(data)
            arrived, went = begin, self._went(moving, deadline)
            with self._client.open(remote, "rb") as source:
                rate = self._traffic.rate(moving)
                for data in pieces(source, begin, moving.of, rate // 5 or _AHEAD):
                    went(len(data))
                    digest.update(data)
                    target.write(data)
                    arrived += len(data)
            target.flush()
            if sync:
                os.fsync(target.fileno())
        if arrived != moving.of:
            raise SshUnreachable(f"{self._connection.place}: fetching of {remote}: it is shorter than it was")
        return digest.hexdigest()

    def digest(self, remote: str, moving: Moving, *, deadline: float) -> str:
        """As Pump.digest."""
        digest = hashlib.sha256()
        with (
            self._connection.within(deadline, f"reading back of {remote}"),
            self._client.open(remote, "rb") as file,
        ):
            went = self._went(moving, deadline)
            for data in pieces(file, 0, moving.of):
                went(len(data))
                digest.update(data)
        return digest.hexdigest()

    def describe(self, local: Path, moving: Moving, *, deadline: float) -> str:
        """As Pump.describe."""
        digest = hashlib.sha256()
        went = self._went(moving, deadline)
        with local.open("rb") as file:
            for data in _read(file, moving.of):
                went(0)
                digest.update(data)
        return digest.hexdigest()

    def _went(self, moving: Moving, deadline: float) -> Callable[[int], None]:
        pace, until = Pace(self._traffic.rate(moving)), time.monotonic() + deadline
        began = moving.moved

        def went(count: int) -> None:
            nonlocal began
            pace.rate = self._traffic.rate(moving)
            pace.take(count)
            if time.monotonic() > until:
                raise TimeoutError
            began += count
            moving.moved = min(began, moving.of)

        return went


def pieces(file: Any, begin: int, end: int, ahead: int = _AHEAD) -> Iterator[bytes]:
    """A remote file's bytes, `ahead` asked for at a time, which bounds the memory."""
    if end - begin <= _CHUNK:  # most definition and provisioning files: one request, no thread
        file.seek(begin)
        yield file.read(max(0, end - begin))
        return
    for start in range(begin, end, ahead := min(max(ahead, _CHUNK), _AHEAD)):
        stop = min(start + ahead, end)
        yield from file.readv([(at, min(_CHUNK, stop - at)) for at in range(start, stop, _CHUNK)])


def _read(file: Any, count: int) -> Iterator[bytes]:
    """The next `count` bytes of a local file."""
    while count > 0 and (data := file.read(min(count, _LOCAL_PIECE))):
        yield data
        count -= len(data)
