"""The mail side, built: from the mailbox to the answer, in the order in which a request flows. Root.

    mailbox --> mail --> records, pending/ --> lanes (recordings, commands) --> answers --> SMTP or maildir

Nothing of it is there in shadow mode. The master reads the mailbox; each node
does and answers what is its own (daemon/roles.py).
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.carrying import colleagues, limits_of, macchange, works
from daemon.directory.model import Directory
from daemon.electing import Cluster
from daemon.errors import TransientError
from daemon.jobs.answering import Answering
from daemon.jobs.book import Book
from daemon.jobs.clerk import Clerk
from daemon.jobs.composer import MailComposer
from daemon.jobs.courier import Courier
from daemon.jobs.dispatcher import Dispatcher
from daemon.jobs.failpoints import reach_of
from daemon.jobs.leftovers import Leftovers
from daemon.jobs.office import Office
from daemon.jobs.ondisk import UntoldSteps
from daemon.jobs.rebuild import Rebuild
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import RecordStore
from daemon.jobs.runner import Lane
from daemon.jobs.spool import Spool
from daemon.jobs.takeover import Takeover
from daemon.mail.alarms import Facts
from daemon.mail.alerts import Alerts
from daemon.mail.monitor import MailMonitor
from daemon.mail.opening import open_mailbox, open_way_out
from daemon.mail.policy import policy_of
from daemon.mail.tokens_file import TokensFile
from daemon.mail.trust import TOO_MANY
from daemon.recordings.desk import Recordings
from daemon.recordings.services import services as recordings_services
from daemon.roles import Roles
from daemon.runtime.offload import Offload
from daemon.settings import Settings
from daemon.snapshot import MailStatus, Problem, QueueStatus, Snapshot
from daemon.web.downloads import Downloads
from daemon.web.routing import Route
from ssh.traffic import Traffic

log = logging.getLogger("arimonitor")


class Requests:
    """Everything about requests on this node. `open` before the services start, `close` after they ended."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        cluster: Cluster,
        environ: Mapping[str, str],
        snapshot: Callable[[], Snapshot],
        directories: Callable[[], Iterable[Directory]],
    ) -> None:
        now = settings()
        self._settings = settings
        self._cluster = cluster
        self._snapshot = snapshot
        self._heavy = Offload(2)
        self.traffic = Traffic()
        self.recordings = Recordings(
            now,
            self._heavy.call,
            traffic=self.traffic,
            colleagues=lambda request: colleagues(directories(), request, policy_of(settings())),
        )
        # A pool of its own: the records have one caller at a time, and no ZIP stands before them.
        self._offload = Offload(1)
        self._file: RecordFile | None = None
        self._store = self._records(now)
        work = now.node.data_dir / "work"
        self.book = Book(
            self._store,
            Spool(now.queue.dir),
            self._offload.call,
            owner=now.node.name,
            mastership=cluster.lease,
            zone=ZoneInfo(now.node.timezone),
            limits=lambda: limits_of(settings()),
            nodes=None if cluster.alone else cluster.nodes,
            untold=None if cluster.alone else UntoldSteps(now.node.data_dir / "untold"),
            reach=reach_of(environ),
        )
        self.office = Office(self.book)
        composer = MailComposer(settings)
        self._tokens = TokensFile(now.mail.tokens_file)
        rebuild = None if cluster.alone else Rebuild(self.book, now.node.data_dir)
        self._clerk = Clerk(self.book, work, lambda: policy_of(settings()), rebuild)
        carried_out = works(settings, self.recordings, self.book)
        self._leftovers = Leftovers(self.book, work, {"MACCHANGE": macchange(settings, self.book).abandon})
        self._lanes = (
            Lane("recordings", self.book, carried_out, work),
            Lane("commands", self.book, carried_out, work, leftovers=self._leftovers),
        )
        self._dispatcher = None if cluster.alone else Dispatcher(self.book, Courier(now))
        self.takeover = Takeover(self.book, lambda: settings().ha.takeover_after)
        self._answers = Answering(self.book, open_way_out(now), composer)
        self._mail: MailMonitor | None = None  # the last made: the master's
        self._alerts = Alerts(
            self._facts,
            composer.alert,
            self._answers.post,
            lambda: settings().mail.alerts and bool(settings().mail.admin),
            lambda: settings().node.language,
        )

    def _records(self, now: Settings) -> RecordStore:
        """Where requests stand: in ZooKeeper, or in a file of this host."""
        if not self._cluster.alone:
            return self._cluster.records(self._offload.call)
        path = now.node.data_dir / "requests.sqlite"
        self._file = RecordFile(path, self._offload.call, over_limit=sorted(TOO_MANY))
        return self._file

    def open(self) -> None:
        """Open the records. Raises FatalError, TransientError."""
        if self._file is not None:
            self._file.open(self._cluster.lease.epoch)
            self.book.refresh()
        self.recordings.open()
        if self._file is not None and self.book.paused:
            log.warning("requests are paused since an earlier run: `arimonitor ctl resume` ends it")

    def close(self) -> None:
        """Close the records."""
        if self._file is not None:
            self._file.close()
        self._offload.close()
        self._heavy.close()

    def begin(self, roles: Roles) -> None:
        """The services, in the order of starting: the way out first, the way in last."""
        now = self._settings()
        roles.add(self._answers)
        roles.add(self._clerk)
        for lane in self._lanes:
            roles.add(lane)
        if self._dispatcher is not None:
            roles.add(self._dispatcher)
        roles.add(self._alerts)
        for service in recordings_services(self.recordings):
            roles.add(service)
        if not self._cluster.alone:
            roles.keep("takeover", lambda: self.takeover)
        if now.node.mode == "slave" and self._cluster.alone:
            return
        if not now.mail.authserv_id and now.mail.inbox == "imap":
            log.warning(
                "mail.authserv_id is not set: whoever can forge a sender of the whitelist"
                " can ask for recordings"
            )
        roles.keep("mail", self._new_mail)

    def _new_mail(self) -> MailMonitor:
        """The mailbox, from its beginning: another node may have read it meanwhile."""
        now = self._settings()
        self._mail = MailMonitor(
            open_mailbox(now, self._heavy),
            self.book,
            lambda: policy_of(self._settings()),
            self._tokens.load,
        )
        return self._mail

    @property
    def _reader(self) -> MailMonitor | None:
        """Who reads the mailbox; None: nobody on this node."""
        return self._mail if self._cluster.view().role == "master" else None

    # -- for the picture --------------------------------------------------------
    def mail_status(self) -> MailStatus | None:
        """None: it is not read on this node."""
        mail = self._reader
        if mail is None:
            return None
        checked = mail.last_check
        zone = ZoneInfo(self._settings().node.timezone)
        last = datetime.fromtimestamp(checked, zone).isoformat(timespec="seconds") if checked else None
        return MailStatus(mail.reading, last)

    def queue_status(self) -> QueueStatus:
        """Requests in each folder."""
        return QueueStatus(**self.book.folders())

    def notices(self) -> Iterable[Problem]:
        """What is wrong, in sentences."""
        mail = self._reader
        if mail is not None and mail.problem:
            yield Problem("mail", mail.problem)
        if self._answers.problem:
            yield Problem("answers", f"can't be sent: {self._answers.problem}")
        if self.book.unwritten:
            yield Problem("queue", f"{self.book.unwritten} files can't be written: see the log")
        if self.recordings.sharer.problem:
            yield Problem("recordings", self.recordings.sharer.problem)
        if self._leftovers.waiting:
            yield Problem("queue", f"{self._leftovers.waiting} failed commands can't be undone: see the log")
        if mail is None and self._is_paused():
            yield Problem("queue", "paused by the operator")

    def _is_paused(self) -> bool:
        try:
            return self.book.paused
        except TransientError:  # of ZooKeeper, whose absence is said elsewhere
            return False

    def routes(self) -> tuple[Route, ...]:
        """`/r/TOKEN`."""
        shelf, key = self.recordings.shelf, self.recordings
        return (Downloads(shelf, lambda: key.key, self._heavy.call).route(),)

    def for_the_web(self) -> dict[str, Any]:
        """What the web's Sources have of requests."""
        return {"requests": self.office.rows, "answered": self.book.statistics}

    def counters(self) -> dict[str, int | float]:
        """Numbers by dotted name."""
        numbers: dict[str, int | float] = {
            f"queue.{key}": count for key, count in self.book.folders().items()
        }
        statistics = self.book.statistics
        numbers["mail.read"] = statistics.mails
        numbers["mail.aside"] = statistics.aside
        numbers["mail.ignored"] = sum(statistics.left_alone.values())
        numbers["answers.sent"] = self._answers.sent
        if not self._cluster.alone:
            numbers["requests.taken_over"] = self.takeover.taken
            numbers["requests.waiting_for_a_node"] = self._waiting_for_a_node()
        for (command, outcome), count in statistics.requests.items():
            numbers[f"requests.{command}.{outcome}"] = count
        return numbers

    def _waiting_for_a_node(self) -> int:
        """Of all nodes' requests; 0 while the records can't be reached, which is said elsewhere."""
        try:
            return sum(bool(record.waits_for) for record in self.book.store.listing())
        except TransientError:
            return 0

    def _facts(self) -> Facts:
        """How things are, for the alerts."""
        now, settings = self._snapshot(), self._settings()
        mail = self._reader
        away = mail.away_since if mail is not None else None
        ways_out = [broker for broker in now.brokers if not broker.standby]
        epoch, old, reason = self._cluster.taken_over() or (0, "", "")
        fullest = _fullest((settings.node.data_dir, settings.recordings.publish_dir))
        return Facts(
            mailbox_away=None if away is None else self.book.now() - away,
            mailbox_problem=mail.problem if mail is not None else "",
            outbox_oldest=max((broker.oldest_s for broker in ways_out), default=0.0),
            outbox_messages=sum(broker.outbox for broker in ways_out),
            free_bytes=None if fullest is None else fullest[0],
            data_dir="" if fullest is None else str(fullest[1]),
            gaps=sum(asterisk.gaps for asterisk in now.asterisk),
            undeliverable=self._answers.given_up,
            node=now.node,
            failover=epoch,
            before=old,
            reason=reason,
        )


def _fullest(folders: Iterable[Path]) -> tuple[int, Path] | None:
    """Bytes free on the fullest disk of these folders; one that is away is told of by others."""
    free: list[tuple[int, Path]] = []
    for folder in folders:
        with contextlib.suppress(OSError):
            free.append((shutil.disk_usage(folder).free, folder))
    return min(free, default=None)


def build(
    settings: Callable[[], Settings],
    cluster: Cluster,
    environ: Mapping[str, str],
    snapshot: Callable[[], Snapshot],
    directories: Callable[[], Iterable[Directory]],
) -> Requests | None:
    """The mail side by the settings; None in shadow mode, which answers and changes nothing."""
    now = settings()
    if now.node.shadow:
        log.info("shadow: no mail is read and no request is carried out")
        return None
    if now.node.mode == "slave":
        log.info("mode slave: the mailbox is not read on this node")
    return Requests(settings, cluster, environ, snapshot, directories)
