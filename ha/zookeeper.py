"""A thin transport to ZooKeeper. Adapter: only this file and ha/kazooclient.py know kazoo.

What kazoo does by itself and what is done about it (docs/decisions/zookeeper-lease.md):

* calls queue while it is not connected: here `Unreachable` at once, and at most 64 are under way;
* its timeouts are no `Exception`: everything goes through `_answer`, which raises ha.errors only;
* a dead link is noticed only by one who is silent: a call that is not answered in time breaks the
  connection, so that another server is tried, in the same session;
* one black-holed server costs it a whole session timeout: a connect is cut short.

State and watch callbacks run in kazoo's greenlets: they set an event or put something on a queue, and
return. The standard library is patched by gevent before this file is imported.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.client import KazooClient, TransactionRequest
from kazoo.protocol.states import Callback, KazooState, ZnodeStat

from ha import ensemble, fourletter
from ha.errors import HaError, NodeExists, NoNode, Unreachable
from ha.kazooclient import TRANSIENT, AddWatch, is_cause, new_client, translated
from ha.operations import ANY, Check, Committed, Create, Delete, Operation, Refused, Set, Stat

__all__ = ["ANY", "Check", "Committed", "Create", "Delete", "Refused", "Set", "Stat", "Tree"]

_Call = tuple[KazooClient, Any]  # a call under way: whose, and kazoo's result to be

log = logging.getLogger("arimonitor.zookeeper")

IN_FLIGHT = 64
"""Calls under way at one time; some 280 would fill kazoo's inner pipe and hang."""

GIVE_UP = 3
"""Session timeouts without a connection after which a session is not waited for any longer."""

_CONFIG = "/zookeeper/config"  # where ZooKeeper keeps who votes; everybody may read it


