"""Bytes under keys in ZooKeeper, changed by compare-and-set; those of one folder are kept here too. Service.

    claims = Claims(tree, "/req")
    claims.create(key, data, epoch)             True: made; False: there is one. Deposed: not the last epoch
    claims.change(key, data, version, epoch)    the new version. Stale: somebody else has changed it
    claims.read(key)                            as it is now, whatever the copy here says
    claims.cached()                             the copy: a watch says what changed, `run` reads it

An answer that was lost is never guessed: it is read again, behind a sync, and compared. A session never
sees an older state after a newer one, and a change that was on its way when the connection broke can't be
done after the next connection of that session has read.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from types import MappingProxyType

from ha.errors import BadVersion, Deposed, HaError, NodeExists, NoNode, Unreachable
from ha.lease import version_of
from ha.operations import ANY, Check, Committed, Create, Delete, Operation, Refused, Set, Stat
from ha.paths import EPOCH
from ha.zookeeper import Tree

log = logging.getLogger("arimonitor.zookeeper")

_TURN = 0.2  # seconds between two looks at `stop`
_PIECE = 200  # claims that are read in one go where it is not urgent
_AGAIN = 1.0  # seconds until what could not be read is tried again


class Stale(HaError):
    """The claim is gone, or has another version."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is under a key: data, its version (0 at first), and when it was changed (UTC s, the server's)."""

    data: bytes
    version: int
    made: int = 0
    changed: float = 0.0


Changed = Callable[[str, Claim | None, bool], None]
"""key, what is there now (None: nothing), whether this process did it. It returns at once."""


