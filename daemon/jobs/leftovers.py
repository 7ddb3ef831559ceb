"""What given-up commands left: half a change is undone before its folder goes. Part of the services.

A command's folder has the journal of what it began. Out of tries, cancelled,
or given up after a crash, its request is not worked on any more; the folder
stays until the command says that nothing of it is left.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from daemon.errors import TransientError
from daemon.jobs.book import Book
from daemon.jobs.model import Command, Request
from daemon.runtime.backoff import Backoff
from daemon.runtime.deadline import deadline

log = logging.getLogger("arimonitor.requests")

Abandon = Callable[[Request, Path], bool]
"""Undo what is left of it; False: not now, the folder must stay."""

EVERY = 5.0  # seconds between two looks
_FIRST, _CAP = 30.0, 900.0  # seconds between two tries to undo
_MOST = 60.0  # seconds for one of them: the other commands wait meanwhile
_UNKNOWN = 14 * 86_400.0  # seconds that a folder without a record is kept: the mail may come again
_OPEN = ("accepted", "assigned", "running")


class Leftovers:
    """The folders of commands below `folder`; `sweep` belongs between two works of the commands' lane."""

    def __init__(
        self,
        book: Book,
        folder: Path,
        undo: Mapping[Command, Abandon],
        *,
        every: float = EVERY,
        first: float = _FIRST,
    ) -> None:
        self._book = book
        self._folder = folder
        self._undo = undo
        self._every = every
        self._first = first
        self._next = 0.0
        self._waits: dict[str, tuple[float, Backoff]] = {}

    @property
    def waiting(self) -> int:
        """How many can't be undone now."""
        return len(self._waits)

    def sweep(self) -> None:
        """Put away what nobody works on any more. Raises TransientError (of the records)."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        names = self._book.call(_names, self._folder)
        self._waits = {name: wait for name, wait in self._waits.items() if name in names}
        for name, age in names.items():
            not_before = self._waits[name][0] if name in self._waits else 0.0
            if now >= not_before:
                self._look(name, age)

    def given_up(self, request_id: str) -> None:
        """This one is looked at again at once."""
        self._next = 0.0
        self._waits.pop(request_id, None)

    def _look(self, name: str, age: float) -> None:
        record = self._book.store.read(name)
        if record is not None and record.state in _OPEN and self._book.is_mine(record):
            return
        if record is None and age < _UNKNOWN:
            return
        if record is not None and not self._book.is_mine(record):
            # The other node has found out from the server what was begun, and ended or undid it.
            log.warning("request %s was taken over by %s: what this node knew of it goes", name, record.owner)
        elif record is None:
            log.error("nobody knows request %s any more: what it began, if anything, stays as it is", name)
        elif not self._is_undone(record.request):
            backoff = self._waits[name][1] if name in self._waits else Backoff(first=self._first, cap=_CAP)
            seconds = backoff.next()
            self._waits[name] = (time.monotonic() + seconds, backoff)
            log.warning("what request %s began is not undone yet: again in %.0f s", name, seconds)
            return
        self._waits.pop(name, None)
        self._book.call(_remove, self._folder / name)

    def _is_undone(self, request: Request) -> bool:
        undo = self._undo.get(request.command)
        if undo is None:
            return True
        try:
            with deadline(_MOST, f"undoing request {request.request_id}"):
                return undo(request, self._folder / request.request_id)
        except TransientError as error:
            log.warning("request %s can't be undone now: %s", request.request_id, error)
        # A mistake of ours, or a damaged journal, must not stop the lane; the folder stays for a person.
        except Exception:
            log.exception("request %s can't be undone", request.request_id)
        return False


def _names(folder: Path) -> dict[str, float]:
    """Folders of commands (recordings' have a dot in their names), and seconds since each was changed."""
    try:
        return {
            each.name: time.time() - each.stat().st_mtime
            for each in folder.iterdir()
            if "." not in each.name and each.is_dir()
        }
    except FileNotFoundError:  # nothing was worked on yet
        return {}
    except OSError as error:
        raise TransientError(f"the folder {folder} can't be read: {error.strerror}") from error


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
