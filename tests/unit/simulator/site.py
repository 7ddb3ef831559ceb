"""Everything of one run: the world, the servers, the hosts and their nodes; what happens to who crashed."""

from __future__ import annotations

import functools
import logging
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec

from daemon.errors import TransientError
from daemon.jobs.courier import Courier
from daemon.jobs.model import FINAL, Outcome, Record, RecordingsSent, Request, Row, State
from daemon.jobs.ondisk import Outcomes
from daemon.jobs.recordfile import RecordFile, _record
from daemon.jobs.records import RecordStore
from daemon.jobs.recordzk import ZooKeeperRecords
from daemon.machines.reach import Reach
from daemon.settings import Settings
from ha.claims import Claims
from ha.operations import Create
from tests.unit.simulator import machines
from tests.unit.simulator.cluster import GENERATION, Cluster
from tests.unit.simulator.host import Host, MemoryTable
from tests.unit.simulator.machines import HostFiles, PhoneServer
from tests.unit.simulator.mailserver import ACCESS, Link, MailServer, WayOut
from tests.unit.simulator.node import Node
from tests.unit.simulator.world import Decisions, World, trouble_of
from tests.unit.simulator.zookeeper import Ensemble

PERSON, ADMIN = "person@example.com", "admin@example.com"
MEMORY = Path("/dev/shm")


