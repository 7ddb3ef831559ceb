"""Files to and from another machine: whole or not at all, verified, resumed after a cut. Adapter of SFTP.

A file arrives under a temporary name beside its place, is verified (size, and
SHA-256 of what was sent against what is read back), and is then renamed. The
temporary name holds what the source was, so that a later try goes on with it
only if the source is still the same.

`deadline` is in seconds for the whole transfer, `rate` in bytes a second (0:
unbounded).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import stat as modes
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ssh.connection import Connection, Place, sync
from ssh.errors import AlreadyThere, NoSuchFile, SshError, SshRefused, SshUnreachable

_CHUNK: Final = 32 * 1024
_AHEAD: Final = 4 * 1024 * 1024  # bytes asked for at a time


@dataclass(frozen=True, slots=True)
class Stat:
    """What a remote path is: bytes, and when it was changed (s since 1970)."""

    size: int
    mtime: int
    mode: int
    regular: bool
    folder: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """A transfer that was done: bytes and SHA-256 of the whole file, bytes that an earlier try had moved."""

    size: int
    sha256: str
    mtime: int
    resumed: int = 0


class Files:
    """The files of one machine over one SFTP session. For one greenlet."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = connection.files()

    @property
    def place(self) -> Place:
        """Whose files."""
        return self._connection.place

    def close(self) -> None:
        """End the session. Never raises: a connection that broke is closed."""
        with contextlib.suppress(SshError), self._step("closing of SFTP") as client:
            client.close()

    @contextlib.contextmanager
    def _step(self, what: str, seconds: float | None = None) -> Iterator[Any]:
        with self._connection.within(seconds or self._connection.place.timeout, what):
            yield self._client

    def stat(self, path: str) -> Stat | None:
        """What is there, links followed; None: nothing."""
        try:
            with self._step(f"stat of {path}") as client:
                return _stat(client.stat(path))
        except NoSuchFile:
            return None

    def names(self, folder: str, most: int = 100_000) -> list[str]:
        """Names in a folder, sorted. Raises NoSuchFile, and SshRefused where there are more than `most`."""
        with self._step(f"listing of {folder}", 6 * self._connection.place.timeout) as client:
            found = client.listdir(folder)
        if len(found) > most:
            raise SshRefused(f"{self._connection.place}: {folder} holds {len(found)} files, more than {most}")
        return sorted(found)

    def read(self, path: str, *, most: int, offset: int = 0) -> bytes:
        """The file from `offset` to its present end. Raises SshRefused for more than `most` bytes."""
        with (
            self._step(f"reading of {path}", 6 * self._connection.place.timeout) as client,
            client.open(path, "rb") as file,
        ):
            end = file.stat().st_size
            if end - offset > most:
                raise SshRefused(f"{self._connection.place}: {path} has {end} bytes, more than {most}")
            return b"".join(_pieces(file, offset, end))

    def write_new(self, path: str, data: bytes, *, mode: int, temporary: str) -> None:
        """A new file, whole or not at all: `temporary` beside it, synced, read back, renamed.

        Raises AlreadyThere where `path` exists; nothing is ever replaced.
        """
        beside = posixpath.join(posixpath.dirname(path), temporary)
        try:
            with self._step(f"writing of {path}", 6 * self._connection.place.timeout) as client:
                with client.open(beside, "wb") as file:
                    client.chmod(beside, 0o600)
                    file.write(data)
                    sync(client, file)
                client.chmod(beside, mode)
                with client.open(beside, "rb") as file:
                    if file.read(len(data) + 1) != data:
                        raise SshUnreachable(f"{self._connection.place}: {beside} is not what was written")
            self.rename(beside, path)
        except SshError:
            with contextlib.suppress(SshError):  # the first error is the one to tell
                self.remove(beside)
            raise

    def rename(self, source: str, target: str) -> None:
        """Rename; raises AlreadyThere where the target exists (SFTP's own rename replaces nothing)."""
        try:
            if self.stat(target) is None:
                with self._step(f"renaming of {source} to {target}") as client:
                    client.rename(source, target)
                return
        except SshUnreachable:
            if self.stat(target) is None:
                raise
        raise AlreadyThere(f"{self._connection.place}: {target} is there already")

    def remove(self, path: str) -> None:
        """Remove a file; it may be gone already."""
        with contextlib.suppress(NoSuchFile), self._step(f"removing of {path}") as client:
            client.remove(path)

    def get(
        self, path: str, local: Path, *, deadline: float, most: int | None = None, rate: int = 0
    ) -> Moved:
        """Fetch a file to `local`, which is replaced at once or not at all; its times become the source's.

        Raises NoSuchFile, Denied, SshRefused (more than `most` bytes) and SshUnreachable, also where
        the source changed meanwhile. OSError: the local disk's.
        """
        before = self.stat(path)
        if before is None:
            raise NoSuchFile(f"{self._connection.place}: {path} is not there")
        if not before.regular:
            raise SshRefused(f"{self._connection.place}: {path} is no file")
        if most is not None and before.size > most:
            raise SshRefused(f"{self._connection.place}: {path} has {before.size} bytes, more than {most}")
        part = local.with_name(f".{local.name}.{before.size}-{before.mtime}.part")
        with self._step(f"fetching of {path}", deadline) as client:
            digest, done = _hashed(part, before.size)
            with client.open(path, "rb") as source, part.open("ab") as target:
                os.fchmod(target.fileno(), 0o640)
                target.truncate(done)
                pace, arrived = _Pace(rate, deadline), done
                for data in _pieces(source, done, before.size):
                    digest.update(data)
                    target.write(data)
                    arrived += len(data)
                    pace.sent(len(data))
                target.flush()
                os.fsync(target.fileno())
            after = _stat(client.stat(path))
        if arrived != before.size or (after.size, after.mtime) != (before.size, before.mtime):
            part.unlink()
            raise SshUnreachable(f"{self._connection.place}: {path} changed while it was fetched")
        os.utime(part, (before.mtime, before.mtime))
        part.replace(local)
        _forget_parts(local)
        return Moved(before.size, digest.hexdigest(), before.mtime, done)

    def put(
        self, local: Path, path: str, *, deadline: float, mode: int = 0o640, replace: bool, rate: int = 0
    ) -> Moved:
        """Send a file to `path`, which is there whole afterwards or as it was.

        It is read back and compared before it is renamed. Raises AlreadyThere
        where it exists with other content and not `replace`; the same content
        is no error. OSError: the local disk's.
        """
        size, mtime, sha256 = _described(local)
        part = posixpath.join(posixpath.dirname(path), f".{posixpath.basename(path)}.{sha256[:16]}.part")
        if not replace and (there := self.stat(path)) is not None:
            if there.size == size and self._sha256(path, deadline) == sha256:
                return Moved(size, sha256, mtime, size)
            raise AlreadyThere(f"{self._connection.place}: {path} is there already, with other content")
        known = self.stat(part)
        done = known.size if known is not None and known.size <= size else 0
        with self._step(f"sending of {path}", deadline) as client:
            with client.open(part, "ab" if done else "wb") as target, local.open("rb") as source:
                client.chmod(part, 0o600)
                target.set_pipelined(True)
                source.seek(done)
                pace = _Pace(rate, deadline)
                while data := source.read(_CHUNK):
                    target.write(data)
                    pace.sent(len(data))
            client.chmod(part, mode)
        if self._sha256(part, deadline) != sha256:
            self.remove(part)
            raise SshUnreachable(f"{self._connection.place}: {path} did not arrive as it was sent")
        if replace:
            with self._step(f"renaming of {part}") as client:
                client.posix_rename(part, path)
        else:
            self.rename(part, path)
        return Moved(size, sha256, mtime, done)

    def _sha256(self, path: str, deadline: float) -> str:
        digest = hashlib.sha256()
        with self._step(f"reading back of {path}", deadline) as client, client.open(path, "rb") as file:
            for data in _pieces(file, 0, file.stat().st_size):
                digest.update(data)
        return digest.hexdigest()


