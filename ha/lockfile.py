"""The one-host lease: a lock file and an epoch file.

The kernel gives the lock to one process and takes it back when that process
dies, however it dies. The epoch is a number on the disk that grows by one
with each acquisition; it is what fences a stale holder's effects.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class LeaseHeldError(Exception):
    """Another process on this host has the lease."""


class EpochError(Exception):
    """The epoch file can't be read or written; the text names it and the mend."""


class LockfileLease:
    """`lease.lock` and `epoch` in `folder`. One holder at a time."""

    def __init__(self, folder: Path) -> None:
        self.lock_path = folder / "lease.lock"
        self.epoch_path = folder / "epoch"
        self._fd: int | None = None

    def acquire(self) -> int:
        """Take the lease without waiting; the new epoch, on the disk before this returns.

        Raises LeaseHeldError or EpochError; the lease is then not held.
        """
        try:
            self.lock_path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise EpochError(f"the lease {self.lock_path} can't be opened: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            epoch = self._read() + 1
            self._write(epoch)
        except BlockingIOError as error:
            os.close(fd)
            raise LeaseHeldError(f"another process holds {self.lock_path}") from error
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return epoch

    def release(self) -> None:
        """Give it back; without holding it, nothing happens."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self) -> int:
        try:
            text = self.epoch_path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return 0
        except (OSError, UnicodeDecodeError) as error:
            raise EpochError(f"the epoch {self.epoch_path} can't be read: {error}") from error
        if not text.isdecimal():
            raise EpochError(f"the epoch {self.epoch_path} holds no number: write the last epoch into it")
        return int(text)

    def _write(self, epoch: int) -> None:
        new = self.epoch_path.with_suffix(".new")
        try:
            with new.open("w", encoding="ascii") as file:
                file.write(f"{epoch}\n")
                file.flush()
                os.fsync(file.fileno())
            new.rename(self.epoch_path)
            folder = os.open(self.epoch_path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise EpochError(f"the epoch {self.epoch_path} can't be written: {error.strerror}") from error
