"""The two stores of records, set up for tests alike: one file, or a namespace of a real ZooKeeper.

As a program it is a racer: it changes a hundred records that another changes too, and prints how many it won.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from daemon.jobs.ondisk import Outcomes
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import Fenced, RecordStore
from daemon.jobs.recordzk import ZooKeeperRecords, is_lasting
from ha.board import Board
from ha.claims import Claims
from ha.operations import ANY
from ha.paths import EPOCH
from ha.zookeeper import Tree
from tests.servers.waiting import wait_until

OVER_LIMIT = ("too-many-mails",)


def here(fn: Callable[..., Any], *data: Any, timeout: float | None = None) -> Any:
    """In this thread: the test has no hub to spare."""
    return fn(*data)


class Bed(Protocol):
    """Where stores of the same records come from. Epoch 1 serves at first."""

    def open(self) -> RecordStore:
        """Another store over the same records, as another process (or node) would have."""

    def depose(self) -> None:
        """A newer master serves from now on."""

    def spec(self) -> str:
        """For a racer's command line."""

    def close(self) -> None:
        """The end."""


class FileBed:
    """requests.sqlite in `folder`."""

    epoch = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: list[RecordFile] = []

    def open(self, epoch: int = 1) -> RecordFile:
        store = RecordFile(self._folder / "requests.sqlite", here, over_limit=OVER_LIMIT)
        store.open(epoch)
        self._open.append(store)
        return store

    def depose(self) -> None:
        self.open(2)

    def spec(self) -> str:
        return json.dumps({"folder": str(self._folder)})

    def close(self) -> None:
        for store in self._open:
            store.close()


class ZooKeeperBed:
    """A namespace of ZooKeeper; `folder` is the disk of the node `owner`."""

    epoch = (1 << 32) | 1

    def __init__(self, hosts: str, namespace: str, folder: Path, *, timeout: float = 4.0) -> None:
        self._hosts, self._namespace, self._timeout = hosts, namespace, timeout
        self._folder = folder
        self._trees: list[Tree] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self) -> ZooKeeperBed:
        """Epoch 1."""
        tree = self.tree()
        tree.create(EPOCH, b"")
        tree.set(EPOCH, b"1", 0)
        return self

    def tree(self, hosts: str = "") -> Tree:
        tree = Tree(hosts or self._hosts, self._namespace, self._timeout)
        self._trees.append(tree)
        assert tree.start(20)
        return tree

    def open(self, owner: str = "AUDIO", hosts: str = "", folder: Path | None = None) -> ZooKeeperRecords:
        tree = self.tree(hosts)
        self.claims, self.tries = Claims(tree, "/req", is_lasting), Claims(tree, "/mails")
        board = Board(tree, owner, lambda: "")
        outcomes = Outcomes((folder or self._folder) / "outcomes")
        store = ZooKeeperRecords(
            self.claims,
            self.tries,
            board,
            outcomes,
            here,
            owner=owner,
            over_limit=OVER_LIMIT,
        )
        self.claims.watch()
        for service in (self.claims, board):
            thread = threading.Thread(target=service.run, args=(self._stop,))
            thread.start()
            self._threads.append(thread)
        wait_until(lambda: self.claims.loaded and board.paused() is not None, "the records are read")
        return store

    def depose(self) -> None:
        self._trees[0].set(EPOCH, b"2", ANY)

    def spec(self) -> str:
        return json.dumps({"hosts": self._hosts, "namespace": self._namespace, "folder": str(self._folder)})

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        for tree in self._trees:
            tree.stop()


def _bed(spec: dict[str, str]) -> Bed:
    folder = Path(spec["folder"])
    return ZooKeeperBed(spec["hosts"], spec["namespace"], folder) if "hosts" in spec else FileBed(folder)


def _race(spec: str, owner: str) -> None:
    bed = _bed(json.loads(spec))
    store, won = bed.open(), 0
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(100):
        found = store.read(str(number))
        assert found is not None
        try:
            store.change(msgspec.structs.replace(found, state="running", owner=owner), 1)
            won += 1
        except Fenced:
            pass
    print(json.dumps(won), flush=True)
    bed.close()


if __name__ == "__main__":
    _race(*sys.argv[1:])