def _pieces(file: Any, begin: int, end: int) -> Iterator[bytes]:
    """The bytes from `begin` to `end`, asked for ahead; memory is bounded by what is asked for at a time."""
    if end - begin <= _CHUNK:  # most definition and provisioning files: one request, no thread
        file.seek(begin)
        yield file.read(max(0, end - begin))
        return
    for start in range(begin, end, _AHEAD):
        stop = min(start + _AHEAD, end)
        yield from file.readv([(at, min(_CHUNK, stop - at)) for at in range(start, stop, _CHUNK)])


class _Pace:
    """Sleeps while more was moved than `rate` allows; keeps the deadline for what was read ahead."""

    def __init__(self, rate: int, deadline: float) -> None:
        self._rate, self._begun, self._moved = rate, time.monotonic(), 0
        self._deadline = deadline

    def sent(self, count: int) -> None:
        """So many bytes more. Raises TimeoutError at the deadline."""
        self._moved += count
        gone = time.monotonic() - self._begun
        if gone > self._deadline:
            raise TimeoutError
        early = self._moved / self._rate - gone if self._rate else 0.0
        if early > 0:
            time.sleep(min(early, max(0.0, self._deadline - gone)))


def _stat(found: Any) -> Stat:
    mode = int(found.st_mode or 0)
    size, mtime = int(found.st_size or 0), int(found.st_mtime or 0)
    return Stat(size, mtime, modes.S_IMODE(mode), modes.S_ISREG(mode), modes.S_ISDIR(mode))


def _hashed(part: Path, most: int) -> tuple[Any, int]:
    """SHA-256 so far and bytes of what an earlier try left; more than `most` is worth nothing."""
    digest = hashlib.sha256()
    if not part.exists() or part.stat().st_size > most:
        return digest, 0
    with part.open("rb") as file:
        done = 0
        while data := file.read(1024 * 1024):
            digest.update(data)
            done += len(data)
    return digest, done


def _described(local: Path) -> tuple[int, int, str]:
    with local.open("rb") as file:
        about = os.fstat(file.fileno())
        return about.st_size, int(about.st_mtime), hashlib.file_digest(file, "sha256").hexdigest()


def _forget_parts(local: Path) -> None:
    """What earlier tries left of another state of the source."""
    for part in local.parent.glob(f".{local.name}.*.part"):
        part.unlink(missing_ok=True)
