"""ZooKeeper: nodes with versions, multis, sessions, watches that come late, reads that are behind. Port.

`Ensemble` outlives the nodes. A `Session` is what ha.zookeeper.Tree is to the
product, and stands in its place. A call that went wrong on purpose raises
Unreachable: before it was done with sent=False, after it with sent=True.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ha.errors import BadVersion, HaError, NodeExists, NoNode, NotEmpty, Unreachable
from ha.operations import ANY, Check, Committed, Create, Delete, Operation, Refused, Set, Stat
from tests.unit.simulator.world import World

if TYPE_CHECKING:
    from tests.unit.simulator.node import Node

TIMEOUT = 4.0
"""Seconds after which the session of one that is silent ends."""


@dataclass
class Entry:
    """One state of one path; data None: it is not there."""

    zxid: int
    data: bytes | None
    version: int = 0
    owner: int = 0
    czxid: int = 0
    mtime: float = 0.0

    def stat(self) -> Stat:
        return Stat(self.version, self.owner, self.czxid, self.mtime)


class Ensemble:
    """All that is kept, with its past: a server may be behind."""

    fenced = versioned = True
    """False plants a bug: Check is no check, versions are not compared."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.zxid = 0
        self.history: dict[str, list[Entry]] = {}
        self.sessions: dict[int, Session] = {}
        self._sessions = 0
        self.epoch = 0
        """That in force: what is made under an older one is wrong."""
        self.wrong: list[str] = []

    def at(self, path: str, zxid: int | None = None) -> Entry | None:
        """The state of a path, now or as it was then; None: it is not there."""
        for entry in reversed(self.history.get(path, ())):
            if zxid is None or entry.zxid <= zxid:
                return entry if entry.data is not None else None
        return None

    def below(self, path: str, zxid: int | None = None) -> list[str]:
        """Names of its children."""
        start = path.rstrip("/") + "/"
        names = {p[len(start) :].partition("/")[0] for p in self.history if p.startswith(start)}
        return sorted(name for name in names if self._has(start + name, zxid))

    def _has(self, path: str, zxid: int | None) -> bool:
        return self.at(path, zxid) is not None

    def commit(self, operations: list[Operation], session: int) -> Committed | Refused:
        """All or nothing."""
        zxid, made = self.zxid + 1, []
        staged: dict[str, Entry] = {}
        for index, operation in enumerate(operations):
            try:
                entry = self._one(operation, zxid, session, staged)
            except HaError as error:
                return Refused(index, error)
            made.append(entry.stat() if entry is not None and isinstance(operation, Set) else None)
        if staged:
            self.zxid = zxid
            for path, entry in staged.items():
                self.history.setdefault(path, []).append(entry)
                for other in self.sessions.values():
                    other.seen(path)
                if path.startswith("/req/") and entry.data:
                    self._look(entry)
            self.world.changed()
        return Committed(tuple(made))

    def _one(self, operation: Operation, zxid: int, session: int, staged: dict[str, Entry]) -> Entry | None:
        path = operation.path
        found = staged.get(path) or self.at(path)
        if found is not None and found.data is None:
            found = None
        if isinstance(operation, Create):
            parent = path.rpartition("/")[0]
            if parent and parent not in staged and self.at(parent) is None:
                raise NoNode(parent)
            if found is not None:
                raise NodeExists(path)
            owner = session if operation.ephemeral else 0
            entry = Entry(zxid, operation.data, 0, owner, zxid, self.world.now)
        else:
            if found is None:
                raise NoNode(path)
            compared = self.fenced if isinstance(operation, Check) else self.versioned
            if compared and operation.version not in (ANY, found.version):
                raise BadVersion(f"{path} has version {found.version}, not {operation.version}")
            if isinstance(operation, Check):
                return None
            if isinstance(operation, Delete):
                if self.below(path):
                    raise NotEmpty(path)
                entry = Entry(zxid, None)
            else:
                entry = Entry(
                    zxid, operation.data, found.version + 1, found.owner, found.czxid, self.world.now
                )
        staged[path] = entry
        return entry

    def _look(self, entry: Entry) -> None:
        """A record was written."""
        said = json.loads(entry.data or b"")
        name, owner = said["request"]["request_id"], said.get("owner") or "nobody"
        self.world.note(f"{name} is {said['state']} of {owner} (version {entry.version})")
        if entry.version == 0 and said.get("epoch") != self.epoch:
            self.wrong.append(f"{name} was made under epoch {said.get('epoch')}, not {self.epoch}")

    def lose_all(self) -> None:
        """As after the disks of all servers were lost."""
        self.history.clear()
        self.zxid = 0
        self.world.changed()

    def new_session(self, session: Session) -> int:
        self._sessions += 1
        self.sessions[self._sessions] = session
        return self._sessions

    def end(self, session: int) -> None:
        """A session is over: what is ephemeral of it goes."""
        self.sessions.pop(session, None)
        for path in list(self.history):
            entry = self.at(path)
            if entry is not None and entry.owner == session:
                self.commit([Delete(path, ANY)], 0)


