"""kazoo's client, bent where the daemon needs it otherwise. Adapter.

Only ha/zookeeper.py uses this; docs/decisions/zookeeper-lease.md says why. Methods that are not public are
overridden (`_invoke`, `_read_watch_event`, `zk_loop`), and `create_connection` of the handler: when a new
kazoo does without them, tests/integration/test_zookeeper.py fails.
"""

from __future__ import annotations

import logging
from collections import namedtuple
from collections.abc import Callable
from typing import Any

from kazoo import exceptions as theirs
from kazoo.client import KazooClient
from kazoo.handlers.gevent import SequentialGeventHandler
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.serialization import Auth, Connect, Watch, int_struct, write_string
from kazoo.security import make_digest_acl

from ha.errors import BadVersion, HaError, NoAuth, NodeExists, NoNode, NotEmpty, Unreachable, Unusable

TRANSIENT = (
    theirs.ConnectionLoss,
    theirs.ConnectionDropped,
    theirs.ConnectionClosedError,
    theirs.SessionExpiredError,
    theirs.SessionMovedError,
    theirs.OperationTimeoutError,
    theirs.RequestTimeoutError,
    theirs.ThrottledOpError,
)
_ANSWERS: tuple[tuple[type[Exception], type[HaError], str], ...] = (
    (theirs.NoNodeError, NoNode, "{} is not there"),
    (theirs.NodeExistsError, NodeExists, "{} is there already"),
    (theirs.BadVersionError, BadVersion, "{} has been changed meanwhile"),
    (theirs.NotEmptyError, NotEmpty, "{} has children"),
    (theirs.NoAuthError, NoAuth, "ZooKeeper denies {}: it was made with another user or password"),
    (theirs.AuthFailedError, NoAuth, "ZooKeeper refuses the login ({})"),
    (theirs.InvalidACLError, NoAuth, "ZooKeeper knows no login for what is made at {}"),
)
_CONSEQUENCES = (theirs.RolledBackError, theirs.RuntimeInconsistency)


def translated(error: BaseException, path: str) -> HaError:
    """kazoo's error about `path` as one of ours."""
    name = type(error).__name__.removesuffix("Error")
    if isinstance(error, TRANSIENT):
        return Unreachable(f"ZooKeeper did not answer about {path}: {name}", sent=True)
    for kind, ours, text in _ANSWERS:
        if isinstance(error, kind):
            return ours(text.format(path))
    return Unusable(f"ZooKeeper refuses {path}: {name} {error}".rstrip())


def is_cause(result: object) -> bool:
    """Of a multi's results: an error of its own, not the consequence of another operation's."""
    return isinstance(result, Exception) and not isinstance(result, _CONSEQUENCES)


class AddWatch(namedtuple("AddWatch", "path mode")):
    """The request for a persistent watch (ZooKeeper 3.6 and later); mode 1: of everything below, too."""

    type = 106
    RECURSIVE = 1

    def serialize(self) -> bytes:
        """As it goes over the wire."""
        return bytes(write_string(self.path) + int_struct.pack(self.mode))

    @classmethod
    def deserialize(cls, *_: object) -> bool:
        """The answer has nothing in it."""
        return True


class Connection(ConnectionHandler):  # type: ignore[misc]
    """kazoo's connection, which also tells the negotiated timeout and what persistent watches see."""

    negotiated = 0.0
    """Seconds that the servers granted; 0 before the first session."""
    session = 0
    ended = False
    """The loop is over, by a bug or a login that was refused: only a new client helps."""

    def zk_loop(self) -> None:
        """kazoo's loop, which also ends by errors that it does not expect."""
        try:
            super().zk_loop()
        finally:
            self.ended = True

    def __init__(self, client: KazooClient, on_path: Callable[[str], None]) -> None:
        super().__init__(client, client._conn_retry.copy(), logger=client.logger)
        self._on_path = on_path

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        answer = super()._invoke(timeout, request, xid)
        if isinstance(request, Connect) and answer[0].time_out > 0:
            # Here, before kazoo announces that it is connected.
            self.negotiated = answer[0].time_out / 1000
            self.session = answer[0].session_id
        return answer

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        self._on_path(Watch.deserialize(buffer, offset)[0].path)

    def drop(self) -> None:
        """Break the connection: kazoo tries the next server, in the same session."""
        sock = self._socket
        if sock is not None:
            try:
                sock.shutdown(2)
            except OSError:
                return  # it is broken already


class _Handler(SequentialGeventHandler):  # type: ignore[misc]
    """gevent's, with connects cut short: a server that is gone must not cost the session."""

    connect_within = 1.0

    def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = min(kwargs.get("timeout") or self.connect_within, self.connect_within)
        return super().create_connection(*args, **kwargs)


class _Discreet(logging.Filter):
    """kazoo's lines: no password ever; and each failed attempt only where the libraries may talk."""

    def filter(self, record: logging.LogRecord) -> bool:
        if any(isinstance(arg, Auth | Connect) for arg in record.args or ()):
            return False
        return record.levelno >= logging.ERROR or logging.getLogger().isEnabledFor(logging.DEBUG)


def new_client(
    hosts: tuple[str, ...], timeout: float, login: tuple[str, str] | None, on_path: Callable[[str], None]
) -> KazooClient:
    """A client that is not started yet. `on_path(path)` is called in its greenlet for all that is watched."""
    logger = logging.getLogger("kazoo.client")
    if not any(isinstance(each, _Discreet) for each in logger.filters):
        logger.addFilter(_Discreet())
    handler = _Handler()
    handler.connect_within = min(1.0, timeout / (2 * max(1, len(hosts))))
    client = KazooClient(
        hosts=",".join(hosts),
        timeout=timeout,
        handler=handler,
        default_acl=[make_digest_acl(*login, all=True)] if login else None,
        auth_data=[("digest", ":".join(login))] if login else None,
        connection_retry={  # kazoo's own back-off reaches an hour
            "max_tries": -1,
            "delay": 0.1,
            "backoff": 1.5,
            "max_delay": min(1.0, timeout / 8),
            "sleep_func": handler.sleep_func,
        },
        logger=logger,
    )
    client._connection = Connection(client, on_path)
    return client
