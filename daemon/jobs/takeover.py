"""Gives the unfinished requests of a lost node to one that can do them. Service, of the master only.

    away for takeover_after --> each of its records: owner = the heir (fenced: epoch and version)
                                or, where only that node has the recordings, it waits and says so

A node that is not dead but cut off finds its next compare-and-set refused. When
it comes back, its files of what others have by now go into superseded/.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event

from daemon.errors import TransientError
from daemon.jobs import placing, policy
from daemon.jobs.book import Book, say_waits, wait
from daemon.jobs.model import Record
from daemon.jobs.placing import Node
from daemon.jobs.policy import NotAllowed
from daemon.jobs.records import Deposed, Fenced
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.requests")

_EVERY = 1.0  # seconds between two looks at who is away


class Takeover:
    """Service: one look a second. `after` gives the seconds a node must be away."""

    name = "takeover"

    def __init__(
        self, book: Book, after: Callable[[], float], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._book = book
        self._after = after
        self._clock = clock
        self._wake = book.wake()
        self._away: dict[str, float] = {}
        self.taken = 0
        """Requests that were taken over."""

    def run(self, stop: Event) -> None:
        """Until `stop`. How long a node is away counts from when this master first saw it so."""
        trouble, self._away = Backoff(first=1.0, cap=30.0), {}
        while not stop.is_set():
            self._wake.clear()
            seconds = _EVERY
            try:
                if self._book.mastership.valid():
                    self._round()
                trouble.reset()
            except Deposed as error:
                log.info("%s: %s", self.name, error)
            except TransientError as error:
                seconds = trouble.next()
                say_waits(self.name, seconds, trouble, error)
            wait(stop, self._wake, seconds)

    def requeue(self, node: str) -> str:
        """At once, at an operator's wish. Raises NotAllowed, TransientError, Deposed."""
        nodes = self._book.nodes()
        if any(each.name == node and each.here for each in nodes):
            raise NotAllowed(f"{node} is here and works on its requests itself")
        if not self._book.mastership.valid():
            raise NotAllowed("this node is not the master: ask the one that is")
        records = self._of(node)
        moved = sum(self._take(record, node, nodes) for record in records)
        wait_for_it = sum(record.waits_for == node for record in self._unfinished())
        rest = f"; {wait_for_it} wait for it: nobody else has their recordings" if wait_for_it else ""
        return f"{moved} requests of {node} are taken over{rest}"

    def _round(self) -> None:
        now, nodes = self._clock(), self._book.nodes()
        here = {node.name for node in nodes if node.here}
        lost = {policy.node_of(record) for record in self._unfinished()} - here - {""}
        self._away = {name: self._away.get(name, now) for name in lost}
        for name in sorted(lost):
            if now - self._away[name] >= self._after():
                for record in self._of(name):
                    self._take(record, name, nodes)

    def _unfinished(self) -> Sequence[Record]:
        """What the mailbox's service does not see to: it moves the mails of all that is answered."""
        return [r for r in self._book.store.listing() if r.state != "replied" or not r.uid]

    def _of(self, node: str) -> list[Record]:
        return [record for record in self._unfinished() if policy.node_of(record) == node]

    def _take(self, record: Record, lost: str, nodes: Sequence[Node]) -> bool:
        """Give it to who can do it; False: it waits, or is somebody else's by now."""
        book = self._book
        book.lead()
        heir = self._heir(record, lost, nodes)
        try:
            if record.state == "replied":
                book.advance(record, lambda r: policy.finished(r, book.now()), as_master=True)
                return True
            if heir is None:
                self._wait(record, lost)
                return False
            taken = book.advance(
                record, lambda r: policy.taken_over(r, heir, book.now(), book.limits()), as_master=True
            )
        except Deposed:
            raise
        except Fenced as error:
            log.info("%s has been moved on by %s: %s", record.request.request_id, lost, error)
            return False
        self.taken += 1
        log.warning(
            "request %s of %s is taken over by %s: it was %s, it is %s",
            record.request.request_id,
            lost,
            heir,
            record.state,
            taken.state,
        )
        book.write(taken)
        book.nudge()
        return True

    def _heir(self, record: Record, lost: str, nodes: Sequence[Node]) -> str | None:
        if policy.is_answerable(record):
            return self._book.owner
        found = placing.heir_of(record.request, nodes, self._book.owner, lost)
        return found.name if found is not None else None

    def _wait(self, record: Record, lost: str) -> None:
        if record.waits_for == lost:
            return
        why = f"{lost} is away, and nobody else has its recordings"
        log.warning("request %s waits: %s", record.request.request_id, why)
        self._book.advance(record, lambda r: policy.waiting(r, lost, why), as_master=True)
        self._book.nudge()

    def status(self) -> dict[str, object]:
        """How many were taken over, and who is away with something unfinished."""
        return {"taken_over": self.taken, "away": sorted(self._away)}
