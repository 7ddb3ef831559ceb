"""The files of an Asterisk on another machine, mirrored over SSH under data_dir/mirror/NAME/. Service.

Definition files are looked at every so often (size and time of change) and
fetched when they changed; the end of the CDR file, and the names of recordings,
are fetched when a reconciliation asks for them. What can't be fetched stays as it was, here and in
force; `problem` says so until it works again. A file that is gone there stays
here too: whoever means it deletes the copy.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, Lock
from typing import Final

from daemon.calls.recorded import Recorded, parse
from daemon.directory.loader import FILES
from daemon.directory.recorded import day_folders
from daemon.errors import PermanentError, TransientError
from daemon.machines.reach import reached
from daemon.runtime.backoff import Backoff
from ssh.connection import Place
from ssh.errors import NoSuchFile
from ssh.transfer import Files

log = logging.getLogger("arimonitor.mirror")

EVERY: Final = 30.0
"""Seconds between two looks at the definition files."""
_MOST_BYTES: Final = 64 * 1024 * 1024
_DEADLINE: Final = 60.0
_CDR_TAIL: Final = 8 * 1024 * 1024  # as much as a reconciliation reads
_OVERLAP: Final = 256  # bytes of the known end that must be there still: else it is another file


class Mirror:
    """One Asterisk's files. The service calls `changed` after definition files were replaced.

    `problem`: what could not be fetched, "" if nothing; `away`: nothing at all can be.
    """

    def __init__(
        self,
        name: str,
        place: Place,
        definitions: Path,
        cdr: Path | None,
        folder: Path,
        changed: Callable[[], object],
        every: float = EVERY,
    ) -> None:
        self.name = f"mirror-{name}"
        self.folder = folder
        self.problem = ""
        self._asterisk = name
        self._place = place
        self._definitions = definitions
        self._cdr = cdr
        self._changed = changed
        self._every = every
        self._backoff = Backoff(first=min(2.0, every), cap=every)
        self._fetched = 0
        self._as_of: float | None = None
        self.away = False
        self._lock = Lock()

    def run(self, stop: Event) -> None:
        """Until `stop`: look, fetch, wait."""
        while not stop.is_set():
            try:
                if self.refresh():
                    self._changed()
                wait = self._every
            except (TransientError, PermanentError):  # said by refresh, and kept in `problem`
                wait = self._backoff.next()
            stop.wait(wait)

    def status(self) -> Mapping[str, object]:
        """How many files were fetched, how old what is here is (s), and what does not work."""
        age = None if self._as_of is None else round(time.time() - self._as_of, 1)
        return {"fetched": self._fetched, "age_s": age, "problem": self.problem}

    def refresh(self, *, all_of_them: bool = False) -> list[str]:
        """Look now, and fetch what changed (or `all_of_them`); the names of the files that were replaced.

        Raises TransientError or PermanentError; what is here stays.
        """
        with self._lock:
            try:
                done, gone = self._fetch_definitions(all_of_them)
            except (TransientError, PermanentError) as error:
                self._failed(str(error))
                raise
        self._backoff.reset()
        self._as_of = time.time()
        self._fetched += len(done)
        self._works(f"{', '.join(gone)} is not there any more: the copy of it stays" if gone else "")
        if done:
            log.info("fetched from %s for %s: %s", self._place, self._asterisk, ", ".join(done))
        return done

    def _fetch_definitions(self, all_of_them: bool) -> tuple[list[str], list[str]]:
        done: list[str] = []
        gone: list[str] = []
        try:
            self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            with reached(self._place) as connection:
                files = Files(connection)
                for name in FILES.values():
                    local, remote = self.folder / name, str(self._definitions / name)
                    there = files.stat(remote)
                    if there is None:
                        gone += [remote] if local.exists() else []
                    elif all_of_them or _stamp(local) != (there.size, there.mtime):
                        files.get(remote, local, deadline=_DEADLINE, most=_MOST_BYTES)
                        done.append(name)
        except OSError as error:
            raise TransientError(f"{self.folder} can't be written: {error.strerror or error}") from error
        return done, gone

    def _failed(self, why: str) -> None:
        if why != self.problem:
            log.warning(
                "the files of %s can't be fetched, what is here stays in force: %s", self._asterisk, why
            )
        self.problem, self.away = why, True

    def _works(self, doubt: str) -> None:
        if doubt and doubt != self.problem:
            log.warning("%s", doubt)
        elif self.problem and not doubt:
            log.info("the files of %s can be fetched from %s again", self._asterisk, self._place)
        self.problem, self.away = doubt, False

    # -- the CDR -------------------------------------------------------------
    def cdr(self) -> Path:
        """The end of the CDR file, fetched now. Raises TransientError where that does not work.

        While the machine is known to be away, it is not waited for.
        """
        if self._cdr is None:
            raise TransientError("no CDR file is configured")
        if self.away:
            raise TransientError(self.problem)
        with self._lock:
            try:
                with reached(self._place) as connection:
                    return self._fetch_cdr(Files(connection), str(self._cdr))
            except PermanentError as error:
                raise TransientError(str(error)) from error
            except OSError as error:
                raise TransientError(f"{self.folder} can't be written: {error.strerror or error}") from error

    def recorded(self, spool: str, since: int, now: int) -> list[Recorded]:
        """As directory.recorded.recorded_since, over there. Raises TransientError."""
        if self.away:
            raise TransientError(self.problem)
        found: list[Recorded] = []
        try:
            with reached(self._place) as connection:
                files = Files(connection)
                for folder in (spool, *day_folders(spool, since, now)):
                    found += _recorded_in(files, folder, since, now)
        except PermanentError as error:
            raise TransientError(str(error)) from error
        return found

    def _fetch_cdr(self, files: Files, remote: str) -> Path:
        """The copy's name holds up to which byte of the remote file it goes: one rename changes both."""
        there = files.stat(remote)
        if there is None:
            raise TransientError(f"{self._place}: {remote} is not there")
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        known = _newest(self.folder)
        data, end = b"", 0
        if known is not None:
            data, end = known.read_bytes(), _end(known)
        overlap = data[-_OVERLAP:]
        if end <= there.size <= end + _CDR_TAIL and data:
            more = files.read(remote, offset=end - len(overlap), most=2 * _CDR_TAIL)
            if more.startswith(overlap):
                return self._keep_cdr(data + more[len(overlap) :], end + len(more) - len(overlap))
        begin = max(0, there.size - _CDR_TAIL)  # never seen, too much is new, or another file by now
        data = files.read(remote, offset=begin, most=2 * _CDR_TAIL)
        return self._keep_cdr(data.partition(b"\n")[2] if begin else data, begin + len(data))

    def _keep_cdr(self, data: bytes, end: int) -> Path:
        target, part = self.folder / f"cdr-{end}.csv", self.folder / ".cdr.part"
        if len(data) > _CDR_TAIL:
            data = data[-_CDR_TAIL:].partition(b"\n")[2]
        part.write_bytes(data)
        part.chmod(0o640)
        part.replace(target)
        for other in _copies(self.folder):
            if other != target:
                other.unlink()
        return target


def _recorded_in(files: Files, folder: str, since: int, now: int) -> Iterator[Recorded]:
    try:
        names = files.names(folder)
    except NoSuchFile:
        return
    for name in names:
        known = parse(name, 0, 0)
        if known is None or not since <= known.created <= now:
            continue
        about = files.stat(f"{folder}/{name}")
        if about is None or not about.regular:
            continue
        if (file := parse(name, about.size, about.mtime * 1000)) is not None:
            yield file


def _stamp(local: Path) -> tuple[int, int] | None:
    try:
        about = local.stat()
    except FileNotFoundError:
        return None
    return about.st_size, int(about.st_mtime)


def _copies(folder: Path) -> Sequence[Path]:
    return [path for path in folder.glob("cdr-*.csv") if path.stem.removeprefix("cdr-").isdecimal()]


def _end(copy: Path) -> int:
    return int(copy.stem.removeprefix("cdr-"))


def _newest(folder: Path) -> Path | None:
    return max(_copies(folder), key=lambda path: path.stat().st_mtime, default=None)
