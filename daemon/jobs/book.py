"""What everybody who moves a request on has in common: record first, then its file. Part of the services.

`advance` is the only way a record changes here: a compare-and-set. The file
follows; where the disk refuses it, it is written later, since it is a mirror
only. A node works on what is its own (`own`) and mirrors no other's; what only
the master may begin asks `lead` before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from threading import Event
from typing import Any

import msgspec

from daemon.errors import TransientError
from daemon.jobs import placing, policy, requestfile
from daemon.jobs.failpoints import Reach, nothing
from daemon.jobs.model import Outcome, Record, State
from daemon.jobs.ondisk import Step, UntoldSteps
from daemon.jobs.placing import Node
from daemon.jobs.policy import Limits
from daemon.jobs.records import Deposed, Fenced, Mastership, RecordStore
from daemon.jobs.spool import Spool
from daemon.jobs.statistics import RequestStatistics
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.requests")

SLICE = 0.1  # seconds between two looks at `stop` while waiting
_CALM = 3  # tries that fail without a word
_AGAIN = 20  # each so many tries a trouble that lasts is said again


class Book:
    """Records, folders and who is to be told of a change. `now` is UTC seconds since 1970.

    `owner` is this node's name; `limits` gives those in force. `nodes` gives
    all nodes as they are now; without it this one is alone, and everything is
    its own. `untold` keeps what a work ended with while the records are away.
    """

    def __init__(
        self,
        store: RecordStore,
        spool: Spool,
        call: Callable[..., Any],
        *,
        owner: str,
        mastership: Mastership,
        zone: tzinfo,
        limits: Callable[[], Limits],
        nodes: Callable[[], Sequence[Node]] | None = None,
        untold: UntoldSteps | None = None,
        reach: Reach = nothing,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.spool = spool
        self.call = call
        self.owner = owner
        self.mastership = mastership
        self.zone = zone
        self.limits = limits
        self._nodes = nodes
        self._untold = untold
        self.reach = reach
        self.now = now
        self.statistics = RequestStatistics()
        self.counts: Mapping[State, int] = {}
        self.active: set[str] = set()
        """Ids that a lane of this process works on."""
        self.rebuilt_at = 0.0
        """UTC s: mails that came before may have been answered by records that are lost."""
        self._generation = 0
        self._kept: set[str] = set()
        self._first_tell = True
        self.in_mailbox: frozenset[str] | None = None
        """uids of the mails that were in the mailbox at the last look; None: this node has not looked."""
        self._wakes: list[Event] = []
        self._unwritten: set[str] = set()
        self._mirrored: dict[str, int] = {}
        store.subscribe(self.nudge)

    # -- whose it is --------------------------------------------------------
    @property
    def alone(self) -> bool:
        """Whether there is no other node."""
        return self._nodes is None

    def is_mine(self, record: Record) -> bool:
        """Whether this node is to work on it."""
        return self.alone or policy.node_of(record) in (self.owner, "")

    def own(self, *states: State) -> list[Record]:
        """The store's listing, of what is this node's own."""
        return [record for record in self.store.listing(*states) if self.is_mine(record)]

    def nodes(self) -> Sequence[Node]:
        """All nodes as they are now; this one is among them."""
        return (Node(self.owner),) if self._nodes is None else self._nodes()

    def place(self, record: Record) -> Node:
        """The node that has to do it."""
        return placing.owner_of(record.request, self.nodes(), self.owner)

    @property
    def is_settled(self) -> bool:
        """Whether the records of this node's files are there; before, nothing of its line goes on."""
        return self.alone or self._generation == policy.generation_of(self.mastership.epoch) != 0

    def settled(self, generation: int, rebuilt_at: float) -> None:
        """They are, in this generation of epochs."""
        self._generation, self.rebuilt_at = generation, rebuilt_at
        self._mirrored.clear()
        self.nudge()

    def lead(self) -> None:
        """Before each effect that only the master may have. Raises Deposed where the lease does not count."""
        if not self.mastership.valid():
            raise Deposed("the lease does not count now")

    # -- changes -----------------------------------------------------------
    def create(self, record: Record) -> bool:
        """Take it in; False: it is known. What is only answered is this node's at once.

        Raises Fenced, TransientError.
        """
        now, owner = self.now(), record.owner or ("" if record.kind == "request" else self.owner)
        epoch = self.mastership.epoch
        created = self.store.create(
            msgspec.structs.replace(
                record, owner=owner, epoch=epoch, accepted_at=now, changed_at=now, version=1
            )
        )
        self.refresh()
        return created

    def advance(self, record: Record, step: Callable[[Record], Record], *, as_master: bool = False) -> Record:
        """One step of a record that is still as far as `record` was; the new one.

        Where only something beside the step has changed (the place was told),
        the step is made from what there is now. `as_master` as the store says.
        Raises Fenced, TransientError.
        """
        for _ in range(3):
            new = msgspec.structs.replace(step(record), epoch=self.mastership.epoch)
            try:
                changed = self.store.change(new, record.version, as_master=as_master)
            except Deposed:
                raise
            except Fenced:
                current = self.store.read(record.request.request_id)
                if current is None or not _as_far(current, record):
                    raise
                record = current
            else:
                self.refresh()
                return changed
        raise Fenced(f"{record.request.request_id} is changed faster than it can be read")

    # -- a work under way -----------------------------------------------------
    def remember(self, request_id: str, found: Outcome) -> None:
        """What a work has found so far is in its record, before it has an effect: for whoever ends it.

        Raises Fenced where it is another node's by now, TransientError.
        """
        record = self.store.read(request_id)
        if record is None or record.state != "running" or not self.is_mine(record):
            raise Fenced(f"{request_id} is not worked on by this node any more")
        self.advance(record, lambda r: msgspec.structs.replace(r, outcome=found))

    def remembered(self, request_id: str) -> Outcome | None:
        """What an earlier try, here or on another node, has found. Raises TransientError."""
        record = self.store.read(request_id)
        return record.outcome if record is not None else None

    def conclude(self, record: Record, step: Callable[[Record], Record]) -> Record | None:
        """What a work ended with: as `advance`, but where the records are away it is kept on the disk.

        None: kept; `tell` goes on with it. Without `untold` raises TransientError as well.
        """
        try:
            return self.advance(record, step)
        except TransientError as error:
            if self._untold is None:
                raise
            after = msgspec.structs.replace(step(record), epoch=self.mastership.epoch)
            self.call(self._untold.keep, Step(before=record, after=after))
            request_id = record.request.request_id
            self._kept.add(request_id)
            log.warning("request %s is %s, which is told later: %s", request_id, after.state, error)
            return None

    def tell(self) -> None:
        """Everything that was kept, now that the records can be reached. Raises TransientError."""
        if self._untold is None or not (self._kept or self._first_tell):
            return
        for step in self.call(self._untold.all):
            request_id = step.before.request.request_id
            self._kept.add(request_id)
            try:
                told = self._told(step)
            except Fenced as error:
                log.warning("what request %s ended with comes too late: %s", request_id, error)
            else:
                self.write(told)
                log.info("request %s is %s", request_id, told.state)
            self.call(self._untold.drop, request_id)
            self._kept.discard(request_id)
            self.nudge()
        self._first_tell = False

    def _told(self, step: Step) -> Record:
        current = self.store.read(step.before.request.request_id)
        if current is not None and not _as_far(current, step.before) and _as_far(current, step.after):
            return current  # the answer was lost, not the change
        return self.advance(
            step.before,
            lambda now: msgspec.structs.replace(step.after, version=now.version, told=now.told, uid=now.uid),
        )

    def is_worked_on(self, request_id: str) -> bool:
        """Whether a lane of this process has it, or has ended it and could not tell yet."""
        return request_id in self.active or request_id in self._kept

    def begun_by(self, request_id: str) -> str:
        """The lost node that had begun it, "" where there was none. Raises TransientError."""
        record = self.store.read(request_id)
        return record.taken_from if record is not None else ""

    def assign(self, record: Record, owner: str = "") -> Record:
        """Into the line of `owner`, which has its file already; "": of this node, which writes it then."""
        owner = owner or self.owner
        assigned = self.advance(record, lambda r: policy.assigned(r, owner, self.now()))
        self.reach("assigned")
        if owner == self.owner:
            self.write(assigned)
            self.reach("filed")
        else:
            self.supersede(assigned)
        self.nudge()
        return assigned

    # -- the files ----------------------------------------------------------
    def write(self, record: Record) -> None:
        """Its file says what the record says; where the disk refuses, later. Another node's has none here.

        Somebody else of this process may have written a newer state meanwhile: then that stays.
        """
        folder, request_id = policy.folder_of(record), record.request.request_id
        if folder is None or not self.is_mine(record) or record.version < self._mirrored.get(request_id, 0):
            return
        self._mirrored[request_id] = record.version
        try:
            self.call(self.spool.put, request_id, folder, requestfile.encode(record, self.zone))
        except TransientError as error:
            if not self._unwritten:
                log.error("the file of %s is written later: %s", request_id, error)
            self._unwritten.add(request_id)
        else:
            self._unwritten.discard(request_id)

    def mirror(self) -> None:
        """The files of this node's own records that were not written as they are now (taken over, told)."""
        records = {record.request.request_id: record for record in self.own()}
        for name, record in records.items():
            passing = record.state == "accepted" and not record.waits_for
            if self._mirrored.get(name) != record.version and not passing:
                self.write(record)

    def forgotten(self) -> None:
        """Records have gone; where one of the same id is made, its file begins anew."""
        self._mirrored = {name: seen for name, seen in self._mirrored.items() if self.store.known(name)}

    def supersede(self, record: Record, *, taken_in: bool = False) -> None:
        """What this node's queue has of another node's request is put away into superseded/.

        `taken_in`: its file is known to be there, under whatever name.
        """
        request_id = record.request.request_id
        if taken_in or self.call(self.spool.holds, request_id):
            data = requestfile.encode(record, self.zone, status="superseded")
            self.call(self.spool.put, request_id, "superseded", data)
            log.info("the file of %s is put into superseded/: %s has it", request_id, record.owner)

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
        self.nudge()

    @property
    def paused(self) -> bool:
        """Whether they stand still. Raises TransientError."""
        return self.store.paused()

    def folders(self) -> dict[str, int]:
        """How many requests are in each folder."""
        count = self.counts
        return {
            "pending": count.get("accepted", 0) + count.get("assigned", 0),
            "processing": count.get("running", 0) + count.get("produced", 0) + count.get("replying", 0),
            "completed": count.get("replied", 0) + count.get("done", 0),
            "failed": count.get("failed", 0),
        }


def say_waits(name: str, seconds: float, trouble: Backoff, error: TransientError) -> None:
    """That a service waits: a warning once it has lasted (at a start ZooKeeper is connected in a moment)."""
    aloud = trouble.attempts == _CALM + 1 or trouble.attempts % _AGAIN == 0
    level = logging.WARNING if aloud else logging.DEBUG
    log.log(level, "the service %s is tried again in %.1f s: %s", name, seconds, error)


def wait(stop: Event, wake: Event, seconds: float) -> None:
    """Until woken, told to stop, or `seconds` have passed."""
    until = time.monotonic() + seconds
    while not stop.is_set() and not wake.is_set() and (rest := until - time.monotonic()) > 0:
        wake.wait(min(SLICE, rest))


def _as_far(current: Record, record: Record) -> bool:
    return (current.state, current.owner, current.attempt) == (record.state, record.owner, record.attempt)