class Session:
    """Tree, for one node; a new session takes the place of one that is over."""

    def __init__(self, ensemble: Ensemble, node: Node) -> None:
        self._ensemble, self._node = ensemble, node
        self._watched: list[tuple[str, Callable[[str | None], None]]] = []
        self._listeners: list[Callable[[bool], None]] = []
        self.events: deque[tuple[Callable[[str | None], None], str | None]] = deque()
        self.session_timeout = TIMEOUT
        self.session_id = 0
        self._seen_up_to = 0
        self.begin()

    def begin(self) -> None:
        """A session, and everything is read again."""
        self.session_id = self._ensemble.new_session(self)
        self._seen_up_to = self._ensemble.zxid
        self.connection(True)

    def connection(self, connected: bool) -> None:
        """It is there, or gone: who watches has to read all again."""
        if connected:
            self.events.extend((on_event, None) for _, on_event in self._watched)
        for listener in self._listeners:
            listener(connected)

    @property
    def connected(self) -> bool:
        return "zk" not in self._node.cut_off and self.session_id in self._ensemble.sessions

    # -- watches -------------------------------------------------------------------
    def on_state(self, callback: Callable[[bool], None]) -> None:
        self._listeners.append(callback)
        callback(self.connected)

    def watch_tree(self, path: str, on_event: Callable[[str | None], None]) -> None:
        self._watched.append((path, on_event))
        self.events.append((on_event, None))

    def seen(self, path: str) -> None:
        """Something changed; who watches will be told, later."""
        for root, on_event in self._watched:
            if path == root or path.startswith(root.rstrip("/") + "/"):
                self.events.append((on_event, path))

    def deliver(self) -> None:
        """Tell what has happened. Whoever was told of a change can read it."""
        while self.events:
            on_event, path = self.events.popleft()
            self._seen_up_to = self._ensemble.zxid
            on_event(path)

    # -- reads ------------------------------------------------------------------------
    def sync(self, path: str, timeout: float | None = None) -> None:
        self._call("sync", lambda: None)

    def get(self, path: str, timeout: float | None = None) -> tuple[bytes, Stat]:
        def effect() -> tuple[bytes, Stat]:
            entry = self._entry(path)
            if entry is None or entry.data is None:
                raise NoNode(path)
            return entry.data, entry.stat()

        return self._call("get", effect)

    def get_all(self, paths: Sequence[str], timeout: float | None = None) -> list[tuple[bytes, Stat] | None]:
        def effect() -> list[tuple[bytes, Stat] | None]:
            found = [self._entry(path) for path in paths]
            return [None if entry is None else (entry.data or b"", entry.stat()) for entry in found]

        return self._call("get all", effect)

    def exists(self, path: str, timeout: float | None = None) -> Stat | None:
        def effect() -> Stat | None:
            entry = self._entry(path)
            return entry.stat() if entry is not None else None

        return self._call("exists", effect)

    synced = exists

    def _entry(self, path: str) -> Entry | None:
        """As this session's server has it: never older than what the session has seen."""
        if self._node.world.decision != "stale":
            self._seen_up_to = self._ensemble.zxid
        return self._ensemble.at(path, self._seen_up_to)

    def children(self, path: str, timeout: float | None = None) -> tuple[str, ...]:
        def effect() -> tuple[str, ...]:
            if self._ensemble.at(path) is None:
                raise NoNode(path)
            return tuple(self._ensemble.below(path))

        return self._call("children", effect)

    # -- writes --------------------------------------------------------------------------
    def create(
        self,
        path: str,
        data: bytes = b"",
        ephemeral: bool = False,
        makepath: bool = False,
        timeout: float | None = None,
    ) -> None:
        def effect() -> None:
            parts = path.strip("/").split("/")
            above = ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts))] if makepath else []
            for each in above:
                if self._ensemble.at(each) is None:
                    self._ensemble.commit([Create(each)], 0)
            self._done([Create(path, data, ephemeral)])

        self._call("create", effect)

    def set(self, path: str, data: bytes, version: int, timeout: float | None = None) -> Stat:
        return self._call("set", lambda: self._done([Set(path, data, version)]).stats[0])

    def delete(self, path: str, version: int, timeout: float | None = None) -> None:
        self._call("delete", lambda: self._done([Delete(path, version)]))

    def multi(self, operations: list[Operation], timeout: float | None = None) -> Committed | Refused:
        return self._call("multi", lambda: self._ensemble.commit(operations, self.session_id))

    def _done(self, operations: list[Operation]) -> Committed:
        found = self._ensemble.commit(operations, self.session_id)
        if isinstance(found, Refused):
            raise found.error
        return found

    def _call(self, what: str, effect: Callable[[], Any]) -> Any:
        sent, session = [False], self.session_id

        def noted() -> Any:
            if not self.connected or session != self.session_id:
                raise Unreachable("the session is over", sent=False)
            sent[0] = True
            found = effect()
            if what not in ("get", "get all", "exists", "children"):
                self._seen_up_to = self._ensemble.zxid
            return found

        return self._node.world.call(
            self._node, f"zk {what}", noted, lambda text: Unreachable(text, sent=sent[0])
        )