class Claims:
    """Over one Tree, below `root`. `run` keeps the copy; without it only `cached` and `loaded` are useless.

    `lasting` tells data that hardly ever change again: after a cut they are read last. Methods that ask
    ZooKeeper raise Unreachable and NoAuth besides what they say.
    """

    name = "records"

    def __init__(
        self,
        tree: Tree,
        root: str,
        lasting: Callable[[bytes], bool] = lambda _: False,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = tree
        self._root = root
        self._lasting = lasting
        self._clock = clock
        self._all = True  # everything is to be read
        self._keys: set[str] = set()  # these are
        self._later: list[str] = []  # these are, when there is nothing else to do
        self._again = 0.0
        self._copy: dict[str, Claim] = {}
        self._listeners: list[Changed] = []
        self._whole: list[Callable[[], None]] = []
        self._news: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._connected = Event()
        self._reads = 0
        self.writes = 0
        """Changes that were asked of ZooKeeper; a multi is one."""
        self.loaded = False
        """Whether the copy has been whole once."""
        self.problem = ""
        tree.on_state(self._on_state)

    def watch(self) -> None:
        """Have changes told, once; `run` reads them."""
        self._tree.watch_tree(self._root, self._news.put)

    def on_change(self, listener: Changed) -> None:
        """Tell it of every change of the copy."""
        self._listeners.append(listener)

    def on_whole(self, listener: Callable[[], None]) -> None:
        """Tell it when all was read: at the beginning, and when ZooKeeper is back."""
        self._whole.append(listener)

    @property
    def connected(self) -> bool:
        """Whether ZooKeeper can be asked now."""
        return self._tree.connected

    def cached(self) -> Mapping[str, Claim]:
        """The copy of all that is below the root."""
        return MappingProxyType(self._copy)

    # -- one claim ---------------------------------------------------------
    def read(self, key: str) -> Claim | None:
        """As it is now: not older than this call."""
        path = self._path(key)
        self._tree.sync(path)
        return self._get(key)

    def create(
        self, key: str, data: bytes, epoch: int | None = None, beside: Sequence[Operation] = ()
    ) -> bool:
        """A new claim; False: there is one of that key. With `epoch` only while it is the last: Deposed.

        `beside` is done in the same breath, or left undone where it can't be.
        """
        path = self._path(key)
        fence = _fence(epoch)
        operations: list[Operation] = [*fence, Create(path, data), *beside]
        try:
            done = self._multi(operations)
            if isinstance(done, Refused) and isinstance(done.error, NoNode) and done.index == len(fence):
                self._make_folder(path)
                done = self._multi(operations)
        except Unreachable as error:
            return self._was_created(key, data, error)
        if not isinstance(done, Refused):
            self._keep(key, Claim(data, 0), own=True)
            return True
        if fence and done.index == 0:
            raise Deposed(f"epoch {epoch} is not the last one") from done.error
        if done.index > len(fence):
            return self.create(key, data, epoch)
        if not isinstance(done.error, NodeExists):
            raise done.error
        found = self.read(key)
        return found is not None and (found.data, found.version) == (data, 0)

    def change(self, key: str, data: bytes, expected: int, epoch: int | None = None) -> int:
        """New data where the version is still `expected`; the new version. Raises Stale, Deposed."""
        path = self._path(key)
        try:
            stat = self._set(path, data, expected, epoch)
        except (BadVersion, NoNode) as error:
            raise Stale(f"{key} is not at version {expected} any more") from error
        except Unreachable as error:
            return self._was_changed(key, data, expected, error)
        self._keep(key, Claim(data, stat.version, stat.czxid, stat.mtime), own=True)
        return stat.version

    def delete(self, key: str, expected: int, epoch: int | None = None) -> None:
        """Away with it at version `expected`; it may be gone already. Raises Stale, Deposed."""
        fence = _fence(epoch)
        done: Committed | Refused = Committed()
        try:
            done = self._multi([*fence, Delete(self._path(key), expected)])
        except Unreachable as error:
            if self._found_out(key, error) is not None:
                raise
        if isinstance(done, Refused):
            if fence and done.index == 0:
                raise Deposed(f"epoch {epoch} is not the last one") from done.error
            if isinstance(done.error, BadVersion):
                raise Stale(f"{key} is not at version {expected} any more") from done.error
            if not isinstance(done.error, NoNode):
                raise done.error
        self._keep(key, None, own=True)

    def deletion(self, key: str, version: int = ANY) -> Delete:
        """To be done beside something else."""
        return Delete(self._path(key), version)

    # -- answers that were lost ----------------------------------------------
    def _was_created(self, key: str, data: bytes, error: Unreachable) -> bool:
        found = self._found_out(key, error)
        if found is None:
            raise error
        self._keep(key, found, own=True)
        return (found.data, found.version) == (data, 0)

    def _was_changed(self, key: str, data: bytes, expected: int, error: Unreachable) -> int:
        found = self._found_out(key, error)
        if found is None or found.version > expected + 1:
            raise Stale(f"{key} has been changed meanwhile") from error
        if found.version == expected:
            raise error
        if found.data != data:
            raise Stale(f"{key} has been changed meanwhile") from error
        self._keep(key, found, own=True)
        return found.version

    def _found_out(self, key: str, error: Unreachable) -> Claim | None:
        """How it stands after a change whose answer was lost; raises `error` where that can't be told."""
        if not error.sent:
            raise error
        until = self._clock() + self._tree.session_timeout
        while (rest := until - self._clock()) > 0:
            self._connected.wait(rest)
            try:
                return self.read(key)
            except Unreachable as again:
                if again.sent or self._tree.connected:
                    continue
                self._connected.clear()
        raise error

    # -- the copy ------------------------------------------------------------
    def run(self, stop: Event) -> None:
        """Keep the copy up to date until `stop` is set."""
        while not stop.is_set():
            self.keep_up(_TURN)

    def keep_up(self, seconds: float) -> None:
        """One turn of `run`: read what has changed; wait for news at most so many seconds."""
        try:
            ready = self._tree.connected and self._clock() >= self._again
            for path in self._told(0.0 if self._later and ready else seconds):
                self._all = self._all or path is None
                folder, _, key = (path or "").removeprefix(self._root + "/").partition("/")
                if folder and key:
                    self._keys.add(key)
            if not ready:
                return
            if self._all:
                self._all, self._keys = False, set()
                self._later = self._load()
                for listener in self._whole:
                    listener()
            elif self._keys:
                wanted, self._keys = sorted(self._keys), set()
                self._read_these(wanted)
            elif self._later:
                wanted, self._later = self._later[:_PIECE], self._later[_PIECE:]
                self._read_these(wanted)
            else:
                return
            self.problem = ""
        except HaError as error:
            if str(error) != self.problem:
                log.warning("the records are read again later: %s", error)
            self.problem, self._all, self._again = str(error), True, self._clock() + _AGAIN

    def _told(self, seconds: float) -> Iterator[str | None]:
        try:
            yield self._news.get(timeout=seconds) if seconds else self._news.get_nowait()
            while True:
                yield self._news.get_nowait()
        except queue.Empty:
            return

    def load(self) -> None:
        """Read all that is below the root into the copy."""
        self._read_these(self._load())

    def _load(self) -> list[str]:
        """Read what may have changed; the keys of what hardly has."""
        before = set(self._copy)
        found: list[str] = []
        try:
            for folder in self._tree.children(self._root):
                found += self._tree.children(f"{self._root}/{folder}")
        except NoNode:
            log.debug("there are no records yet")
        later = {key for key in found if key in self._copy and self._lasting(self._copy[key].data)}
        self._read_these([*(key for key in found if key not in later), *sorted(before - set(found))])
        self.loaded = True
        return sorted(later)

    def _read_these(self, keys: Sequence[str]) -> None:
        self._reads += len(keys)
        answers = self._tree.get_all([self._path(key) for key in keys])
        for key, answer in zip(keys, answers, strict=True):
            claim = None
            if answer is not None:
                data, stat = answer
                claim = Claim(data, stat.version, stat.czxid, stat.mtime)
            self._keep(key, claim, own=False)

    def _keep(self, key: str, claim: Claim | None, *, own: bool) -> None:
        known = self._copy.get(key)
        if claim is None:
            if known is None:
                return
            del self._copy[key]
        else:
            same = known is not None and (not known.made or not claim.made or known.made == claim.made)
            if same and known is not None and known.version >= claim.version:
                if known.version == claim.version and claim.made:
                    self._copy[key] = claim  # the same, and it is known now when it was made
                return
            self._copy[key] = claim
        for listener in self._listeners:
            listener(key, claim, own)

    # -- inside ----------------------------------------------------------------
    def _get(self, key: str) -> Claim | None:
        try:
            data, stat = self._tree.get(self._path(key))
        except NoNode:
            self._keep(key, None, own=False)
            return None
        claim = Claim(data, stat.version, stat.czxid, stat.mtime)
        self._keep(key, claim, own=False)
        return claim

    def _set(self, path: str, data: bytes, expected: int, epoch: int | None) -> Stat:
        if epoch is None:
            self.writes += 1
            return self._tree.set(path, data, expected)
        done = self._multi([*_fence(epoch), Set(path, data, expected)])
        if not isinstance(done, Refused):
            return next(stat for stat in done.stats if stat is not None)
        if done.index == 0:
            raise Deposed(f"epoch {epoch} is not the last one") from done.error
        raise done.error

    def _multi(self, operations: list[Operation]) -> Committed | Refused:
        self.writes += 1
        return self._tree.multi(operations)

    def _make_folder(self, path: str) -> None:
        try:
            self._tree.create(path.rpartition("/")[0], makepath=True)
        except NodeExists:
            return  # the other node has just made it

    def _path(self, key: str) -> str:
        """256 folders, so that none has too many children to be listed."""
        return f"{self._root}/{hashlib.sha256(key.encode()).hexdigest()[:2]}/{key}"

    def _on_state(self, connected: bool) -> None:
        if connected:
            self._connected.set()
        else:
            self._connected.clear()

    def status(self) -> Mapping[str, object]:
        """For the snapshot."""
        return {
            "connected": self._tree.connected,
            "known": len(self._copy),
            "writes": self.writes,
            "reads": self._reads,
            "problem": self.problem,
        }


def _fence(epoch: int | None) -> list[Operation]:
    return [] if epoch is None else [Check(EPOCH, version_of(epoch))]
