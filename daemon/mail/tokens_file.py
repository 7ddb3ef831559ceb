"""The file of sender tokens: JSON, 0600, replaced as a whole. Adapter of the file system."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from daemon.errors import PermanentError
from daemon.mail.tokens import Tokens
from daemon.runtime.durable import sync_folder

_MAX_BYTES = 4 << 20


class TokensFile:
    """One file; read again only when it has changed.

    Root gives a new one to the owner of the folder `home`: of the daemon's.
    """

    def __init__(self, path: Path, home: Path | None = None) -> None:
        self.path = path
        self._home = home or path.parent
        self._seen: tuple[int, int, int] | None = None
        self._tokens = Tokens()

    def load(self) -> Tokens:
        """The tokens; none where there is no file. Raises PermanentError."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                seen = (status.st_ino, status.st_mtime_ns, status.st_size)
                if seen == self._seen:
                    return self._tokens
                data = file.read(_MAX_BYTES)
        except FileNotFoundError:
            self._seen, self._tokens = None, Tokens()
            return self._tokens
        except OSError as error:
            raise PermanentError(
                f"{self.path} can't be read ({error.strerror}): it must be the user's that runs arimonitor"
            ) from error
        try:
            self._tokens = msgspec.json.decode(data, type=Tokens)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # Without the decoder's text: it may quote the file.
            raise PermanentError(
                f"{self.path} is no file of tokens: `arimonitor tokens new` makes one, move this one away"
            ) from error
        self._seen = seen
        return self._tokens

    def is_open_to_others(self) -> bool:
        """Whether others than its owner may read it."""
        try:
            return bool(self.path.stat().st_mode & 0o077)
        except OSError:
            return False

    def change(self, edit: Callable[[Tokens], Tokens]) -> None:
        """Replace the tokens by what `edit` makes of them, one process at a time. Raises PermanentError."""
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with self._locked():
                self._write(edit(self.load()))
        except OSError as error:
            raise PermanentError(f"{self.path} can't be written: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._beside(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._give(lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, tokens: Tokens) -> None:
        """Temporary file, sync, rename."""
        fresh = self._beside(".new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        target = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(target, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(tokens), indent=2) + b"\n")
            self._give(file.fileno())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        sync_folder(self.path.parent)

    def _give(self, descriptor: int) -> None:
        """To whom the tokens belong, or will: what root edits must not lock the daemon out."""
        if os.geteuid() == 0:
            known = next(place for place in (self.path, self._home, self.path.parent) if place.exists())
            owner = known.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)
