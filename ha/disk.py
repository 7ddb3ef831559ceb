"""What a node keeps of the election on its own disk: the highest epoch, who it is. Adapter of the files."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

from ha.errors import EpochError, LeaseHeldError


def replace_durably(path: Path, text: str) -> None:
    """`path` holds `text` and nothing else, also after the power was lost. Raises EpochError."""
    new = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise EpochError(f"{path} can't be written: {error.strerror}") from error


def read_number(path: Path) -> int:
    """The number in `path`, 0 where there is no file. Raises EpochError."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        raise EpochError(f"the epoch {path} can't be read: {error}") from error
    if not text.isdecimal():
        raise EpochError(f"the epoch {path} holds no number: write the last epoch into it")
    return int(text)


class Lock:
    """`flock` on a file: the kernel gives it to one process, and takes it back however that one dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take it without waiting. Raises LeaseHeldError or EpochError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise EpochError(f"the lease {self.path} can't be opened: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise LeaseHeldError(f"another process holds {self.path}") from error
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Give it back; without holding it, nothing happens."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Memory:
    """`epoch-seen` and `installation` in `folder` (node.data_dir). Only who holds the lock writes them."""

    def __init__(self, folder: Path) -> None:
        self._epoch_path = folder / "epoch-seen"
        self._installation_path = folder / "installation"
        self.highest = 0
        self.installation = ""

    def open(self) -> None:
        """Read both; an installation that has no name yet gets one. Raises EpochError."""
        self.highest = read_number(self._epoch_path)
        try:
            self.installation = self._installation_path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            self.installation = ""
        except (OSError, UnicodeDecodeError) as error:
            raise EpochError(f"{self._installation_path} can't be read: {error}") from error
        if not self.installation:
            self.installation = uuid.uuid4().hex
            replace_durably(self._installation_path, self.installation + "\n")
        self.installation += f"@{os.uname().nodename}"  # a copied disk is another one

    def saw(self, epoch: int) -> None:
        """On the disk when this returns, if it is higher than all before. Raises EpochError."""
        if epoch > self.highest:
            replace_durably(self._epoch_path, f"{epoch}\n")
            self.highest = epoch
