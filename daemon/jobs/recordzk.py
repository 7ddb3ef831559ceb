"""The store of records of two hosts: in ZooKeeper, under compare-and-set. Adapter of ha.claims.

    /req/XX/ID    a record, JSON; its version is the node's data version plus one
    /mails/XX/..  how often a mail was tried that has no record yet

Asked for one record it asks ZooKeeper; lists and numbers come from the copy that
a watch keeps. A listing may be a moment old: whoever acts on it is held by the
version. What is too large for a record (the recordings of an answer) stays on
its owner's disk, and the record has its hash.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

import msgspec

from daemon.errors import TransientError
from daemon.jobs.model import FINAL, Outcome, Record, State
from daemon.jobs.ondisk import Outcomes
from daemon.jobs.recordcache import RecordCache
from daemon.jobs.recordfile import Offloaded
from daemon.jobs.records import Deposed, Fenced
from ha.claims import Claim, Claims
from ha.claims import Stale as ClaimStale
from ha.errors import Deposed as EpochOver
from ha.errors import HaError

log = logging.getLogger("arimonitor.requests")

MOST_BYTES = 6 * 1024
"""Of a record in ZooKeeper; more of it is an outcome, and stays on the disk."""
MOST_RECORDS = 10_000
"""Final ones that are kept, however young: ZooKeeper has all in memory."""
_AT_ONCE = 1000  # records that are forgotten by one call
_IN_MEMORY = 64  # outcomes from the disk


class Pausing(Protocol):
    """The flag of the cluster that requests stand still; ha's board is one."""

    def paused(self) -> bool | None:
        """None: it is not known yet."""

    def pause(self, on: bool) -> None:
        """On all nodes; survives restarts. Raises HaError."""


