"""What is at another machine: looked at, read, named, removed. Adapter of SFTP; `transfer` moves files."""

from __future__ import annotations

import contextlib
import posixpath
import stat as modes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ssh.connection import Connection, Place, free_bytes, sync_file
from ssh.errors import AlreadyThere, NoSuchFile, SshError, SshRefused, SshUnreachable
from ssh.inplace import pieces


@dataclass(frozen=True, slots=True)
class Stat:
    """What a remote path is: bytes, when it was changed (s since 1970), and the number of its owner."""

    size: int
    mtime: int
    mode: int
    regular: bool
    folder: bool
    owner: int


class Folders:
    """The file system of one machine over one SFTP session. For one greenlet."""

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
            return b"".join(pieces(file, offset, end))

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
                    sync_file(client, file)
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

    def make_folder(self, path: str) -> None:
        """A folder that only its user may look into. Raises AlreadyThere."""
        try:
            with self._step(f"making of {path}") as client:
                client.mkdir(path, 0o700)
        except SshUnreachable as error:
            if self.stat(path) is not None:
                raise AlreadyThere(f"{self.place}: {path} is there already") from error
            raise

    def remove_folder(self, path: str) -> None:
        """A folder and the files in it; it may be gone already. What is no file in it makes it stay."""
        with contextlib.suppress(NoSuchFile):
            for name in self.names(path):
                self.remove(posixpath.join(path, name))
            with self._step(f"removing of {path}") as client:
                client.rmdir(path)

    def free(self, path: str) -> int | None:
        """Bytes that the disk of `path` has free; None: that machine doesn't tell."""
        with self._step(f"room of {path}") as client:
            return free_bytes(client, path)


def _stat(found: Any) -> Stat:
    mode = int(found.st_mode or 0)
    size, mtime = int(found.st_size or 0), int(found.st_mtime or 0)
    return Stat(
        size, mtime, modes.S_IMODE(mode), modes.S_ISREG(mode), modes.S_ISDIR(mode), int(found.st_uid or 0)
    )
