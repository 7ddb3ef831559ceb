"""What can stand still in the middle and go on later: a thread that runs only while it has the baton.

Exactly one thread runs at any time, the one that was told to `go` or the one
that told it; so a run depends on nothing but the order of the `go`s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class _Worker:
    """A thread that is used by one strand after another: making threads takes longer than what they do."""

    def __init__(self) -> None:
        self.mine = threading.Lock()
        self.theirs = threading.Lock()
        self.mine.acquire()
        self.theirs.acquire()
        self.job: Callable[[], None] | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.mine.acquire()
            assert self.job is not None
            self.job()
            self.theirs.release()


_idle: list[_Worker] = []


class Strand:
    """`run`, begun with the first `go`. What it raises, `go` raises, and it has ended then."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._worker: _Worker | None = None
        self._error: BaseException | None = None
        self._thrown: BaseException | None = None
        self.ended = False

    def go(self) -> bool:
        """Until it stands still (False) or has ended (True)."""
        worker = self._worker
        if worker is None:
            worker = self._worker = _idle.pop() if _idle else _Worker()
            worker.job = self._whole
        worker.mine.release()
        worker.theirs.acquire()
        if not self.ended:
            return False
        worker.job = None
        _idle.append(worker)
        error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def throw(self, error: BaseException) -> None:
        """Raise `error` where it stands still; it must end by that."""
        self._thrown = error
        try:
            self.go()
        except type(error):
            pass
        assert self.ended, "it went on after it was told to end"

    def stand_still(self) -> None:
        """Give the baton back; called by what runs in it."""
        worker = self._worker
        assert worker is not None
        worker.theirs.release()
        worker.mine.acquire()
        if self._thrown is not None:
            raise self._thrown

    def _whole(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 -- it is raised again by `go`
            self._error = error
        self.ended = True