class ZooKeeperRecords:
    """A RecordStore over `claims` (watched, and run as a service) and `tries` (neither).

    `owner` is this node, `over_limit` are the failures that `warned` asks for.
    """

    def __init__(
        self,
        claims: Claims,
        tries: Claims,
        pausing: Pausing,
        outcomes: Outcomes,
        call: Offloaded,
        *,
        owner: str,
        over_limit: Sequence[str] = (),
    ) -> None:
        self._claims = claims
        self._tries = tries
        self._pausing = pausing
        self._outcomes = outcomes
        self._call = call
        self._owner = owner
        self._over_limit = frozenset(over_limit)
        self._cache = RecordCache()
        self._in_memory: dict[str, Outcome] = {}
        self._tried: dict[str, int] = {}
        self._forgiven: set[str] = set()  # mails whose last try was none, which could not be said
        self._listeners: list[Callable[[], None]] = []
        claims.on_change(self._changed)
        claims.on_whole(self._tell)

    # -- one record ----------------------------------------------------------
    def create(self, record: Record) -> bool:
        """As RecordStore says. A mail's count of tries goes with it."""
        tried = self._tried.pop(record.uid, None)
        beside = () if tried is None else (self._tries.deletion(_key(record.uid), tried),)
        with _translated():
            return self._claims.create(
                record.request.request_id, self._packed(record), record.epoch, beside=beside
            )

    def read(self, request_id: str) -> Record | None:
        """As RecordStore says, asked of ZooKeeper."""
        with _translated():
            claim = self._claims.read(request_id)
        try:
            return None if claim is None else self._filled(_record(claim))
        except msgspec.MsgspecError as error:
            raise TransientError(f"the record {request_id} in ZooKeeper can't be read: {error}") from error

    def change(self, new: Record, expected: int, *, as_master: bool = False) -> Record:
        """As RecordStore says."""
        packed = self._packed(new)
        with _translated():
            version = self._claims.change(
                new.request.request_id, packed, expected - 1, new.epoch if as_master else None
            )
        return msgspec.structs.replace(new, version=version + 1)

    # -- of the copy ------------------------------------------------------------
    def listing(self, *states: State) -> Sequence[Record]:
        """As RecordStore says."""
        return [self._filled(record) for record in self._known().listing(states)]

    def latest(self, most: int, *states: State) -> Sequence[Record]:
        """As RecordStore says; of very many without what is only on the disk."""
        found = self._known().latest(most, states)
        return [self._filled(record) for record in found] if most <= _AT_ONCE else found

    def counts(self) -> dict[State, int]:
        """As RecordStore says; as last known where ZooKeeper is away."""
        return self._cache.counts()

    def known(self, request_id: str) -> bool:
        """As RecordStore says."""
        return self._known().get(request_id) is not None

    def recent(self, sender: str, since: datetime) -> int:
        """As RecordStore says."""
        return self._known().recent(sender, since.timestamp())

    def recent_all(self, since: datetime) -> int:
        """As RecordStore says."""
        return self._known().recent(None, since.timestamp())

    def warned(self, sender: str, since: datetime) -> bool:
        """As RecordStore says."""
        return self._known().failed_with(sender, since.timestamp(), self._over_limit)

    def subscribe(self, changed: Callable[[], None]) -> None:
        """As RecordStore says; also when ZooKeeper is back."""
        self._listeners.append(changed)

    # -- what is old ----------------------------------------------------------
    def forget(self, before: float, keep: Sequence[str] | None, epoch: int) -> Sequence[str]:
        """As RecordStore says; a thousand at a time. Of too many the oldest go whose mail is gone."""
        final = self._known().oldest(sorted(FINAL))
        surplus = max(0, len(final) - MOST_RECORDS)
        gone: list[str] = []
        for number, record in enumerate(final):
            stays = bool(record.uid) and (keep is None or record.uid in keep)
            if stays or (record.changed_at >= before and number >= surplus):
                continue
            if len(gone) == _AT_ONCE:
                break
            with _translated():
                try:
                    self._claims.delete(record.request.request_id, record.version - 1, epoch)
                except ClaimStale:  # an operator has just taken it up again
                    continue
            gone.append(record.request.request_id)
        self._forget_tries(before)
        return gone

    def _forget_tries(self, before: float) -> None:
        with _translated():
            self._tries.load()
            for key, claim in list(self._tries.cached().items()):
                if claim.changed < before:
                    self._tries.delete(key, claim.version)

    # -- tries of a mail, pause ---------------------------------------------------
    def attempt(self, uid: str) -> int:
        """As RecordStore says."""
        key, mine = _key(uid), secrets.token_hex(8)  # so that a lost answer is not mixed up with an old count
        with _translated():
            for _ in range(10):
                if self._tries.create(key, f"1 {mine}".encode()):
                    self._tried[uid] = 0
                    return 1
                found = self._tries.read(key)
                if found is None:
                    continue
                count = int(found.data.split()[0]) + (uid not in self._forgiven)
                try:
                    self._tried[uid] = self._tries.change(key, f"{count} {mine}".encode(), found.version)
                except ClaimStale:
                    continue
                self._forgiven.discard(uid)
                return count
        raise TransientError("the tries of a mail are counted by somebody else too")

    def attempted(self, uid: str) -> None:
        """As RecordStore says."""
        version = self._tried.pop(uid, None)
        if version is None:
            return
        with _translated():
            try:
                self._tries.delete(_key(uid), version)
            except ClaimStale:
                log.debug("another node tries the mail %s", ascii(uid))
            except HaError:
                self._forgiven.add(uid)
                raise

    def paused(self) -> bool:
        """As RecordStore says; until it is known, requests stand still."""
        return self._pausing.paused() is not False

    def pause(self, on: bool) -> None:
        """As RecordStore says, on all nodes."""
        with _translated():
            self._pausing.pause(on)

    # -- inside ----------------------------------------------------------------
    def _known(self) -> RecordCache:
        if not self._claims.connected:
            raise TransientError("ZooKeeper is away: the records can't be reached")
        if not self._claims.loaded:
            raise TransientError("the records are still being read from ZooKeeper")
        return self._cache

    def _changed(self, request_id: str, claim: Claim | None, own: bool) -> None:
        """In whichever greenlet the claims are: returns at once."""
        if claim is None:
            self._cache.drop(request_id)
        else:
            try:
                self._cache.put(_record(claim))
            except msgspec.MsgspecError as error:
                log.error("the record %s in ZooKeeper can't be read: %s", ascii(request_id), error)
                self._cache.drop(request_id)
        if not own:
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _packed(self, record: Record) -> bytes:
        """As it is in ZooKeeper; the version is the node's own."""
        request_id = record.request.request_id
        kept = record.kept if record.outcome is None else ""
        record = msgspec.structs.replace(record, version=0, kept=kept)
        data = msgspec.json.encode(record)
        if len(data) <= MOST_BYTES or record.outcome is None:
            return data
        digest = self._call(self._outcomes.keep, request_id, record.outcome)
        self._remember(digest, record.outcome)
        return msgspec.json.encode(msgspec.structs.replace(record, outcome=None, kept=digest))

    def _filled(self, record: Record) -> Record:
        """With what is on this node's disk; None stays where it is another's, or lost."""
        if not record.kept or record.outcome is not None or record.owner != self._owner:
            return record
        outcome = self._in_memory.get(record.kept)
        if outcome is None:
            outcome = self._call(self._outcomes.read, record.request.request_id, record.kept)
            if outcome is None:
                return record
            self._remember(record.kept, outcome)
        return msgspec.structs.replace(record, outcome=outcome)

    def _remember(self, digest: str, outcome: Outcome) -> None:
        self._in_memory[digest] = outcome
        while len(self._in_memory) > _IN_MEMORY:
            del self._in_memory[next(iter(self._in_memory))]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClaimStale as error:
        raise Fenced(str(error)) from error
    except EpochOver as error:
        raise Deposed(str(error)) from error
    except HaError as error:
        raise TransientError(f"the records can't be reached: {error}") from error


def _record(claim: Claim) -> Record:
    record = msgspec.json.decode(claim.data, type=Record)
    return msgspec.structs.replace(record, version=claim.version + 1)


def _key(uid: str) -> str:
    return hashlib.sha256(uid.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def is_lasting(data: bytes) -> bool:
    """Whether a record is final: for Claims."""
    return b'"state":"done"' in data or b'"state":"failed"' in data
