"""Gives to another node what was accepted here and has to be done there. Service.

    accepted here --> its file in the other node's pending/ --> assigned to that node

A node that is away: the request stays accepted and says what it waits for; who
asked is told once (answering). SSH that hangs holds up nothing but this.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from daemon.errors import PermanentError, TransientError
from daemon.jobs import policy
from daemon.jobs.book import Book, say_waits, wait
from daemon.jobs.model import Record
from daemon.jobs.placing import Node
from daemon.jobs.records import Courier, Fenced
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.requests")

_IDLE = 5.0  # seconds between two looks when nobody calls
_FIRST, _CAP = 1.0, 60.0  # seconds between two tries with a node that could not be reached
_GRACE = 3.0  # seconds that a node may be away (a restart takes one) before a request says that it waits


class Dispatcher:
    """Service: from this node's accepted requests to the other nodes' queues."""

    name = "queue-peer"

    def __init__(self, book: Book, courier: Courier, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._book = book
        self._clock = clock
        self._courier = courier
        self._wake = book.wake()
        self._pauses: dict[str, Backoff] = {}
        self._not_before: dict[str, float] = {}
        self._away: dict[str, float] = {}
        self._sent = 0

    def run(self, stop: Event) -> None:
        """Until `stop`."""
        trouble = Backoff(first=0.5, cap=30.0)
        while not stop.is_set():
            self._wake.clear()
            try:
                seconds = self._round(stop)
                trouble.reset()
            except TransientError as error:  # of the records
                seconds = trouble.next()
                say_waits(self.name, seconds, trouble, error)
            wait(stop, self._wake, seconds)

    def _round(self, stop: Event) -> float:
        """Give away what is due; seconds until the next look."""
        book = self._book
        if book.paused or not book.is_settled:
            return _IDLE
        here = {node.name for node in book.nodes() if node.here}
        self._away = {name: since for name, since in self._away.items() if name not in here}
        for record in book.own("accepted"):
            if stop.is_set():
                break
            node = book.place(record)
            if policy.step_of(record) != "assign" or node.name == book.owner:
                continue
            try:
                if node.here:
                    self._give(record, node)
                elif self._clock() - self._away.setdefault(node.name, self._clock()) >= _GRACE:
                    self._wait(record, node, f"{node.name} is away")
            except Fenced as error:
                log.info("%s: somebody else has moved a request on: %s", self.name, error)
        moments = [*self._not_before.values(), *(since + _GRACE for since in self._away.values())]
        waits = [moment - self._clock() for moment in moments]
        return min([_IDLE, *(max(0.1, each) for each in waits if each > 0)])

    def _give(self, record: Record, node: Node) -> None:
        if self._clock() < self._not_before.get(node.name, 0.0):
            return
        book, request_id = self._book, record.request.request_id
        current = book.store.read(request_id)
        if current is None or policy.step_of(current) != "assign":
            return  # the listing is older than the record
        try:
            self._courier.send(current, node.name)
        except (TransientError, PermanentError) as error:
            pause = self._pauses.setdefault(node.name, Backoff(first=_FIRST, cap=_CAP)).next()
            self._not_before[node.name] = self._clock() + pause
            self._wait(current, node, f"{node.name} can't be reached: {error}")
            return
        self._pauses.pop(node.name, None)
        self._not_before.pop(node.name, None)
        book.reach("brought")
        book.assign(current, node.name)
        self._sent += 1
        log.info("request %s is given to %s", request_id, node.name)

    def _wait(self, record: Record, node: Node, why: str) -> None:
        """Say once what it waits for; the operator finds it in the note, the requester in a mail."""
        if (record.waits_for, record.note) == (node.name, why[:500]):
            return
        log.warning("request %s waits: %s", record.request.request_id, why)
        self._book.advance(record, lambda r: policy.waiting(r, node.name, why))
        self._book.nudge()

    def status(self) -> dict[str, object]:
        """How many were given away, and to whom it can't be done now."""
        return {"given": self._sent, "unreachable": sorted(self._not_before)}
