"""A lane: one request after another is claimed, worked on, and its outcome kept. Service.

    assigned --> running --> (the work, in a folder of its own) --> produced

The answer is not the lane's: a mail server that is away stops no work.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Protocol

from daemon.errors import PermanentError, RequestError, TransientError
from daemon.jobs import policy
from daemon.jobs.book import Book, say_waits, wait
from daemon.jobs.leftovers import Leftovers
from daemon.jobs.model import Command, Failure, Outcome, Record, Request
from daemon.jobs.records import Fenced
from daemon.runtime.backoff import Backoff
from daemon.runtime.deadline import deadline

log = logging.getLogger("arimonitor.requests")

_IDLE = 5.0  # seconds between two looks when nobody calls


class Work(Protocol):
    """Carries out one command. The folder is empty and its own; what it makes has deterministic names.

    Raises TransientError (tried again), RequestError (who asked is told why).
    """

    def __call__(self, request: Request, folder: Path) -> Outcome:
        """Do it; done twice it must have done no more than once."""


class Lane:
    """One line of requests. `works` by command; each works in a folder of its own below `folder`.

    A recording's folder is new for each try; a command's is the same until it
    has an outcome, since its journal there says what was begun before a crash.
    `leftovers` sees to the folders of those commands that failed.
    """

    def __init__(
        self,
        lane: policy.Lane,
        book: Book,
        works: Mapping[Command, Work],
        folder: Path,
        *,
        leftovers: Leftovers | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.name = f"queue-{lane}"
        self._lane = lane
        self._book = book
        self._works = works
        self._folder = folder
        self._leftovers = leftovers
        self._dice = dice
        self._wake = book.wake()
        self._working = ""
        self._tries = 0

    def run(self, stop: Event) -> None:
        """One request after another, until `stop`."""
        trouble = Backoff(first=0.5, cap=30.0)
        while not stop.is_set():
            self._wake.clear()
            try:
                seconds = self._next(stop)
                trouble.reset()
            except Fenced as error:
                log.info("%s: somebody else has moved a request on: %s", self.name, error)
                seconds = 0.1
            except TransientError as error:
                seconds = trouble.next()
                say_waits(self.name, seconds, trouble, error)
            if seconds:
                wait(stop, self._wake, seconds)

    def _next(self, stop: Event) -> float:
        """Do what is due; seconds until the next look (0: at once)."""
        if self._book.paused or not self._book.is_settled:
            return _IDLE
        if self._leftovers is not None:
            self._leftovers.sweep()
        records = self._book.own("assigned")
        record = policy.next_to_run(records, self._lane, self._book.now())
        if record is None:
            soon = policy.wake(records, self._book.now())
            return _IDLE if soon is None else min(_IDLE, max(0.05, soon))
        self._book.active.add(record.request.request_id)
        try:
            self._work(record, stop)
        finally:
            self._book.active.discard(record.request.request_id)
            self._working = ""
        return 0.0

    def _work(self, record: Record, stop: Event) -> None:
        book, now = self._book, self._book.now
        record = book.advance(record, lambda r: policy.running(r, book.owner, now()))
        book.reach("running")
        book.write(record)
        book.reach("processing")
        self._working = record.request.request_id
        self._tries += 1
        log.info(
            "request %s begins command=%s try=%d from=%s",
            self._working,
            record.request.command,
            record.attempt,
            record.request.from_email,
        )
        fresh = self._lane == "recordings"
        folder = self._folder / (f"{self._working}.{record.attempt}" if fresh else self._working)
        ended = False
        try:
            step = self._try(record, folder)
            ended = True
        finally:
            if not ended and stop.is_set():
                book.conclude(record, lambda r: policy.interrupted(r, now()))
        book.reach("worked")
        concluded = book.conclude(record, step)
        if concluded is None:
            return
        record = concluded
        book.reach("produced" if record.state == "produced" else "requeued")
        book.write(record)
        book.nudge()
        if fresh or (record.state == "produced" and record.outcome is not None):
            book.call(_remove, folder)
        elif record.state == "produced" and self._leftovers is not None:
            self._leftovers.given_up(record.request.request_id)

    def _try(self, record: Record, folder: Path) -> Callable[[Record], Record]:
        """Carry it out; the step that its record makes by it."""
        book, request = self._book, record.request
        limits = book.limits()
        work = self._works.get(request.command)
        if work is None:
            return lambda r: policy.impossible(r, Failure(policy.NO_WORK), book.now(), "not on this node")
        try:
            book.call(_prepare, folder, self._lane == "recordings")
            with deadline(limits.processing_timeout, f"request {request.request_id}"):
                outcome = work(request, folder)
        except RequestError as error:
            failure, why = Failure(error.code, dict(error.names)), str(error)
            log.info("request %s can't be done: %s", request.request_id, why)
            return lambda r: policy.impossible(r, failure, book.now(), why)
        except PermanentError as error:
            why = str(error)
            log.error("request %s can't be done: %s", request.request_id, why)
            return lambda r: policy.impossible(r, Failure("impossible"), book.now(), why)
        except TransientError as error:
            why = str(error)
            log.warning("request %s: try %d failed: %s", request.request_id, record.attempt, why)
        except Fenced:  # another node has it by now
            raise
        # A mistake in a command's work must not take the lane with it: it counts as a failed try.
        except Exception as error:
            why = f"{type(error).__name__} in the work"
            log.exception(
                "request %s: try %d failed by a mistake of ours", request.request_id, record.attempt
            )
        else:
            log.info("request %s is done: %s", request.request_id, type(outcome).__name__)
            return lambda r: policy.produced(r, outcome, book.now())
        dice = self._dice()
        return lambda r: policy.again(r, why, book.now(), limits, dice)

    def status(self) -> dict[str, object]:
        """What it works on."""
        return {"working": self._working, "tries": self._tries}


def clear(folder: Path, active: frozenset[str] = frozenset()) -> None:
    """Take away what crashed works on recordings left; make the folder. Raises TransientError.

    `active`: the ids that are worked on already.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        for left in folder.glob("*.*"):  # a command's has no dot, and may have something to undo
            if left.stem not in active:
                _remove(left)
    except OSError as error:
        raise TransientError(f"the folder {folder} can't be made: {error.strerror}") from error


def _prepare(folder: Path, fresh: bool) -> None:
    """A folder of its own; `fresh`: an empty one. Nobody's recordings mix."""
    if fresh:
        _remove(folder)
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=not fresh)
    except FileExistsError as error:
        raise TransientError(f"the folder {folder} can't be emptied: see to its rights") from error
    except OSError as error:
        raise TransientError(f"the folder {folder} can't be made: {error.strerror}") from error


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
