"""The embedded default: requests come into a maildir, answers go into another. Adapter of the file system.

    DIR/inbox/new      drop a mail here: it is a request      DIR/inbox/.Done/cur   handled
    DIR/outbox/new     the answers                            DIR/inbox/.Aside/cur  could not be handled

Source: https://cr.yp.to/proto/maildir.html; subfolders as Maildir++ has them.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from daemon.errors import TransientError
from daemon.mail.message import letter_of
from daemon.mail.model import Answer, Letter

_LOOK = 0.25  # seconds between two looks into new/
_LARGEST = 64 * 1024 * 1024
_REASON = ".reason.txt"


def _make(folder: Path) -> None:
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(mode=0o750, parents=True, exist_ok=True)


class MaildirInbox:
    """A Mailbox. A mail is new until it is in .Done or .Aside."""

    def __init__(self, folder: Path, call: Callable[..., Any]) -> None:
        self._folder = folder
        self._call = call
        self._known: dict[str, Letter] = {}
        self._seen: frozenset[str] = frozenset()

    def new(self) -> Sequence[Letter]:
        """As Mailbox says."""
        names = self._guarded(_names, self._folder)
        self._seen = frozenset(names)
        self._known = {uid: letter for uid, letter in self._known.items() if uid in self._seen}
        for name in names:
            if name not in self._known:
                letter = self._guarded(_read, self._folder, name)
                if letter is not None:
                    self._known[name] = letter
        return sorted(self._known.values(), key=lambda letter: (letter.received, letter.uid))

    def wait(self, seconds: float, stop: Event) -> None:
        """As Mailbox says."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0 and not stop.wait(min(_LOOK, rest)):
            if frozenset(self._guarded(_names, self._folder)) - self._seen:
                return

    def accepted(self, uid: str) -> None:
        """As Mailbox says: from new/ to cur/ with the flag Seen."""
        self._guarded(_move, self._folder, uid, self._folder / "cur", ":2,S")

    def done(self, uid: str) -> None:
        """As Mailbox says."""
        self._guarded(_move, self._folder, uid, self._folder / ".Done" / "cur", ":2,S")

    def aside(self, uid: str, reason: str) -> None:
        """As Mailbox says."""
        there = self._folder / ".Aside" / "cur"
        self._guarded(_move, self._folder, uid, there, ":2,F")
        self._guarded(_put, there, re.sub(r"[^A-Za-z0-9._=,-]", "_", uid) + _REASON, f"{reason}\n".encode())

    def close(self) -> None:
        """Nothing is open."""

    def _guarded(self, fn: Callable[..., Any], *data: Any) -> Any:
        try:
            return self._call(fn, *data)
        except OSError as error:
            raise TransientError(f"the maildir {self._folder} can't be used: {error.strerror}") from error


class MaildirOutbox:
    """A WayOut: the answer's Message-ID is its name, so that it is there once."""

    def __init__(self, folder: Path, call: Callable[..., Any]) -> None:
        self._folder = folder
        self._call = call

    def send(self, answer: Answer) -> None:
        """As WayOut says."""
        try:
            self._call(_deliver, self._folder, _name_of(answer.message_id), answer.data)
        except OSError as error:
            raise TransientError(f"the maildir {self._folder} can't be used: {error.strerror}") from error

    def sent(self, message_id: str) -> bool | None:
        """As WayOut says; None where it was taken away meanwhile."""
        return True if self._call(_there, self._folder, _name_of(message_id)) else None


def _names(folder: Path) -> list[str]:
    for each in (folder, folder / ".Done", folder / ".Aside"):
        _make(each)
    return [
        entry.partition(":")[0]
        for place in ("new", "cur")
        for entry in os.listdir(folder / place)
        if not entry.startswith(".")
    ]


def _find(folder: Path, uid: str) -> Path | None:
    for place in ("new", "cur"):
        for entry in os.listdir(folder / place):
            if entry.partition(":")[0] == uid:
                return folder / place / entry
    return None


def _read(folder: Path, uid: str) -> Letter | None:
    path = _find(folder, uid)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            written = os.fstat(file.fileno()).st_mtime
            return letter_of(uid, file.read(_LARGEST), written)
    except FileNotFoundError:
        return None


def _move(folder: Path, uid: str, there: Path, flags: str) -> None:
    path = _find(folder, uid)
    target = there / f"{uid}{flags}"
    if path is None or path == target:
        return
    there.mkdir(mode=0o750, parents=True, exist_ok=True)
    path.rename(target)
    for each in (path.parent, there):
        _sync(each)


def _deliver(folder: Path, name: str, data: bytes) -> None:
    _make(folder)
    if not _there(folder, name):
        _put(folder / "new", name, data)


def _put(folder: Path, name: str, data: bytes) -> None:
    part = folder.parent / "tmp" / f"{name}.{os.getpid()}"
    part.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / name)
    _sync(folder)


def _there(folder: Path, name: str) -> bool:
    _make(folder)
    return any(
        entry.partition(":")[0] == name for place in ("new", "cur") for entry in os.listdir(folder / place)
    )


def _name_of(message_id: str) -> str:
    """A file's name of a Message-ID, one to one."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", message_id.strip("<>"))[:100]
    return f"{plain}.{hashlib.sha256(message_id.encode()).hexdigest()[:12]}.eml"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
