"""What all nodes read and write beside the lease: who is known, history, pause, watermarks. Service.

Over the data session, so that nothing of this can delay a renewal. What is read often is kept here and read
again when a watch says so; `changed` is set then.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Event

from ha.codec import history_data, history_of, member_data, member_of
from ha.ensemble import Ensemble
from ha.errors import BadVersion, Deposed, HaError, NodeExists, NoNode
from ha.facts import Holder
from ha.fourletter import is_here
from ha.lease import version_of
from ha.model import KEPT, Change, Member, Seen
from ha.operations import ANY, Check, Create, Refused, Set
from ha.paths import EPOCH, HISTORY, LEASE, MEMBERS, NODES, PAUSE, mark, member
from ha.waking import Wake
from ha.zookeeper import Tree

log = logging.getLogger("arimonitor.ha")

ASK_SERVERS_EVERY = 60.0
_TURN = 1.0  # seconds between two looks at what is still to be written


class Board:
    """A service, and the methods that the rest of the daemon uses. Methods that write raise ha.errors."""

    name = "ha board"

    def __init__(
        self, tree: Tree, name: str, installation: Callable[[], str], wall: Callable[[], float] = time.time
    ) -> None:
        self.changed = Event()
        self.ensemble: Ensemble | None = None
        self.leader_here = False
        self._tree = tree
        self._name = name
        self._installation = installation
        self._wall = wall
        self._wake = Wake()
        self._stale: set[str] = set()
        self._here: dict[str, Seen] = {}
        self._known: dict[str, Seen] = {}  # as they were when they were last here
        self._left: dict[str, float] = {}
        self._history: tuple[Change, ...] = ()
        self._paused: bool | None = None
        self._unwritten: deque[Change] = deque(maxlen=KEPT)
        self._me: Member | None = None
        self._written: bytes = b""
        self._written_at = 0.0
        self._problem = ""
        for path in (NODES, MEMBERS, HISTORY, PAUSE):
            self._watch(path)

    def _watch(self, path: str) -> None:
        def on_event(_: str | None) -> None:
            self._stale.add(path)
            self._wake.set()

        self._tree.watch_tree(path, on_event)

    # -- what is known -----------------------------------------------------
    def members(self) -> tuple[Seen, ...]:
        """All nodes that ever were here, by name."""
        away = {
            name: Seen(seen.member, False, self._left.get(name, seen.since))
            for name, seen in self._known.items()
        }
        return tuple(seen for _, seen in sorted({**away, **self._here}.items()))

    def history(self) -> tuple[Change, ...]:
        """The last changes of master, oldest first."""
        return (*self._history, *self._unwritten)[-KEPT:]

    def paused(self) -> bool | None:
        """Whether intake and queues stand still on all nodes; None until that is known."""
        return self._paused

    # -- what is written ---------------------------------------------------
    def pause(self, on: bool) -> None:
        """Stop or resume intake and queues on all nodes."""
        data = json.dumps({"paused": on, "by": self._name, "at": self._wall()}).encode()
        self._put(PAUSE, data)
        self._paused = on

    def tell(self, me: Member) -> None:
        """What this node says of itself, known to the others also while it is away."""
        self._me = me
        self._wake.set()

    def note(self, change: Change) -> None:
        """For the history; written as soon as ZooKeeper takes it. Returns at once."""
        self._unwritten.append(change)
        self._wake.set()

    def read_mark(self, asterisk: str, broker: str) -> bytes | None:
        """The watermark of an Asterisk's messages to a broker, as it was written; None: there is none yet."""
        self._tree.sync(EPOCH)
        try:
            return self._tree.get(mark(asterisk, broker))[0]
        except NoNode:
            return None

    def write_mark(self, asterisk: str, broker: str, data: bytes, epoch: int) -> None:
        """Written only while `epoch` is the last one. Raises Deposed when it is not."""
        path = mark(asterisk, broker)
        fence = Check(EPOCH, version_of(epoch))
        done = self._tree.multi([fence, Set(path, data, ANY)])
        if isinstance(done, Refused) and done.index == 1 and isinstance(done.error, NoNode):
            self._make_folder(path.rpartition("/")[0])
            done = self._tree.multi([fence, Create(path, data)])
        if isinstance(done, Refused):
            raise Deposed(f"epoch {epoch} has passed") if done.index == 0 else done.error

    def holder(self) -> Holder | None:
        """Who has the lease, asked of ZooKeeper now."""
        self._tree.sync(LEASE)
        try:
            name, stat = self._tree.get(LEASE)
        except NoNode:
            return None
        return Holder(name.decode("utf-8", "replace"), stat.ephemeral_owner)

    def here(self) -> tuple[Member, ...]:
        """The nodes that are here, this one too, asked of ZooKeeper now."""
        return tuple(seen.member for seen in self._read(NODES, here=True).values())

    # -- the service -------------------------------------------------------
    def run(self, stop: Event) -> None:
        """Keep all of this up to date until `stop` is set."""
        asked = -ASK_SERVERS_EVERY
        self._wake.follow(stop)
        while not stop.is_set():
            self._tree.mend()
            try:
                self._turn()
                self._problem = ""
            except HaError as error:
                self._problem = str(error)
            if self._tree.connected and time.monotonic() - asked >= ASK_SERVERS_EVERY:
                asked = time.monotonic()
                self.ensemble = self._tree.servers()
                leader = self.ensemble.leader
                self.leader_here = leader is not None and is_here(leader.address)
            self._wake.wait(_TURN)  # until there is news; and what could not be written is tried again

    def status(self) -> Mapping[str, object]:
        """For the snapshot."""
        return {
            "connected": self._tree.connected,
            "unwritten": len(self._unwritten),
            "problem": self._problem,
        }

    def _turn(self) -> None:
        if not self._tree.connected:
            return
        news = False
        for path, read in (
            (NODES, self._read_nodes),
            (MEMBERS, self._read_members),
            (HISTORY, self._read_history),
            (PAUSE, self._read_pause),
        ):
            if path in self._stale:
                self._stale.discard(path)  # before reading: what changes meanwhile makes it stale again
                try:
                    read()
                except HaError:
                    self._stale.add(path)
                    raise
                news = True
        self._write_member()
        self._write_history()
        if news:
            self.changed.set()

    def _read_nodes(self) -> None:
        here = self._read(NODES, here=True)
        for name in self._here.keys() - here.keys():
            self._left[name] = self._wall()
        for name in here:
            self._left.pop(name, None)
        self._here = here

    def _read_members(self) -> None:
        self._known = self._read(MEMBERS, here=False)

    def _read(self, path: str, *, here: bool) -> dict[str, Seen]:
        found = {}
        for name in self._children(path):
            try:
                data, stat = self._tree.get(f"{path}/{name}")
            except NoNode:
                continue
            found[name] = Seen(member_of(name, data)[0], here, stat.ctime if here else stat.mtime)
        return found

    def _read_history(self) -> None:
        self._history = history_of(self._data(HISTORY))

    def _read_pause(self) -> None:
        try:
            found = json.loads(self._data(PAUSE) or b"{}")
        except ValueError:
            found = {}
        self._paused = isinstance(found, dict) and found.get("paused") is True

    def _data(self, path: str) -> bytes:
        try:
            return self._tree.get(path)[0]
        except NoNode:
            return b""

    def _children(self, path: str) -> tuple[str, ...]:
        try:
            return self._tree.children(path)
        except NoNode:
            return ()

    def _write_member(self) -> None:
        if self._me is None:
            return
        data = member_data(self._me, self._installation())
        if data != self._written and self._wall() - self._written_at >= _TURN:
            self._put(member(self._name), data)
            self._written, self._written_at = data, self._wall()

    def _write_history(self) -> None:
        while self._unwritten:
            change = self._unwritten[0]
            try:
                data, stat = self._tree.get(HISTORY)
            except NoNode:
                self._put(HISTORY, history_data(()))
                continue
            changes = history_of(data)
            if change not in changes:  # else it was written, and only the answer lost
                self._history = tuple(sorted({*changes, change}, key=lambda each: each.epoch))[-KEPT:]
                try:
                    self._tree.set(HISTORY, history_data(self._history), stat.version)
                except BadVersion:
                    continue  # the other node has just written
            self._unwritten.popleft()

    def _put(self, path: str, data: bytes) -> None:
        try:
            self._tree.set(path, data, ANY)
        except NoNode:
            try:
                self._tree.create(path, data, makepath=True)
            except NodeExists:
                self._tree.set(path, data, ANY)

    def _make_folder(self, path: str) -> None:
        try:
            self._tree.create(path, b"", makepath=True)
        except NodeExists:
            return
