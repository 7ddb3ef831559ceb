"""The embedded mailbox: maildirs on this disk, with the promises of the real one. Adapter of files.

    <maildir>/inbox/{new,cur,tmp}     mails to be handled: anything that delivers to a maildir may write here
    <maildir>/inbox/.Done, .Aside     handled; not to be handled, with a note beside it
    <maildir>/outbox/{new,cur,tmp}    answers, under a name that is made of their Message-ID

A mail is called by its unique name, without the flags behind ":2,". Every
change is one rename or one link on one file system, so a crash leaves a mail
in one place or in both, never in none.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Final

from daemon.errors import TransientError
from daemon.mail.imap_rules import CHUNK, HEADER_BYTES, BodyHash, aside_id, aside_note, message_id_of
from daemon.mail.model import Answer, Letter, MailRefused
from daemon.runtime.durable import sync_folder
from daemon.runtime.offload import Offload

POLL: Final = 0.5
PER_LOOK: Final = 100
MOST_KEPT: Final = 16 * 1024 * 1024
TRIES: Final = 3
_OF_THE_DISK: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE))

log = logging.getLogger("arimonitor.mail")


class MaildirBox:
    """A Mailbox (daemon.mail.model) in a folder."""

    def __init__(
        self, folder: Path, offload: Offload, *, clock: Callable[[], float] = time.time, poll: float = POLL
    ) -> None:
        self.folder = folder
        self._offload, self._clock, self._poll = offload, clock, poll
        self._known: set[str] = set()
        self._kept: dict[str, Letter] = {}
        self._failed: dict[str, int] = {}
        self._more = False

    def __str__(self) -> str:
        return f"maildir {self.folder}"

    def new(self) -> Sequence[Letter]:
        """The mails that nobody has finished with, oldest first."""
        with _translated(self.folder):
            for each in (self.folder, self.folder / ".Done", self.folder / ".Aside"):
                make(each)
            found = self._here()
            missing = [unique for unique in found if unique not in self._kept]
            self._kept = {unique: letter for unique, letter in self._kept.items() if unique in found}
            room = MOST_KEPT - sum(len(letter.header) for letter in self._kept.values())
            read = 0
            for unique in missing[:PER_LOOK]:
                if room <= 0 and read:
                    break
                letter = self._letter(unique, found[unique])
                read += 1
                if letter is not None:
                    self._kept[unique] = letter
                    room -= len(letter.header)
            self._more = 0 < read < len(missing) and room > 0
            self._known = set(found)
            letters = [letter for unique, letter in self._kept.items() if unique in found]
        return sorted(letters, key=lambda letter: (letter.received, letter.uid))

    def wait(self, seconds: float, stop: Event) -> None:
        """Until something came, `seconds` have passed, or `stop` is set."""
        until = time.monotonic() + seconds
        while not self._more and not stop.is_set() and (left := until - time.monotonic()) > 0:
            with _translated(self.folder):
                if self._here().keys() - self._known:
                    return
            stop.wait(min(self._poll, left))

    def accepted(self, uid: str) -> None:
        """No longer new, as mail programs understand it."""
        with _translated(self.folder, uid):
            path = self._path(uid)
            if path is not None and path.parent.name == "new":
                path.rename(self.folder / "cur" / f"{uid}:2,")

    def done(self, uid: str) -> None:
        """To .Done."""
        self._put_away(uid, ".Done")

    def aside(self, uid: str, reason: str) -> None:
        """To .Aside, with a note that says why."""
        with _translated(self.folder, uid):
            path = self._path(uid)
            if path is None:
                return
            try:
                with path.open("rb") as stream:
                    name = message_id_of(stream.read(HEADER_BYTES))
            except OSError:  # it may be why it is put aside
                name = ""
            note = aside_note(uid, reason, name, self._clock())
            deliver(self.folder / ".Aside", file_name(aside_id(uid)), note)
        self._put_away(uid, ".Aside")

    def close(self) -> None:
        """Nothing is open."""

    def _put_away(self, uid: str, where: str) -> None:
        with _translated(self.folder, uid):
            path = self._path(uid)
            if path is not None:
                make(self.folder / where)
                path.rename(self.folder / where / "cur" / f"{uid}:2,S")
                sync_folder(self.folder / where / "cur")
            self._kept.pop(uid, None)

    def _here(self) -> dict[str, Path]:
        """Unique name -> file, of everything in new and cur."""
        found: dict[str, Path] = {}
        for sub in ("new", "cur"):
            try:
                with os.scandir(self.folder / sub) as entries:
                    for entry in entries:
                        unique, _, flags = entry.name.partition(":2,")
                        mail = not entry.name.startswith(".") and "T" not in flags  # T: deleted
                        if mail and entry.is_file(follow_symlinks=False):
                            found[unique] = Path(entry.path)
            except FileNotFoundError:  # before the first look
                continue
        return found

    def _path(self, uid: str) -> Path | None:
        """None: it is not here any more."""
        if not uid or "/" in uid or "\0" in uid or uid.startswith("."):
            raise ValueError(f"no name of a mail in a maildir: {uid[:40]!r}")
        return self._here().get(uid)

    def _letter(self, unique: str, path: Path) -> Letter | None:
        try:
            header, sha256, size, received, parts = self._offload.call(read_mail, path)
        except FileNotFoundError:  # moved by a mail program between the two looks
            return None
        except OSError as error:
            self._failed[unique] = self._failed.get(unique, 0) + 1
            said = error.strerror or str(error)
            log.warning("mail %s in %s can't be read: %s", ascii(unique), self.folder, said)
            if self._failed[unique] >= TRIES:
                self.aside(unique, f"The file could not be read: {said}")
                del self._failed[unique]
            return None
        return Letter(unique, header, sha256, size, received, parts)


class MaildirWayOut:
    """A WayOut (daemon.mail.model) into a folder: twice the same Message-ID is once the same file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return f"maildir {self.folder}"

    def send(self, answer: Answer) -> None:
        """Write it, if it is not there."""
        with _translated(self.folder):
            make(self.folder)
            deliver(self.folder, file_name(answer.message_id), answer.data)

    def sent(self, message_id: str) -> bool | None:
        """Whether it is there, read by somebody or not."""
        with _translated(self.folder):
            return _is_there(self.folder, file_name(message_id))

    def close(self) -> None:
        """Nothing is open."""


