"""Asks the master about what waits here though the journal did not name it. Adapter.

Nothing that this node has stored is let go of on a guess: not by its age, not by a
clock. The journal names most within a second or two; about what is left, the master is
asked. See `questions` for what it can say, and what comes of it:

    published   dropped here
    waits       kept: the master has it on its disk, and the journal will name it
    unknown     seen as it happened: handed to the master, which publishes it
                a later discovery, or a node's own: kept for `keep` seconds, then dropped
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from daemon.outbox.entry import Entry
from daemon.outbox.rows import key_of
from daemon.outbox.store import Outbox
from daemon.standby.marks import ANSWER, QUESTION, Marks
from daemon.standby.questions import (
    MAX_IDS,
    PUBLISHED,
    UNKNOWN,
    Question,
    Unusable,
    batch,
    decode_answer,
    encode_question,
    seen_as_it_happened,
)

log = logging.getLogger("arimonitor.standby")

_HELD = 10_000  # unknown messages whose time is kept


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question without an answer yet; `upto` says how far each broker's messages are asked about then."""

    token: str
    entries: list[Entry]
    upto: dict[str, int]
    at: float


class Asker:
    """The standby's side. Times are seconds of the caller's monotonic clock.

    A message is asked about `ripe` seconds after it was stored at the earliest, all that is left again
    each `again` seconds. `ours(broker)`: this node publishes these itself, whatever its role.
    """

    def __init__(
        self,
        node: str,
        outbox: Outbox,
        marks: Marks,
        ours: Callable[[str], bool],
        *,
        ripe: float = 10.0,
        patience: float = 30.0,
        again: float = 300.0,
        keep: float = 900.0,
    ) -> None:
        self.handed = self.given_up = self.settled = 0
        self._node = node
        self._outbox = outbox
        self._marks = marks
        self._ours = ours
        self._ripe, self._patience, self._again, self._keep = ripe, patience, again, keep
        self._asked: _Asked | None = None
        self._upto: dict[str, int] = {}
        self._begun = 0.0  # when the messages were begun to be asked about from the first on
        self._caught_up = False
        self._lasts: deque[tuple[float, int]] = deque()
        self._ripe_upto = 0
        self._to_hand: list[Entry] = []
        self._unknown: dict[str, float] = {}

    def start_over(self) -> None:
        """Ask about everything again: it is another master, or the journal has a hole."""
        self._asked = None
        self._upto.clear()
        self._to_hand.clear()

    def step(self, now: float, epoch: int) -> None:
        """Use an answer, or ask the master of that epoch the next question. Raises TransientError."""
        self._ripen(now)
        if self._asked is not None:
            self._hear(self._asked, now)
        if self._asked is None:
            self._ask(now, epoch)

    def _ripen(self, now: float) -> None:
        """Note the number of the newest message; by it the age of all is known without their times."""
        if not self._lasts or now - self._lasts[-1][0] >= self._ripe / 10:
            self._lasts.append((now, self._outbox.last))
        while self._lasts and now - self._lasts[0][0] >= self._ripe:
            self._ripe_upto = self._lasts.popleft()[1]

    def _ask(self, now: float, epoch: int) -> None:
        if self._to_hand:
            count = batch([entry.message for entry in self._to_hand])
            entries, upto = self._to_hand[:count], dict(self._upto)
            question = Question(uuid4().hex, epoch, messages=tuple(entry.message for entry in entries))
        else:
            entries, upto = self._next(now)
            question = Question(uuid4().hex, epoch, tuple(key_of(entry.message.id) for entry in entries))
        if entries:
            self._marks.write_mark(QUESTION, self._node, encode_question(question), None)
            self._asked = _Asked(question.token, entries, upto, now)

    def _next(self, now: float) -> tuple[list[Entry], dict[str, int]]:
        if self._caught_up and now - self._begun >= self._again:
            self._upto.clear()
        if not self._upto:
            self._begun = now
            # What is older was settled by the journal meanwhile: a round would have given it up.
            oldest = now - self._keep - 2 * self._again
            self._unknown = {id_: since for id_, since in self._unknown.items() if since >= oldest}
        entries: list[Entry] = []
        upto = dict(self._upto)
        for broker, count in self._outbox.counts().items():
            if count <= 0 or self._ours(broker) or len(entries) >= MAX_IDS:
                continue
            page = self._page(broker, upto.get(broker, 0), MAX_IDS - len(entries))
            if page:
                upto[broker] = page[-1].seq
                entries += page
        self._caught_up = len(entries) < MAX_IDS
        return entries, upto

    def _page(self, broker: str, after: int, limit: int) -> list[Entry]:
        """What of a broker's messages may be asked about; mostly the first says that there is nothing."""
        for most in (1, limit):
            page = self._outbox.pending(broker, after, most)
            if not page or page[0].seq > self._ripe_upto:
                return []
        return [entry for entry in page if entry.seq <= self._ripe_upto]

    def _hear(self, asked: _Asked, now: float) -> None:
        data = self._marks.read_mark(ANSWER, self._node)
        try:
            answer = None if data is None else decode_answer(data)
        except Unusable as error:
            log.debug("the master's answer can't be read: %s", error)
            answer = None
        if answer is None or answer.token != asked.token or len(answer.states) != len(asked.entries):
            if now - asked.at >= self._patience:
                self._asked = None  # there is no master, or it is another one by now
            return
        self._use(asked, answer.states, now)
        self._asked = None

    def _use(self, asked: _Asked, states: str, now: float) -> None:
        done = [entry for entry, state in zip(asked.entries, states, strict=True) if state == PUBLISHED]
        unknown = [entry for entry, state in zip(asked.entries, states, strict=True) if state == UNKNOWN]
        shared: list[Entry] = []
        overdue: list[Entry] = []
        if not self._to_hand:
            shared = [entry for entry in unknown if seen_as_it_happened(entry.message)]
            taken = {entry.seq for entry in shared}
            overdue = self._overdue([entry for entry in unknown if entry.seq not in taken], now)
        # First, since it may fail: the answer is then used again.
        self.settled += self._outbox.drop([key_of(entry.message.id) for entry in (*done, *overdue)])
        self.settled -= len(overdue)
        self.given_up += len(overdue)
        for entry in (*done, *overdue):
            self._unknown.pop(entry.message.id, None)
        if self._to_hand:
            del self._to_hand[: len(asked.entries)]
            self.handed += len(asked.entries) - len(unknown) - len(done)
        self._to_hand += shared
        if shared:
            log.info("%d messages are handed to the master, which has not seen them", len(shared))
        self._upto = asked.upto

    def _overdue(self, entries: list[Entry], now: float) -> list[Entry]:
        """Those that no master knew for so long that they are given up."""
        overdue = []
        for entry in entries:
            since = self._unknown.get(entry.message.id)
            if since is not None and now - since >= self._keep:
                overdue.append(entry)
                log.info("%s %s is of this node alone: dropped", entry.message.type, entry.message.id)
            elif since is None and len(self._unknown) < _HELD:
                self._unknown[entry.message.id] = now
        return overdue
