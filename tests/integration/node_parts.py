"""Nodes of a cluster for tests: each with its folders and services, over stores of the test's choice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.errors import TransientError
from daemon.jobs import requestfile
from daemon.jobs.answering import Answering
from daemon.jobs.book import Book
from daemon.jobs.clerk import Clerk
from daemon.jobs.composer import MailComposer
from daemon.jobs.dispatcher import Dispatcher
from daemon.jobs.failpoints import nothing
from daemon.jobs.model import NothingFound, Outcome, Record, Request
from daemon.jobs.ondisk import UntoldSteps
from daemon.jobs.placing import Node
from daemon.jobs.policy import Limits
from daemon.jobs.rebuild import Rebuild
from daemon.jobs.records import RecordStore
from daemon.jobs.runner import Lane
from daemon.jobs.spool import Spool
from daemon.mail.maildir import MaildirBox, MaildirWayOut
from daemon.mail.monitor import MailMonitor
from daemon.mail.policy import policy_of
from daemon.mail.tokens import Tokens
from daemon.runtime.offload import Offload
from daemon.runtime.service import Service
from daemon.settings import Settings
from tests.servers.mails import PERSON, mail, settings

RAMAIS = "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
FOLDERS = ("pending", "processing", "completed", "failed", "superseded")


def here(fn: Callable[..., Any], *data: Any, timeout: float | None = None) -> Any:
    """In this thread: the test has no hub to spare."""
    return fn(*data)


class Lease:
    """A mastership that the test gives and takes."""

    def __init__(self, epoch: int = (1 << 32) | 1, *, held: bool = True) -> None:
        self.epoch = epoch
        self.held = held

    def valid(self) -> bool:
        return self.held


class Cluster:
    """Who is there, for all nodes alike, and the way of files between them: a folder each on this disk."""

    def __init__(self, **serves: Sequence[str]) -> None:
        self.known = {name: Node(name, serves=frozenset(kinds)) for name, kinds in serves.items()}
        self.spools: dict[str, Spool] = {}
        self.cut = False

    def nodes(self) -> tuple[Node, ...]:
        return tuple(self.known.values())

    def lose(self, name: str, since: float = 0.0) -> None:
        node = self.known[name]
        self.known[name] = Node(name, here=False, serves=node.serves, since=since)

    def back(self, name: str) -> None:
        self.known[name] = Node(name, serves=self.known[name].serves)

    def send(self, record: Record, peer: str) -> None:
        """As a courier: the file is there whole, or not at all."""
        if self.cut:
            raise TransientError(f"{peer} does not answer")
        data = requestfile.encode(record, ZoneInfo("UTC"), brought_by=record.request.accepted_by)
        self.spools[peer].drop(record.request.request_id, data)


class NodeParts:
    """One node: `works` carry out its requests; the way out is a maildir."""

    def __init__(
        self,
        name: str,
        folder: Path,
        store: RecordStore,
        cluster: Cluster,
        *,
        lease: Lease | None = None,
        works: Mapping[str, Any] | None = None,
        reach: Callable[[str], None] = nothing,
    ) -> None:
        self.name = name
        self.lease = lease or Lease()
        self.spool = Spool(folder / "queue")
        self.spool.prepare()
        cluster.spools[name] = self.spool
        self.outbox = folder / "outbox"
        self.work = folder / "work"
        self.limits = Limits(confirmation=3600.0)
        self.done: list[str] = []
        mail = {**settings()["mail"], "smtp": settings()["mail.smtp"]}
        self.settings = Settings.model_validate({"mail": mail, "node": {"name": name}})
        self.store = store
        self.book = Book(
            store,
            self.spool,
            here,
            owner=name,
            mastership=self.lease,
            zone=ZoneInfo("UTC"),
            limits=lambda: self.limits,
            nodes=cluster.nodes,
            untold=UntoldSteps(folder / "untold"),
            reach=reach,
        )
        carried_out: Any = works or {"RAMAIS": self._carry_out, "CHECKIP": self._carry_out}
        self.rebuild = Rebuild(self.book, folder)
        self.clerk = Clerk(self.book, self.work, lambda: policy_of(self.settings), self.rebuild)
        self.dispatcher = Dispatcher(self.book, cluster)
        self.lanes = tuple(
            Lane(lane, self.book, carried_out, self.work)  # type: ignore[arg-type]
            for lane in ("recordings", "commands")
        )
        self.answers = Answering(self.book, MaildirWayOut(self.outbox), MailComposer(lambda: self.settings))

    def _carry_out(self, request: Request, folder: Path) -> Outcome:
        self.done.append(request.request_id)
        return NothingFound()

    @property
    def services(self) -> tuple[Service, ...]:
        return (self.answers, self.clerk, self.dispatcher, *self.lanes)

    def files(self) -> dict[str, list[str]]:
        """What is in the queue's folders, the empty ones left out."""
        found = {name: sorted(p.stem for p in (self.spool.root / name).glob("*.json")) for name in FOLDERS}
        return {name: stems for name, stems in found.items() if stems}

    def file(self, folder: str, request_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.spool.root / folder / f"{request_id}.json").read_bytes())
        return found

    def mails(self) -> list[str]:
        """The mails sent, oldest first."""
        return [path.read_text() for path in sorted(self.outbox.glob("new/*"))]

    @contextmanager
    def running(self, *others: Service) -> Iterator[None]:
        """Its services run."""
        stop = threading.Event()
        threads = [threading.Thread(target=each.run, args=(stop,)) for each in (*self.services, *others)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            self.book.nudge()
            for thread in threads:
                thread.join(20)

    def accept(self, request_id: str, command: str = "RAMAIS", source: str = "audio", **other: Any) -> Record:
        """A request that this node has accepted, as from a file without a mail."""
        known: Mapping[str, dict[str, str]] = {
            "RAMAIS": {"ramais": "1121", "inicio": "27/10/2025 08:00", "fim": "28/10/2025 18:00"},
            "CHECKIP": {"ip": "203.0.113.7"},
        }
        request = Request(
            request_id,
            command,  # type: ignore[arg-type]
            PERSON,
            known[command],
            audios_from=source if command == "RAMAIS" else "",
            accepted_by=self.name,
            received=datetime(2025, 10, 27, 11, tzinfo=UTC),
        )
        assert self.book.create(Record(request=request, state="accepted", version=0, **other))
        return self.record(request_id)

    def record(self, request_id: str) -> Record:
        found = self.store.read(request_id)
        assert found is not None
        return found

    def is_in(self, request_id: str, state: str) -> bool:
        """Whether it is, as far as can be known now."""
        self.book.nudge()
        try:
            found = self.store.read(request_id)
        except TransientError:
            return False
        return found is not None and found.state == state


@contextmanager
def reading(node: NodeParts, inbox: Path) -> Iterator[MailMonitor]:
    """The node reads this mailbox, and its services run."""
    pool = Offload(1)
    box = MaildirBox(inbox, pool, poll=0.05)
    rules = policy_of(node.settings)
    monitor = MailMonitor(box, node.book, lambda: rules, lambda: Tokens(()), held=0.05)
    try:
        with node.running(monitor):
            yield monitor
    finally:
        pool.close()


def put(inbox: Path, name: str) -> None:
    """A mail that asks for recordings."""
    for folder in ("tmp", "new", "cur"):
        (inbox / folder).mkdir(parents=True, exist_ok=True)
    (inbox / "tmp" / name).write_bytes(mail(RAMAIS, ident=name))
    (inbox / "tmp" / name).rename(inbox / "new" / name)