def file_name(message_id: str) -> str:
    """The unique name of a mail of ours: the same for the same Message-ID."""
    return f"{hashlib.sha256(message_id.encode('utf-8', 'replace')).hexdigest()[:40]}.arimonitor"


def read_mail(path: Path) -> tuple[bytes, str, int, float, tuple[str, ...]]:
    """Header with its blank line, hash of the body, size, when it came, parts. For the offload."""
    body = BodyHash()
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        start = stream.read(HEADER_BYTES)
        ends = [at + len(mark) for mark in (b"\n\n", b"\n\r\n") if (at := start.find(mark)) >= 0]
        end = min(ends, default=len(start))
        body.feed(start[end:])
        while piece := stream.read(CHUNK):
            body.feed(piece)
    return start[:end], body.hexdigest(), status.st_size, status.st_mtime, body.parts


def make(folder: Path) -> None:
    """A maildir, if it is not there."""
    for sub in ("tmp", "new", "cur"):
        (folder / sub).mkdir(mode=0o750, parents=True, exist_ok=True)


def deliver(folder: Path, name: str, data: bytes) -> None:
    """A mail into `new`, whole or not at all; nothing where one of that name is there already."""
    make(folder)
    if _is_there(folder, name):
        return
    draft = folder / "tmp" / f"{name}.{os.getpid()}.{time.monotonic_ns()}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        with open(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, folder / "new" / name)
        except FileExistsError:
            return
        sync_folder(folder / "new")
    finally:
        draft.unlink()


def _is_there(folder: Path, name: str) -> bool:
    if (folder / "new" / name).exists():
        return True
    try:
        return any(each.partition(":2,")[0] == name for each in os.listdir(folder / "cur"))
    except FileNotFoundError:
        return False


@contextmanager
def _translated(folder: Path, uid: str = "") -> Iterator[None]:
    """`uid`: the mail that alone it is about, unless it is the disk's trouble."""
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        if uid and error.errno not in _OF_THE_DISK:
            raise MailRefused(f"the mail {uid!a} in {folder} can't be handled: {said}") from error
        raise TransientError(f"the maildir {folder} can't be used: {said}") from error