class Mistakes(logging.Handler):
    """What the product logs with a traceback: a mistake that it did not expect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


class Never:
    """The flag of the cluster that requests stand still: they do not."""

    def paused(self) -> bool:
        return False

    def pause(self, on: bool) -> None:
        raise NotImplementedError


class Site:
    """Hosts by name; the first one is started first."""

    access = ACCESS

    def __init__(
        self,
        decisions: Decisions,
        serves: Mapping[str, Sequence[str]],
        confirmation: float = 1e9,
    ) -> None:
        names = tuple(serves)
        self._random = random.getstate()
        random.seed(0)  # what the product shortens its waits by
        self.world = World(decisions)
        self.cluster: Cluster | None = None
        if len(names) > 1:
            ensemble = Ensemble(self.world)
            ensemble.commit([Create("/req"), Create("/mails")], 0)
            kinds = {name: frozenset(each) for name, each in serves.items()}
            self.cluster = Cluster(self.world, kinds, ensemble)
            self.world.each_time.append(self.cluster.tick)
        self.confirmation = confirmation
        self.mails = MailServer(self.world)
        self.phones = PhoneServer(self.world)
        self.bucket: dict[str, str] = {}
        base = MEMORY if MEMORY.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="arimonitor-simulator-", dir=base))
        self.hosts = {name: Host(name, self.folder / name) for name in names}
        for host in self.hosts.values() if self.cluster is not None else ():
            host.folder.mkdir()
            (host.folder / "generation.json").write_text(f'{{"generation": {GENERATION}}}')
        self.settings = {name: _settings(name, names) for name in names}
        self.came: list[bytes] = []
        """Every mail that was delivered."""
        self.restart_after: float | None = 0.0
        self.mistakes = Mistakes()
        logging.getLogger("arimonitor").addHandler(self.mistakes)

    def start(self, name: str) -> None:
        self.world.note(f"{name} is started")
        self.world.add(Node(self, self.hosts[name]))

    def crashed(self, node: Node) -> None:
        """`restart_after` seconds; None: when all is quiet."""
        if self.restart_after == 0.0:
            self.start(node.name)
        elif self.restart_after is not None:
            self.world.later(self.restart_after, lambda: self.back(node.name))

    def back(self, name: str) -> None:
        """It is started, if nobody has."""
        self.hosts[name].is_lost = False
        if self.world.nodes[name].dead:
            self.start(name)

    def begin(self) -> None:
        """All nodes start."""
        self.world.on_crash, self.world.settled = self.crashed, self.settled
        for name in self.hosts:
            self.start(name)
            if self.cluster is not None:
                self.cluster.tick()

    def again(self, rng: random.Random) -> None:
        """A mail that has come before comes once more."""
        if self.came:
            raw = rng.choice(self.came)
            self.mails.deliver(raw)
            self.came.append(raw)

    def lose_records(self, *, opened: bool) -> None:
        """ZooKeeper loses its data; `opened`: people have read their mails meanwhile."""
        assert self.cluster is not None
        self.cluster.wipe()
        if opened:
            self.mails.opened()

    def overtaken(self, node: Node) -> None:
        """Those that stand still go on now; this one does so in a moment, in the same session."""
        for other in list(self.world.nodes.values()):
            self.resume(other)
        self.world.later(2.0, lambda: self.resume(node))

    def settled(self) -> bool:
        """Whether nothing seems to be left to do."""
        if self.mails.ids("INBOX") or any(record.state not in FINAL for record in self.records()):
            return False
        return not any(name.endswith(".json") for host in self.hosts.values() for name in host.pending())

    def heal(self) -> bool:
        """Who is down is started, who stood still goes on; whether there was anybody."""
        healed = False
        for name, node in list(self.world.nodes.items()):
            healed = healed or bool(node.cut_off)
            node.mend()
            if node.dead:
                self.back(name)
                healed = True
            elif node.paused:
                self.resume(node)
                healed = True
        return healed

    def resume(self, node: Node, *, blind: bool = True) -> None:
        """It goes on where it stood still. `blind`: its clock did not count meanwhile."""
        if node.dead or not node.paused:
            return
        self.world.note(f"{node.name} goes on")
        node.paused, self.world.upset = False, True
        node.frozen += self.world.now - node.paused_at if blind else 0.0

    def run(self) -> None:
        """Until all is quiet with everybody there."""
        while True:
            self.world.run()
            if not self.heal():
                return

    def close(self) -> None:
        random.setstate(self._random)
        logging.getLogger("arimonitor").removeHandler(self.mistakes)
        self.world.close()
        for host in self.hosts.values():
            host.close()
        self.folder.rmdir()

    # -- the records, looked at from outside -----------------------------------------------------
    def records(self) -> list[Record]:
        """All of them, by id."""
        if self.cluster is None:
            table = MemoryTable(next(iter(self.hosts.values())).database)
            return [_record(body) for body in table.bodies(get_args(State), "id", 1000)]
        ensemble = self.cluster.ensemble
        paths = [
            f"/req/{folder}/{key}"
            for folder in ensemble.below("/req")
            for key in ensemble.below(f"/req/{folder}")
        ]
        entries = [ensemble.at(path) for path in paths]
        return [msgspec.json.decode(entry.data or b"", type=Record) for entry in entries if entry is not None]

    def store(self, node: Node) -> RecordStore:
        """The records as a node reaches them."""
        if node.tree is None:
            file = RecordFile(Path(), node.on_file)
            file._table = MemoryTable(node.host.database)
            return file
        tree: Any = node.tree
        claims = Claims(tree, "/req", clock=self.world.clock)
        tries = Claims(tree, "/mails", clock=self.world.clock)
        node.watch(claims)
        outcomes = Outcomes(node.host.folder / "outcomes")
        return ZooKeeperRecords(claims, tries, Never(), outcomes, node._disk, owner=node.name)

    def open(self, node: Node) -> None:
        """Before anything else is done with them."""
        assert isinstance(node.store, RecordFile)
        node.store.open(node.book.mastership.epoch)

    # -- ports of a node --------------------------------------------------------------------------
    def link(self, node: Node) -> Link:
        return Link(self.mails, node)

    def way_out(self, node: Node) -> WayOut:
        return WayOut(self.mails, node)

    def courier(self, node: Node) -> Courier:
        return Courier(self.settings[node.name], reach=self.reaching(node))

    def reaching(self, node: Node) -> Reach:
        return machines.reaching(self._machine, node)

    def _machine(self, name: str) -> machines.Files | None:
        """sshd of a host answers as long as the machine runs, whatever our process does."""
        if name not in self.hosts:
            self.phones.away -= 1
            return self.phones if self.phones.away < 0 else None
        host = self.hosts[name]
        return None if host.is_lost or self.world.nodes[name].paused else HostFiles(self.world, host)

    def recordings(self, node: Node) -> Callable[[Request, Path], Outcome]:
        """RAMAIS: packed, published under a name of its own, noted; the note is the commit."""

        def call(what: str, effect: Callable[[], Any]) -> Any:
            return node.world.call(node, f"audio {what}", effect, trouble_of(TransientError))

        def ramais(request: Request, folder: Path) -> Outcome:
            shelf, name = node.host.published, request.request_id

            def put(key: str, value: str) -> None:
                shelf[key] = value
                self.world.changed(f"{key} is published on {node.name}")

            try:
                if not call("note", lambda: f"{name}.json" in shelf):
                    call("pack", lambda: (folder / "1.mp3").touch())
                    call("publish", lambda: put(f"{name}.zip", "three recordings"))
                    call("write the note", lambda: put(f"{name}.json", "three recordings"))
            finally:
                if not node.dead:
                    shutil.rmtree(folder, ignore_errors=True)
            at = datetime(2025, 10, 27, 9, tzinfo=UTC)
            link = f"https://{node.name.lower()}.example.com/r/{name}"
            rows = tuple(Row("1121", "1013015", at, 61.0, f"{link}/{n}") for n in range(3))
            return RecordingsSent(rows, link, 1000, at)

        return ramais


@functools.cache
def _settings(name: str, names: tuple[str, ...]) -> Settings:
    peers = [
        {"name": each, "host": "192.0.2.20", "queue_dir": str(machines.queue_dir(each))}
        for each in names
        if each != name
    ]
    return Settings.model_validate(
        {
            "node": {"name": name},
            "mail": {
                "admin": ADMIN,
                "whitelist": [PERSON],
                "require_token": "never",
                "smtp": {"from": "arimonitor@example.com"},
                "sender": [{"address": PERSON, "commands": ["RAMAIS", "CHECKIP", "MACCHANGE"]}],
            },
            "peer": peers,
            "server": [machines.settings_of("gv1p")],
        }
    )
