"""Files to and from another machine: whole or not at all, verified, resumed after a cut. Adapter of SFTP.

A file arrives under a temporary name beside its place, is verified (size, and
SHA-256 of what was sent against what is there), and is then renamed. The
temporary name holds what the source was, so that a later try goes on with it
only if the source is still the same.

The far end's SHA-256 is told by its own `sha256sum`, where the key may run that
(etc/ssh/arimonitor-gate); else everything is read back. Bytes are moved by a
child process (`pump`), a few of them in place. `deadline` is in seconds for the
whole transfer; `Place.bandwidth` bounds it.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ssh.connection import Connection
from ssh.errors import AlreadyThere, NoSuchFile, ServerFailed, SshRefused, SshUnreachable
from ssh.files import Folders, Stat
from ssh.inplace import InPlace
from ssh.pump import Pump, usable
from ssh.remote import command_line
from ssh.traffic import Moving, Traffic

BIG: Final = 4 * 1024 * 1024
"""Bytes from which on a child process is worth its start; they may be of many files."""
_TINY: Final = 64 * 1024
_FOLLOWED: Final = 32 * 1024 * 1024
_DIGEST: Final = re.compile(rb"([0-9a-f]{64}) [ *]")


@dataclass(frozen=True, slots=True)
class Moved:
    """A transfer that was done: bytes and SHA-256 of the whole file, bytes that an earlier try had moved."""

    size: int
    sha256: str
    mtime: int
    resumed: int = 0


class Files(Folders):
    """Files to and from one machine. For one greenlet. What moves is seen in `traffic`."""

    def __init__(self, connection: Connection, traffic: Traffic | None = None) -> None:
        super().__init__(connection)
        self._traffic = traffic or Traffic()
        self._in_place = InPlace(connection, self._client, self._traffic)
        self._pump: Pump | None = None
        self._moved = 0
        self.tells_digests = True
        """Whether the machine told the SHA-256 of a file when it was last asked."""

    def get(
        self,
        path: str,
        local: Path,
        *,
        deadline: float,
        most: int | None = None,
        sync: bool = True,
        verify: bool = False,
    ) -> Moved:
        """Fetch a file to `local`, which is replaced at once or not at all; its times become the source's.

        `sync`: it is on the disk afterwards. `verify`: its SHA-256 is compared
        with the source's, where the machine tells that; so is that of a file
        that an earlier try began. Raises NoSuchFile, Denied, SshRefused (more
        than `most` bytes) and SshUnreachable, also where the source changed
        meanwhile. OSError: the local disk's.
        """
        until = time.monotonic() + deadline
        before = self._source(path, most)
        part = local.with_name(f".{local.name}.{before.size}-{before.mtime}.part")
        begin = part.stat().st_size if part.exists() else 0
        begin = begin if begin <= before.size else 0
        mover = self._mover(before.size)
        with contextlib.ExitStack() as stack:
            told = stack.enter_context(self._telling("sha256sum", path)) if verify or begin else _untold
            moving = stack.enter_context(self._moving(path, out=False, of=before.size))
            moving.moved = begin
            sha256 = mover.fetch(path, part, begin, moving, deadline=_left(until), sync=sync)
            part.chmod(0o640)
            after = self.stat(path)
            changed = after is None or (after.size, after.mtime) != (before.size, before.mtime)
            if changed or part.stat().st_size != before.size:
                part.unlink()
                raise SshUnreachable(f"{self.place}: {path} changed while it was fetched")
            if told(until) not in (sha256, ""):
                part.unlink()
                raise SshUnreachable(f"{self.place}: {path} did not arrive as it is there")
        os.utime(part, (before.mtime, before.mtime))
        part.replace(local)
        _forget_parts(local)
        return Moved(before.size, sha256, before.mtime, begin)

    def put(
        self,
        local: Path,
        path: str,
        *,
        deadline: float,
        mode: int = 0o640,
        replace: bool,
        sync: bool = True,
    ) -> Moved:
        """Send a file to `path`, which is there whole afterwards or as it was.

        Size and SHA-256 of what arrived are compared before it is renamed.
        `sync`: it is on the disk there. Raises AlreadyThere where it exists
        with other content and not `replace`; the same content is no error.
        OSError: the local disk's.
        """
        until = time.monotonic() + deadline
        about = local.stat()
        size, mtime = about.st_size, int(about.st_mtime)
        if not replace and (there := self.stat(path)) is not None:
            return self._same(local, path, there, until)
        folder, name = posixpath.split(path)
        part = posixpath.join(folder, f".{name}.{size}-{about.st_mtime_ns:x}.part")
        known = self.stat(part)
        begin = known.size if known is not None and known.size <= size else 0
        mover = self._mover(size)
        with contextlib.ExitStack() as stack:
            told = stack.enter_context(self._following(part, begin, size)) if size >= _FOLLOWED else _untold
            moving = stack.enter_context(self._moving(path, out=True, of=size))
            moving.moved = begin
            try:
                sha256 = mover.send(local, part, begin, moving, deadline=_left(until), sync=sync)
            except ServerFailed:
                # Some of what was on its way may have been written after a hole; and a full disk needs room.
                self.remove(part)
                raise
            now, arrived = local.stat(), self.stat(part)
            if (now.st_size, now.st_mtime_ns) != (size, about.st_mtime_ns):
                self.remove(part)
                raise SshUnreachable(f"{self.place}: {path}: {local} changed while it was sent")
            whole = arrived is not None and arrived.size == size
            if not whole or not (told(until) == sha256 or self.sha256(part, size, _left(until)) == sha256):
                self.remove(part)
                raise SshUnreachable(f"{self.place}: {path} did not arrive as it was sent: is its disk full?")
        with self._step(f"chmod of {part}") as client:
            client.chmod(part, mode)
        if replace:
            with self._step(f"renaming of {part}") as client:
                client.posix_rename(part, path)
        else:
            self.rename(part, path)
        return Moved(size, sha256, mtime, begin)

    def sha256(self, path: str, size: int, deadline: float) -> str:
        """Of a file of `size` bytes there: as the machine tells it, else read back."""
        until = time.monotonic() + deadline
        if told := self._told_digest(path, until):
            return told
        with self._moving(path, out=False, of=size) as moving:
            return self._mover(size).digest(path, moving, deadline=_left(until))

    # -- parts -----------------------------------------------------------------
    def _source(self, path: str, most: int | None) -> Stat:
        found = self.stat(path)
        if found is None:
            raise NoSuchFile(f"{self.place}: {path} is not there")
        if not found.regular:
            raise SshRefused(f"{self.place}: {path} is no file")
        if most is not None and found.size > most:
            raise SshRefused(f"{self.place}: {path} has {found.size} bytes, more than {most}")
        return found

    def _same(self, local: Path, path: str, there: Stat, until: float) -> Moved:
        about = local.stat()
        size, mtime = about.st_size, int(about.st_mtime)
        if there.size == size:
            with self._moving(path, out=True, of=size) as moving:
                ours = self._mover(size).describe(local, moving, deadline=_left(until))
            if self.sha256(path, size, _left(until)) == ours:
                return Moved(size, ours, mtime, size)
        raise AlreadyThere(f"{self.place}: {path} is there already, with other content")

    def _told_digest(self, path: str, until: float) -> str:
        """The machine's own word; "" where it does not tell."""
        if not self.tells_digests:
            return ""
        with self._telling("sha256sum", path) as told:
            found = told(until)
        self.tells_digests = bool(found)
        return found

    @contextlib.contextmanager
    def _following(self, part: str, begin: int, size: int) -> Iterator[Callable[[float], str]]:
        """SHA-256 worked out there while the block sends it, where there is the gate of etc/ssh."""
        with self._step(f"writing of {part}") as client:
            client.open(part, "ab" if begin else "wb").close()
        with self._telling("arimonitor-follow", part, str(size)) as told:
            yield told

    @contextlib.contextmanager
    def _telling(self, *argv: str) -> Iterator[Callable[[float], str]]:
        """What that command there says of a file's SHA-256; it works while the block does something else."""
        with contextlib.ExitStack() as stack:
            try:
                end = stack.enter_context(self._connection.executing(command_line(argv)))
            except SshRefused:  # a key for files only, or a name that is no word of a command
                yield _untold
                return

            def told(until: float) -> str:
                output = end(_left(until), 4096)
                found = _DIGEST.match(output.stdout) if output.status == 0 else None
                return found[1].decode() if found is not None else ""

            yield told

    def _moving(self, path: str, *, out: bool, of: int) -> contextlib.AbstractContextManager[Moving]:
        return self._traffic.moving(self.place.name, path, out=out, of=of, bandwidth=self.place.bandwidth)

    def _mover(self, size: int) -> Pump | InPlace:
        self._moved += size
        if self._pump is None:
            small = self._moved < BIG and (size <= _TINY or not self.place.bandwidth)
            if small or not usable(self.place):
                return self._in_place
            self._pump = Pump(self.place, self._traffic)
            self._connection.closers.append(self._pump.close)
        return self._pump


def _untold(_until: float) -> str:
    return ""


def _left(until: float) -> float:
    return max(0.001, until - time.monotonic())


def _forget_parts(local: Path) -> None:
    """What earlier tries left of another state of the source."""
    for part in local.parent.glob(f".{local.name}.*.part"):
        part.unlink(missing_ok=True)
