"""What the quiet session sees: the lease, the epoch, who is here, a switchover that is asked for. Adapter.

The lease is looked at each time, and that look is the renewal: a read that goes through the leader, since a
server that is cut off from the others answers plain reads for some seconds more. All else is read again when
a watch says that it has changed, or when the connection is new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ha.codec import Epoch, Handover, handover_of, member_data, member_of
from ha.errors import NodeExists, NoNode
from ha.facts import Holder
from ha.keeper import Keeper
from ha.model import Member
from ha.operations import ANY
from ha.paths import EPOCH, LEASE, NODES, SWITCHOVER, node
from ha.zookeeper import Tree

SAY_EVERY = 1.0
"""Seconds between two writes of what this node says of itself."""


@dataclass(slots=True)
class Sight:
    """What was seen last. `renewed`: when the last look was sent that showed the lease as ours."""

    session: int = 0
    holder: Holder | None = None
    epoch: Epoch | None = None
    others: tuple[Member, ...] = ()
    handover: Handover | None = None
    impostor: bool = False
    renewed: float | None = None


class Observer:
    """For the agent only, whose greenlet calls `look`; `changed` is called in kazoo's when there is news."""

    def __init__(
        self, tree: Tree, keeper: Keeper, name: str, installation: str, changed: Callable[[], None]
    ) -> None:
        self.sight = Sight()
        self._tree = tree
        self._keeper = keeper
        self._name = name
        self._installation = installation
        self._changed = changed
        self._stale: set[str] = set()
        self._lease_made = 0  # the transaction that made the lease whose holder is known
        self._said: bytes = b""
        self._said_at = 0.0
        for path in (LEASE, EPOCH, NODES, SWITCHOVER):
            self._watch(path)

    def _watch(self, path: str) -> None:
        def on_event(_: str | None) -> None:
            self._stale.add(path)
            self._changed()

        self._tree.watch_tree(path, on_event)

    def forget(self) -> None:
        """Nothing that was seen counts any more: the connection is new."""
        self._stale |= {EPOCH, NODES, SWITCHOVER}

    def look(self, me: Member, now: float, timeout: float) -> None:
        """Look at all that may have changed; `now` is when this is sent. Raises ha.errors."""
        session = self._tree.session_id or 0
        if session != self.sight.session:
            self.forget()
            self.sight.session = session
            self.sight.renewed = None
        self._look_at_lease(session, now, timeout)
        self._once(EPOCH, self._look_at_epoch, timeout)
        self._once(SWITCHOVER, self._look_at_switchover, timeout)
        self._once(NODES, lambda limit: self._look_at_nodes(me, session, limit), timeout)
        self._say(me, now, timeout)

    def _once(self, path: str, read: Callable[[float], None], timeout: float) -> None:
        if path in self._stale:
            self._stale.discard(path)  # before reading: what changes meanwhile makes it stale again
            try:
                read(timeout)
            except BaseException:
                self._stale.add(path)
                raise

    def _look_at_lease(self, session: int, now: float, timeout: float) -> None:
        self._stale.discard(LEASE)
        stat = self._tree.synced(LEASE, timeout)
        if stat is None:
            self.sight.holder = None
            return
        if stat.czxid != self._lease_made or self.sight.holder is None:
            try:
                name, stat = self._tree.get(LEASE, timeout)
            except NoNode:
                self.sight.holder = None
                return
            self.sight.holder = Holder(name.decode("utf-8", "replace"), stat.ephemeral_owner)
            self._lease_made = stat.czxid
            self._stale.add(EPOCH)  # it was bumped with it
        if stat.ephemeral_owner == session:
            self.sight.renewed = now

    def _look_at_epoch(self, timeout: float) -> None:
        self.sight.epoch = self._keeper.epoch(timeout)

    def _look_at_switchover(self, timeout: float) -> None:
        try:
            self.sight.handover = handover_of(self._tree.get(SWITCHOVER, timeout)[0])
        except NoNode:
            self.sight.handover = None

    def _look_at_nodes(self, me: Member, session: int, timeout: float) -> None:
        """Who is here, and this node among them."""
        others, here, impostor = [], False, False
        try:
            names = self._tree.children(NODES, timeout)
        except NoNode:
            names = ()
        for name in names:
            try:
                data, stat = self._tree.get(node(name), timeout)
            except NoNode:
                continue
            member, installation = member_of(name, data)
            if name != self._name:
                others.append(member)
            elif stat.ephemeral_owner == session:
                here = True
            elif installation != self._installation:
                impostor = True
            else:
                # A process of this node that has died: the lock in data_dir is ours now.
                self._tree.delete(node(name), stat.version, timeout)
        self.sight.others, self.sight.impostor = tuple(others), impostor
        if not here and not impostor:
            self._said = member_data(me, self._installation)
            try:
                self._tree.create(node(self._name), self._said, True, True, timeout)
            except NodeExists:
                self._stale.add(NODES)

    def _say(self, me: Member, now: float, timeout: float) -> None:
        data = member_data(me, self._installation)
        if data == self._said or self.sight.impostor or now - self._said_at < SAY_EVERY:
            return
        self._said_at = now
        try:
            self._tree.set(node(self._name), data, ANY, timeout)
            self._said = data
        except NoNode:
            self._stale.add(NODES)
