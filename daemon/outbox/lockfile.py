"""The outbox's files: one process per data directory, and a damaged file put aside."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from daemon.errors import FatalError


class DirectoryLock:
    """`flock` on `<directory>/outbox.lock`; the file has the holder's process id for people."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "outbox.lock"
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take it. Raises FatalError if another process has it or the directory can't be written."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise FatalError(f"the data directory can't be used: {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(fd, 20).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise FatalError(
                f"another arimonitor (process {holder}) uses the data directory {self.path.parent}:"
                " stop it, or give this one a node.data_dir of its own"
            ) from error
        self._fd = fd
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # A full disk has no room for the number; the lock holds without it.
            return

    def release(self) -> None:
        """Give it back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def put_aside(path: Path, now: float) -> Path:
    """Rename a damaged SQLite file with its log, by the time in UTC; its new name."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside
