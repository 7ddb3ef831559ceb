"""What everybody who moves a request on has in common: record first, then its file. Part of the services.

`advance` is the only way a record changes here: a compare-and-set under this
process's epoch. The file follows; where the disk refuses it, it is written
later, since it is a mirror only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import tzinfo
from threading import Event
from typing import Any

import msgspec

from daemon.errors import TransientError
from daemon.jobs import policy, requestfile
from daemon.jobs.failpoints import Reach, nothing
from daemon.jobs.model import Record, State
from daemon.jobs.policy import Limits
from daemon.jobs.records import Deposed, Fenced, RecordStore
from daemon.jobs.spool import Spool
from daemon.jobs.statistics import RequestStatistics

log = logging.getLogger("arimonitor.requests")

SLICE = 0.1  # seconds between two looks at `stop` while waiting


class Book:
    """Records, folders and who is to be told of a change. `now` is UTC seconds since 1970.

    `owner` is this node's name; `limits` gives those in force.
    """

    def __init__(
        self,
        store: RecordStore,
        spool: Spool,
        call: Callable[..., Any],
        *,
        owner: str,
        epoch: int,
        zone: tzinfo,
        limits: Callable[[], Limits],
        reach: Reach = nothing,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.spool = spool
        self.call = call
        self.owner = owner
        self.epoch = epoch
        self.zone = zone
        self.limits = limits
        self.reach = reach
        self.now = now
        self.statistics = RequestStatistics()
        self.paused = False
        self.counts: Mapping[State, int] = {}
        self.active: set[str] = set()
        """Ids that a lane of this process works on."""
        self.in_mailbox: frozenset[str] = frozenset()
        """uids of the mails that were in the mailbox at the last look."""
        self._wakes: list[Event] = []
        self._unwritten: set[str] = set()

    # -- changes -----------------------------------------------------------
    def create(self, record: Record) -> bool:
        """Take it in; False: it is known. Raises Fenced, TransientError."""
        now = self.now()
        created = self.store.create(
            msgspec.structs.replace(record, epoch=self.epoch, accepted_at=now, changed_at=now, version=1)
        )
        self.refresh()
        return created

    def advance(self, record: Record, step: Callable[[Record], Record]) -> Record:
        """One step of a record that is still as far as `record` was; the new one.

        Where only something beside the step has changed (the place was told),
        the step is made from what there is now. Raises Fenced, TransientError.
        """
        for _ in range(3):
            try:
                changed = self.store.change(
                    msgspec.structs.replace(step(record), epoch=self.epoch), record.version
                )
            except Deposed:
                raise
            except Fenced:
                current = self.store.read(record.request.request_id)
                if current is None or not _as_far(current, record) or current.epoch > self.epoch:
                    raise
                record = current
            else:
                self.refresh()
                return changed
        raise Fenced(f"{record.request.request_id} is changed faster than it can be read")

    def assign(self, record: Record) -> Record:
        """Into this node's line, with its file."""
        assigned = self.advance(record, lambda r: policy.assigned(r, self.owner, self.now()))
        self.reach("assigned")
        self.write(assigned)
        self.reach("filed")
        self.nudge()
        return assigned

    # -- the files ----------------------------------------------------------
    def write(self, record: Record) -> None:
        """Its file says what the record says; where the disk refuses, later."""
        folder = policy.folder_of(record)
        if folder is None:
            return
        request_id = record.request.request_id
        try:
            self.call(self.spool.put, request_id, folder, requestfile.encode(record, self.zone))
        except TransientError as error:
            if not self._unwritten:
                log.error("the file of %s is written later: %s", request_id, error)
            self._unwritten.add(request_id)
        else:
            self._unwritten.discard(request_id)

    def write_late(self) -> None:
        """The files that the disk refused, once more."""
        for request_id in list(self._unwritten):
            record = self.store.read(request_id)
            if record is None:
                self._unwritten.discard(request_id)
                continue
            self.write(record)
            if request_id in self._unwritten:
                return
        # Silence while nothing waits; the sentence about the trouble was said once.

    @property
    def unwritten(self) -> int:
        """Files that the disk refused."""
        return len(self._unwritten)

    # -- who waits for a change ------------------------------------------------
    def wake(self) -> Event:
        """An event of one's own, set at every change of the line."""
        event = Event()
        self._wakes.append(event)
        return event

    def nudge(self) -> None:
        """Something has changed: everybody looks again."""
        for event in self._wakes:
            event.set()

    def refresh(self) -> None:
        """The numbers of the snapshot."""
        self.counts = self.store.counts()

    def pause(self, on: bool) -> None:
        """Intake and lines stand still, or go on; kept over restarts."""
        self.store.pause(on)
        self.paused = on
        self.nudge()

    def folders(self) -> dict[str, int]:
        """How many requests are in each folder."""
        count = self.counts
        return {
            "pending": count.get("accepted", 0) + count.get("assigned", 0),
            "processing": count.get("running", 0) + count.get("produced", 0) + count.get("replying", 0),
            "completed": count.get("replied", 0) + count.get("done", 0),
            "failed": count.get("failed", 0),
        }


def wait(stop: Event, wake: Event, seconds: float) -> None:
    """Until woken, told to stop, or `seconds` have passed."""
    until = time.monotonic() + seconds
    while not stop.is_set() and not wake.is_set() and (rest := until - time.monotonic()) > 0:
        wake.wait(min(SLICE, rest))


def _as_far(current: Record, record: Record) -> bool:
    return (current.state, current.owner, current.attempt) == (record.state, record.owner, record.attempt)
