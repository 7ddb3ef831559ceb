"""The durable outbox: what is stored here is published sooner or later, once it is confirmed it is gone.

    store()   several callers' messages become one transaction (group commit), made in a
              native thread; it returns when they are on the disk
    confirm() noted at once, written with the next transaction or by the keeper: if the
              process dies before, those messages go out again under the same id
    subscribe() hands a publisher the new messages of its broker as they are committed

A message id is kept once, also after its message was published: ids are
remembered for `remember_hours` after that. While the disk is full the outbox goes
on in memory, within a bound, and says so (docs/decisions/outbox-disk-full.md).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from daemon.errors import FatalError, TransientError
from daemon.outbox.database import Applied, Batch, Damaged, Database, DiskTrouble
from daemon.outbox.entry import Entry
from daemon.outbox.groupcommit import Line, Ticket
from daemon.outbox.lockfile import DirectoryLock
from daemon.outbox.message import Message
from daemon.outbox.opening import OffloadCall, open_file
from daemon.outbox.rows import Row, StateKey, key_of
from daemon.outbox.spillover import OutboxFull, Spillover
from daemon.outbox.waiting import Waiting

log = logging.getLogger("arimonitor.outbox")

_BATCH = 2000  # messages in one transaction at most: what a commit may take is bounded
_PRUNE = 1000


class Outbox:
    """One SQLite file, one process. Every method may be called from any greenlet after `open`."""

    def __init__(
        self,
        path: Path,
        offload: OffloadCall,
        *,
        remember_hours: float = 48.0,
        memory_limit: int = 100_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.remember_hours = remember_hours
        self._offload = offload
        self._now = now
        self._database = Database(path)
        self._directory = DirectoryLock(path.parent)
        self._spill = Spillover(memory_limit)
        self._degraded: DiskTrouble | None = None
        self._commit = Lock()  # one transaction at a time
        self._read = Lock()
        self._line = Line()
        self._confirmed: dict[int, None] = {}  # not written yet, in the order they came
        self._postponed: dict[int, tuple[float, str]] = {}
        self._subscribers: dict[str, Callable[[list[Entry]], None]] = {}
        self._waiting = Waiting()
        self._state: dict[StateKey, bytes | None] = {}  # not written yet: the disk was full
        self._seq = 0  # the highest number given to a message so far
        self.stored_total = self.commits = 0

    def open(self) -> None:
        """Open or make the file; a broken one is put aside. Raises FatalError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._directory.acquire()
        try:
            self._open_database()
        except BaseException:
            self._directory.release()
            raise

    def _open_database(self) -> None:
        self._seq, found = open_file(self._database, self._offload, self._now())
        self._waiting.begin(found)
        if found:
            log.info("the outbox has messages that are not published yet: %d", sum(self.counts().values()))

    def close(self) -> None:
        """Write what is noted and close. What only the memory has is said in the log."""
        try:
            if self._degraded is None or self.recover():
                self.flush()
        except TransientError as error:
            log.warning("the last confirmations could not be written: %s", error)
        if len(self._spill):
            log.error("%d messages were held in memory only and are lost with this process", len(self._spill))
        with self._commit, self._read:
            self._offload(self._database.close)
        self._directory.release()

    def store(self, messages: Sequence[Message], state: Mapping[StateKey, bytes | None] | None = None) -> int:
        """Keep these in their order; returns when they are durable. How many of the ids were new.

        `state` is what somebody must remember beside them (None: forget it), written
        in the same transaction; while the disk is full it waits.
        Raises OutboxFull where neither the disk nor the memory has room for
        them: nothing of them is kept then, and the caller holds them back.
        """
        if not messages and not state:
            return 0
        ticket = Ticket(messages, state or {})
        self._line.pass_through(ticket, self._commit_for)
        if ticket.error is not None:
            raise ticket.error
        return ticket.stored or 0

    def _commit_for(self, ticket: Ticket) -> None:
        with self._commit:
            if not ticket.done:  # a flush may have taken it along
                self._commit_once()

    def confirm(self, broker: str, seqs: Sequence[int]) -> None:
        """These are published. Returns at once; `flush`, the keeper or the next `store` writes it."""
        for seq in seqs:
            if not (self._degraded and self._spill.confirm(seq)):
                self._confirmed[seq] = None
        self._waiting.confirmed(broker, len(seqs))

    def postpone(self, seq: int, until: float, reason: str) -> None:
        """This was refused and waits until then (seconds since the epoch), also over a restart."""
        self._postponed[seq] = (until, reason[:500])

    def flush(self) -> None:
        """Write what `confirm` and `postpone` noted. Raises OutboxFull if the disk is full."""
        with self._commit:
            if self._confirmed or self._postponed:
                self._commit_once()
        if self._degraded is not None:
            raise OutboxFull(f"the outbox's disk is full: {self._degraded}")

    def drop(self, keys: Sequence[bytes]) -> int:
        """Another node has published these (`rows.key_of`): forget what waits of them; how many did.

        Their ids are remembered, also of what is only made here later. Durable on return. Not while a
        publisher has them. OutboxFull: the disk is full, they are forgotten but not remembered: call again.
        """
        dropped = 0
        for first in range(0, len(keys), _BATCH):
            with self._commit:
                dropped += self._drop(list(keys[first : first + _BATCH]))
        return dropped

    def _drop(self, keys: list[bytes]) -> int:
        if self._degraded is None:
            try:
                return sum(self._write(Batch(self._now(), elsewhere=keys)).dropped.values())
            except DiskTrouble as error:
                self._degrade(error)
        for at in filter(None, self._standing(keys).values()):
            self.confirm(at[1], [at[0]])
        raise OutboxFull(f"the outbox's disk is full: {self._degraded}")

    def standing(self, keys: Sequence[bytes]) -> dict[bytes, bool]:
        """Of these ids those that are known here: True: it waits, False: it was published."""
        return {key: found is not None for key, found in self._standing(keys).items()}

    def _standing(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, str] | None]:
        held = {key: self._spill.place(key) for key in keys if self._spill.knows(key)}
        known: dict[bytes, tuple[int, str] | None] = self._reading(self._database.standing, list(keys))
        return {key: None if at and at[0] in self._confirmed else at for key, at in (known | held).items()}

    @property
    def noted(self) -> int:
        """Confirmations that are not written yet."""
        return len(self._confirmed)

    def _commit_once(self) -> None:
        """One transaction with all who wait. The caller holds `_commit`."""
        tickets = self._line.take(_BATCH)
        batches = [self._numbered(ticket) for ticket in tickets]
        try:
            self._settle(tickets, batches)
        except BaseException as error:
            for ticket in tickets:
                if ticket.stored is None:
                    ticket.error = error if isinstance(error, Exception) else TransientError("interrupted")
            raise
        finally:
            for ticket in tickets:
                ticket.wake.set()

    def _settle(self, tickets: Sequence[Ticket], batches: Sequence[list[tuple[Row, Message]]]) -> None:
        if self._degraded is not None:
            self._hold(tickets, batches)
            return
        try:
            rows = [row for batch in batches for row, _ in batch]
            state = self._state | {key: data for ticket in tickets for key, data in ticket.state.items()}
            known = self._write(Batch(self._now(), rows=rows, state=state)).known
        except DiskTrouble as error:
            self._degrade(error)
            self._hold(tickets, batches)
            return
        fresh: list[tuple[int, Message]] = []
        for ticket, batch in zip(tickets, batches, strict=True):
            new = [(row[0], message) for row, message in batch if row[0] not in known]
            ticket.stored = len(new)
            fresh += new
        self._announce(fresh)

    def _numbered(self, ticket: Ticket) -> list[tuple[Row, Message]]:
        first = self._seq + 1
        self._seq += len(ticket.rows)
        return [
            ((seq, *row[1:]), message)
            for seq, (row, message) in enumerate(zip(ticket.rows, ticket.messages, strict=True), first)
        ]

    def _write(self, batch: Batch) -> Applied:
        """Write a batch, which has all of `_state` or none, and what is noted; if it fails that stays."""
        batch.confirmed = list(self._confirmed)
        batch.postponed = [(seq, until, why) for seq, (until, why) in self._postponed.items()]
        try:
            applied: Applied = self._offload(self._database.apply, batch)
        except Damaged as error:
            raise FatalError(f"the outbox {self.path} is damaged: {error}") from error
        self.commits += 1
        if batch.state:
            self._state.clear()
        for seq in batch.confirmed:
            del self._confirmed[seq]
        for seq, until, why in batch.postponed:
            if self._postponed.get(seq) == (until, why):
                del self._postponed[seq]
        for broker, count in applied.dropped.items():
            self._waiting.confirmed(broker, count)
        return applied

    def _announce(self, fresh: Sequence[tuple[int, Message]]) -> None:
        by_broker: dict[str, list[Entry]] = {}
        for seq, message in fresh:
            by_broker.setdefault(message.broker, []).append(Entry(seq, message))
        self.stored_total += len(fresh)
        for broker, entries in by_broker.items():
            self._waiting.stored(broker, len(entries), self._now())
            subscriber = self._subscribers.get(broker)
            if subscriber is not None:
                subscriber(entries)

    @property
    def degraded(self) -> str:
        """Why messages are held in memory only; "" where all is well."""
        return "" if self._degraded is None else str(self._degraded)

    @property
    def held(self) -> int:
        """Messages that only the memory has."""
        return len(self._spill)

    def _degrade(self, error: DiskTrouble) -> None:
        self._degraded = error
        log.error(
            "outbox disk full (%s): new messages are held in memory only, up to %d;"
            " they go on being published; free space on the disk of %s",
            error, self._spill.limit, self.path,
        )  # fmt: skip

    def _hold(self, tickets: Sequence[Ticket], batches: Sequence[list[tuple[Row, Message]]]) -> None:
        try:
            known = set(self._standing([row[1] for b in batches for row, _ in b]))
        except TransientError:
            known = set()  # nobody can say now; it is asked again when they are written
        for ticket, batch in zip(tickets, batches, strict=True):
            fresh = []
            for row, message in batch:
                if row[1] not in known and not self._spill.knows(row[1]):
                    known.add(row[1])
                    fresh.append((row, message))
            if len(fresh) > self._spill.room:
                ticket.error = OutboxFull(
                    f"no room: the outbox's disk is full, {len(self._spill)} messages are held in memory"
                )
                known.difference_update(row[1] for row, _ in fresh)
                continue
            self._spill.hold(fresh)
            self._state.update(ticket.state)
            ticket.stored = len(fresh)
            self._announce([(row[0], message) for row, message in fresh])

    def recover(self) -> bool:
        """Try to write what the memory holds; True once all is on the disk. The keeper calls this."""
        while True:
            with self._commit:
                if self._degraded is None:
                    return True
                rows, seen = self._spill.begin_writing(_BATCH)
                # Not ahead of its messages.
                state = self._state.copy() if len(rows) == len(self._spill) else {}
                try:
                    self._write(Batch(self._now(), rows=rows, seen=seen, state=state))
                except DiskTrouble as error:
                    self._spill.not_written()
                    self._degraded = error
                    return False
                self._spill.wrote(rows, seen)
                if self._spill.empty:
                    self._degraded = None
                    log.warning("the outbox's disk has room again: all messages are on the disk")
                    return True

    def subscribe(self, broker: str, callback: Callable[[list[Entry]], None]) -> None:
        """Call this with each broker's new messages as they are committed, in their order.

        It is called in the middle of `store` and must neither wait nor raise.
        What was stored before is read with `pending`.
        """
        self._subscribers[broker] = callback

    def unsubscribe(self, broker: str) -> None:
        """No more calls for this broker."""
        self._subscribers.pop(broker, None)

    def pending(self, broker: str, after: int = 0, limit: int = 500) -> list[Entry]:
        """Messages of a broker that are not confirmed, oldest first, with seq > `after`.

        Fewer than `limit` means that these are all.
        """
        found: list[Entry] = []
        while len(found) < limit:
            # First what the memory holds: what moves to the disk meanwhile is then in both.
            held = self._spill.entries(broker) if self._degraded is not None else []
            page: list[Entry] = self._reading(self._database.page, broker, after, limit)
            whole = len(page) < limit
            after = page[-1].seq if page else after
            if whole:
                page += [entry for entry in held if entry.seq > after]
            found += [entry for entry in page if entry.seq not in self._confirmed]
            if whole:
                break
        return found[:limit]

    @property
    def last(self) -> int:
        """The highest number given to a message so far."""
        return self._seq

    def load(self, seqs: Sequence[int]) -> list[Entry]:
        """Those of these messages that are still pending, oldest first."""
        held = self._spill.some(seqs) if self._degraded is not None else []
        found: dict[int, Entry] = {entry.seq: entry for entry in held}
        for entry in self._reading(self._database.load, seqs):
            found[entry.seq] = entry
        return [found[seq] for seq in sorted(found) if seq not in self._confirmed]

    def _reading(self, function: Callable[..., Any], *data: object) -> Any:
        try:
            with self._read:
                return self._offload(function, *data)
        except DiskTrouble as error:
            raise TransientError(f"the outbox {self.path} can't be read: {error}") from error
        except Damaged as error:
            raise FatalError(f"the outbox {self.path} is damaged: {error}") from error

    def known(self, ids: Sequence[str]) -> set[str]:
        """Which of these message ids were stored lately (see `remember_hours`)."""
        by_key = {key_of(each): each for each in ids}
        return {by_key[key] for key in self._standing(list(by_key))}

    def state(self, owner: str) -> dict[str, bytes]:
        """What `owner` stored as state, by its keys."""
        return dict(self._reading(self._database.state, owner))

    def counts(self) -> Mapping[str, int]:
        """How many messages wait, by broker. Cheap."""
        return self._waiting.counts()

    def oldest(self, broker: str) -> float:
        """Age in seconds of the oldest message that waits, as of the last `refresh`; 0 where none does."""
        return self._waiting.age(broker, self._now())

    def refresh(self) -> None:
        """Look up the ages that `oldest` tells."""
        if self._degraded is None:
            brokers = [broker for broker, count in self.counts().items() if count]
            self._waiting.looked_up(self._reading(self._database.oldest, brokers))

    def prune(self) -> bool:
        """Forget some of the ids that are old enough; True if there may be more."""
        cutoff = self._now() - self.remember_hours * 3600
        with self._commit:
            if self._degraded is not None:
                return False
            try:
                seen: int = self._offload(self._database.prune, cutoff, _PRUNE, self._now())
            except DiskTrouble as error:
                raise TransientError(f"old ids could not be pruned: {error}") from error
        return seen == _PRUNE

    def disk_bytes(self) -> int:
        """Size of the file and its log."""
        return int(self._offload(self._database.size))