class Tree:
    """ZooKeeper's nodes below `namespace`, over one session.

    `hosts` is HOST:PORT,HOST:PORT, `session_timeout` in seconds. With `username` everything is made so that
    only this login may read or write it. `name` is for the log. All methods that ask ZooKeeper raise
    ha.errors; `timeout` is seconds for the answer, the session timeout if left out.
    """

    def __init__(
        self,
        hosts: str,
        namespace: str,
        session_timeout: float,
        *,
        username: str = "",
        password: str = "",
        name: str = "",
    ) -> None:
        self.hosts = tuple(host.strip() for host in hosts.split(",") if host.strip())
        self.namespace = "/" + namespace.strip("/") if namespace.strip("/") else ""
        self.session_timeout = session_timeout
        self.name = name
        self._login = (username, password) if username else None
        self._permits: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(IN_FLIGHT):
            self._permits.put(None)
        self._listeners: list[Callable[[bool], None]] = []
        self._watched: list[tuple[str, Callable[[str | None], None]]] = []
        self._prepared = 0  # the session in which the namespace was there
        self._begun_at = self._alone_since = 0.0
        self._client: KazooClient | None = None

    # -- the session -------------------------------------------------------
    def start(self, timeout: float = 0.0) -> bool:
        """Begin to connect, and go on for ever; whether it is connected after at most `timeout` s."""
        if self._client is None:
            self._client = self._new_client()
            self._begun_at = self._alone_since = time.monotonic()
        return bool(self._client.start_async().wait(timeout)) and self.connected

    def stop(self, timeout: float = 2.0) -> None:
        """End the session: what is ephemeral goes at once, if ZooKeeper can be told within `timeout` s."""
        client, self._client = self._client, None
        if client is None:
            return
        # In a greenlet of its own: kazoo waits for its connection without a limit.
        ending = threading.Thread(target=self._end, args=(client,), name="zookeeper ends", daemon=True)
        ending.start()
        ending.join(timeout)
        for listener in self._listeners:
            listener(False)

    def mend(self) -> bool:
        """A new client, and so a new session, where the old one can't come back; whether one was made.

        That is where kazoo's loop has ended, and where it has not connected for `GIVE_UP` session timeouts:
        servers that lost their data refuse for ever whoever has seen later ones. For the owner's loop.
        """
        client, now = self._client, time.monotonic()
        if client is None or client.connected or now - self._begun_at < 1.0:
            return False
        lonely = now - self._alone_since >= max(10.0, GIVE_UP * self.session_timeout)
        if not lonely and not client._connection.ended:
            return False
        log.info("the %s session with ZooKeeper is given up, and a new one is begun", self.name or "old")
        self.stop()
        self.start()
        return True

    @property
    def connected(self) -> bool:
        """Whether calls can be made now. It says nothing about the lease."""
        return self._client is not None and bool(self._client.connected)

    @property
    def session_id(self) -> int | None:
        """The session that is, or was at last, connected; None before the first."""
        return self._client._connection.session or None if self._client is not None else None

    @property
    def negotiated_timeout(self) -> float | None:
        """Seconds that the servers granted, whatever was asked for; None before they did."""
        return self._client._connection.negotiated or None if self._client is not None else None

    def drop(self) -> None:
        """Break the connection, so that another server is tried in the same session."""
        if self._client is not None:
            self._client._connection.drop()

    def on_state(self, callback: Callable[[bool], None]) -> None:
        """`callback(connected)` at each change, in kazoo's greenlet: it must return at once."""
        self._listeners.append(callback)

    def watch_tree(self, path: str, on_event: Callable[[str | None], None]) -> None:
        """`on_event(path)` whenever `path` or something below is made, changed or deleted, for ever.

        `on_event(None)`: everything may have changed, read it all again: at the beginning and after each
        connection, when the watch is set. Called one after the other in kazoo's greenlet: return at once.
        """
        self._watched.append((path, on_event))
        if self._client is not None and self._client.connected:
            self._add_watch(self._client, path, on_event)

    # -- nodes -------------------------------------------------------------
    def sync(self, path: str, timeout: float | None = None) -> None:
        """What is read after this is not older than now: the leader was asked."""
        self._ask("sync_async", path, timeout=timeout)

    def get(self, path: str, timeout: float | None = None) -> tuple[bytes, Stat]:
        """Data and stat. Raises NoNode."""
        data, stat = self._ask("get_async", path, timeout=timeout)
        return data or b"", _stat(stat)

    def get_all(self, paths: Sequence[str], timeout: float | None = None) -> list[tuple[bytes, Stat] | None]:
        """`get` of each, asked one behind the other without waiting; None where nothing is."""
        pending = [(path, self._send("get_async", path)) for path in paths]
        found: list[tuple[bytes, Stat] | None] = []
        for path, call in pending:
            try:
                data, stat = self._answer(call, path, timeout)
                found.append((data or b"", _stat(stat)))
            except NoNode:
                found.append(None)
        return found

    def exists(self, path: str, timeout: float | None = None) -> Stat | None:
        """Its stat; None where it is not there."""
        found = self._ask("exists_async", path, timeout=timeout)
        return _stat(found) if found is not None else None

    def synced(self, path: str, timeout: float | None = None) -> Stat | None:
        """`exists` right behind a `sync`, in one go: an answer that the leader stands for."""
        pending = [self._send(call, path) for call in ("sync_async", "exists_async")]
        found = [self._answer(each, path, timeout) for each in pending][1]
        return _stat(found) if found is not None else None

    def children(self, path: str, timeout: float | None = None) -> tuple[str, ...]:
        """The names below it, sorted. Raises NoNode."""
        return tuple(sorted(self._ask("get_children_async", path, timeout=timeout)))

    def create(
        self,
        path: str,
        data: bytes = b"",
        ephemeral: bool = False,
        makepath: bool = False,
        timeout: float | None = None,
    ) -> None:
        """A new node; with `makepath` also what is missing above it. Raises NodeExists, NoNode."""
        self._prepare(timeout)
        try:
            self._ask("create_async", path, data, ephemeral=ephemeral, timeout=timeout)
        except NoNode:
            if not makepath:
                raise
            parts = path.strip("/").split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                self._make(self._full("/" + "/".join(parts[:depth])), timeout)
            self._ask("create_async", path, data, ephemeral=ephemeral, timeout=timeout)

    def set(self, path: str, data: bytes, version: int, timeout: float | None = None) -> Stat:
        """New data; what the node is now. Raises NoNode, BadVersion."""
        return _stat(self._ask("set_async", path, data, version, timeout=timeout))

    def delete(self, path: str, version: int, timeout: float | None = None) -> None:
        """Take it away. Raises NoNode, BadVersion, NotEmpty."""
        self._ask("delete_async", path, version, timeout=timeout)

    def multi(self, operations: list[Operation], timeout: float | None = None) -> Committed | Refused:
        """All of it or nothing. Raises Unreachable: then it is not known which."""
        self._prepare(timeout)
        path = operations[0].path
        client = self._admitted(path)
        transaction = TransactionRequest(client)
        for operation in operations:
            self._add(transaction, operation)
        results = self._answer(self._tracked(client, transaction.commit_async()), path, timeout)
        for index, result in enumerate(results):
            if is_cause(result):
                return Refused(index, translated(result, operations[index].path))
        return Committed(tuple(_stat(each) if isinstance(each, ZnodeStat) else None for each in results))

    def servers(self, timeout: float = 1.0) -> ensemble.Ensemble:
        """What each server says of itself, and how many vote. Never raises: it says what is wrong."""
        voters: int | None = None
        if self.connected:
            try:
                pending = self._send("get_async", _CONFIG, full=_CONFIG)
                voters = ensemble.voters(self._answer(pending, _CONFIG, timeout)[0] or b"")
            except HaError as error:
                log.debug("the number of voters is not known: %s", error)
        return fourletter.ask(self.hosts, voters, timeout)

    # -- inside ------------------------------------------------------------
    def _new_client(self) -> KazooClient:
        client: KazooClient = new_client(
            self.hosts, self.session_timeout, self._login, lambda path: self._seen(client, path)
        )
        client.add_listener(lambda state: self._changed(client, state))
        return client

    def _end(self, client: KazooClient) -> None:
        try:
            client.stop()
            client.close()
        except Exception as error:  # noqa: BLE001 - kazoo raises plain Exception here
            log.debug("a ZooKeeper client did not end cleanly: %s", error)

    def _changed(self, client: KazooClient, state: str) -> None:
        """In kazoo's greenlet."""
        if self._is_old(client):
            return
        connected = state == KazooState.CONNECTED
        self._alone_since = time.monotonic()
        if connected:
            for path, on_event in self._watched:
                self._add_watch(client, path, on_event)
        for listener in self._listeners:
            listener(connected)

    def _add_watch(self, client: KazooClient, path: str, on_event: Callable[[str | None], None]) -> None:
        answer: Any = client.handler.async_result()

        def tell(done: Any) -> None:
            if done.successful():
                on_event(None)
            elif not isinstance(done.exception, TRANSIENT):
                log.error("ZooKeeper does not watch %s (it must be 3.6 or later): %s", path, done.exception)

        # By way of the greenlet of the watches, which keeps the order and may log.
        answer.rawlink(lambda done: client.handler.dispatch_callback(Callback("watch", tell, (done,))))
        client._call(AddWatch(self._full(path), AddWatch.RECURSIVE), answer)

    def _seen(self, client: KazooClient, full: str) -> None:
        """In kazoo's greenlet: something changed at `full`."""
        if self._is_old(client):
            return
        for path, on_event in self._watched:
            root = self._full(path)
            if full == root or full.startswith(root.rstrip("/") + "/"):
                inside = full[len(self.namespace) :] or "/"
                client.handler.dispatch_callback(Callback("watch", on_event, (inside,)))

    def _is_old(self, client: KazooClient) -> bool:
        return client is not self._client

    def _full(self, path: str) -> str:
        return (self.namespace + path).rstrip("/") or "/"

    def _send(self, call: str, path: str, *args: Any, full: str = "", **kwargs: Any) -> _Call:
        client = self._admitted(path)
        return self._tracked(client, getattr(client, call)(full or self._full(path), *args, **kwargs))

    def _admitted(self, path: str) -> KazooClient:
        """The client, with a permit taken for one call."""
        if self._client is None or not self._client.connected:
            raise Unreachable("ZooKeeper is not connected", sent=False)
        try:
            self._permits.get(timeout=self.session_timeout)
        except queue.Empty:
            raise Unreachable(f"{IN_FLIGHT} calls wait for ZooKeeper already: {path}", sent=False) from None
        client = self._client
        if client is None or not client.connected:  # lost while waiting
            self._permits.put(None)
            raise Unreachable("ZooKeeper is not connected", sent=False)
        return client

    def _tracked(self, client: KazooClient, pending: Any) -> _Call:
        """The permit comes back with the answer, however late that is."""
        pending.rawlink(lambda _: self._permits.put(None))
        return client, pending

    def _ask(self, call: str, path: str, *args: Any, timeout: float | None, **kwargs: Any) -> Any:
        return self._answer(self._send(call, path, *args, **kwargs), path, timeout)

    def _answer(self, call: _Call, path: str, timeout: float | None) -> Any:
        client, pending = call
        limit = self.session_timeout if timeout is None else timeout
        pending.wait(timeout=limit)
        if not pending.ready():
            client._connection.drop()
            raise Unreachable(f"ZooKeeper did not answer within {limit:g} s about {path}", sent=True)
        if pending.successful():
            return pending.value
        raise translated(pending.exception, path) from None

    def _prepare(self, timeout: float | None) -> None:
        """The namespace is there; asked once a session, since ZooKeeper may have lost all meanwhile."""
        session = self.session_id
        if session is None or session == self._prepared:
            return
        parts = self.namespace.strip("/").split("/") if self.namespace else []
        for depth in range(1, len(parts) + 1):
            self._make("/" + "/".join(parts[:depth]), timeout)
        self._prepared = session

    def _make(self, full: str, timeout: float | None) -> None:
        if self._answer(self._send("exists_async", full, full=full), full, timeout) is None:
            try:
                self._answer(self._send("create_async", full, full=full), full, timeout)
            except NodeExists:
                return

    def _add(self, transaction: TransactionRequest, operation: Operation) -> None:
        path = self._full(operation.path)
        match operation:
            case Check():
                transaction.check(path, operation.version)
            case Create():
                transaction.create(path, operation.data, ephemeral=operation.ephemeral)
            case Set():
                transaction.set_data(path, operation.data, operation.version)
            case Delete():
                transaction.delete(path, operation.version)


def _stat(stat: ZnodeStat) -> Stat:
    return Stat(stat.version, stat.ephemeralOwner, stat.czxid, stat.mtime / 1000, stat.ctime / 1000)
