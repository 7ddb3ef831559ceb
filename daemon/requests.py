"""The mail side, built: from the mailbox to the answer, in the order in which a request flows. Root.

    mailbox --> mail --> records, pending/ --> lanes (recordings, commands) --> answers --> SMTP or maildir

Nothing of it is there in shadow mode; in mode slave the mailbox is not read.
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

from daemon.directory.model import Directory
from daemon.jobs.answering import Answering
from daemon.jobs.book import Book
from daemon.jobs.checkip import CheckIp
from daemon.jobs.clerk import Clerk
from daemon.jobs.composer import MailComposer
from daemon.jobs.failpoints import reach_of
from daemon.jobs.leftovers import Leftovers
from daemon.jobs.macchange import MacChange
from daemon.jobs.model import Command, Outcome, Request
from daemon.jobs.office import Office
from daemon.jobs.policy import Limits
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import Held
from daemon.jobs.runner import Lane, Work
from daemon.jobs.spool import Spool
from daemon.mail.alarms import Facts
from daemon.mail.alerts import Alerts
from daemon.mail.extensions import not_allowed
from daemon.mail.monitor import MailMonitor
from daemon.mail.opening import open_mailbox, open_way_out
from daemon.mail.policy import Policy, policy_of
from daemon.mail.tokens_file import TokensFile
from daemon.mail.trust import TOO_MANY
from daemon.recordings.desk import Recordings
from daemon.recordings.services import services as recordings_services
from daemon.runtime.offload import Offload
from daemon.runtime.service import Service
from daemon.settings import Settings
from daemon.snapshot import MailStatus, Problem, QueueStatus, Snapshot
from daemon.web.downloads import Downloads
from daemon.web.routing import Route

log = logging.getLogger("arimonitor")


class Requests:
    """Everything about requests on this node. `open` before the services start, `close` after they ended."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        epoch: int,
        environ: Mapping[str, str],
        snapshot: Callable[[], Snapshot],
        directories: Callable[[], Iterable[Directory]],
    ) -> None:
        now = settings()
        self._settings = settings
        self._snapshot = snapshot
        self._heavy = Offload(2)
        self.recordings = Recordings(
            now,
            self._heavy.call,
            colleagues=lambda request: colleagues(directories(), request, policy_of(settings())),
        )
        # A pool of its own: the records have one caller at a time, and no ZIP stands before them.
        self._offload = Offload(1)
        self._store = RecordFile(
            now.node.data_dir / "requests.sqlite", self._offload.call, over_limit=sorted(TOO_MANY)
        )
        self._epoch = epoch
        work = now.node.data_dir / "work"
        self.book = Book(
            self._store,
            Spool(now.queue.dir),
            self._offload.call,
            owner=now.node.name,
            mastership=Held(epoch),
            zone=ZoneInfo(now.node.timezone),
            limits=lambda: _limits(settings()),
            reach=reach_of(environ),
        )
        self.office = Office(self.book)
        composer = MailComposer(settings)
        tokens = TokensFile(now.mail.tokens_file)
        self._clerk = Clerk(self.book, work, lambda: policy_of(settings()))
        carried_out = works(settings, self.recordings)
        self._leftovers = Leftovers(self.book, work, {"MACCHANGE": MacChange(settings).abandon})
        self._lanes = (
            Lane("recordings", self.book, carried_out, work),
            Lane("commands", self.book, carried_out, work, leftovers=self._leftovers),
        )
        self._answers = Answering(self.book, open_way_out(now), composer)
        mailbox = open_mailbox(now, self._heavy) if now.node.mode != "slave" else None
        self._mail = (
            MailMonitor(mailbox, self.book, lambda: policy_of(settings()), tokens.load)
            if mailbox is not None
            else None
        )
        self._alerts = Alerts(
            self._facts,
            composer.alert,
            self._answers.post,
            lambda: settings().mail.alerts and bool(settings().mail.admin),
            lambda: settings().node.language,
        )
        if not now.mail.authserv_id and mailbox is not None and now.mail.inbox == "imap":
            log.warning(
                "mail.authserv_id is not set: whoever can forge a sender of the whitelist"
                " can ask for recordings"
            )

    def open(self) -> None:
        """Open the records. Raises FatalError, TransientError."""
        self._store.open(self._epoch)
        self.book.refresh()
        self.recordings.open()
        if self.book.paused:
            log.warning("requests are paused since an earlier run: `arimonitor ctl resume` ends it")

    def close(self) -> None:
        """Close the records."""
        self._store.close()
        self._offload.close()
        self._heavy.close()

    def services(self) -> Iterable[Service]:
        """In the order of starting: the way out first, the way in last."""
        yield self._answers
        yield self._clerk
        yield from self._lanes
        yield self._alerts
        yield from recordings_services(self.recordings)
        if self._mail is not None:
            yield self._mail

    # -- for the picture --------------------------------------------------------
    def mail_status(self) -> MailStatus | None:
        """None: it is not read on this node."""
        if self._mail is None:
            return None
        checked = self._mail.last_check
        zone = ZoneInfo(self._settings().node.timezone)
        last = datetime.fromtimestamp(checked, zone).isoformat(timespec="seconds") if checked else None
        return MailStatus(self._mail.reading, last)

    def queue_status(self) -> QueueStatus:
        """Requests in each folder."""
        return QueueStatus(**self.book.folders())

    def notices(self) -> Iterable[Problem]:
        """What is wrong, in sentences."""
        if self._mail is not None and self._mail.problem:
            yield Problem("mail", self._mail.problem)
        if self._answers.problem:
            yield Problem("answers", f"can't be sent: {self._answers.problem}")
        if self.book.unwritten:
            yield Problem("queue", f"{self.book.unwritten} files can't be written: see the log")
        if self._leftovers.waiting:
            yield Problem("queue", f"{self._leftovers.waiting} failed commands can't be undone: see the log")
        if self.book.paused and self._mail is None:
            yield Problem("queue", "paused by the operator")

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
        for (command, outcome), count in statistics.requests.items():
            numbers[f"requests.{command}.{outcome}"] = count
        return numbers

    def _facts(self) -> Facts:
        """How things are, for the alerts."""
        now, settings = self._snapshot(), self._settings()
        away = self._mail.away_since if self._mail is not None else None
        fullest = _fullest((settings.node.data_dir, settings.recordings.publish_dir))
        return Facts(
            mailbox_away=None if away is None else self.book.now() - away,
            mailbox_problem=self._mail.problem if self._mail is not None else "",
            outbox_oldest=max((broker.oldest_s for broker in now.brokers), default=0.0),
            outbox_messages=sum(broker.outbox for broker in now.brokers),
            free_bytes=None if fullest is None else fullest[0],
            data_dir="" if fullest is None else str(fullest[1]),
            gaps=sum(asterisk.gaps for asterisk in now.asterisk),
            undeliverable=self._answers.given_up,
        )


def _fullest(folders: Iterable[Path]) -> tuple[int, Path] | None:
    """Bytes free on the fullest disk of these folders; one that is away is told of by others."""
    free: list[tuple[int, Path]] = []
    for folder in folders:
        with contextlib.suppress(OSError):
            free.append((shutil.disk_usage(folder).free, folder))
    return min(free, default=None)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_tries=settings.queue.max_tries,
        processing_timeout=settings.queue.processing_timeout * 60.0,
        confirmation=float(settings.mail.confirmation),
    )


def build(
    settings: Callable[[], Settings],
    epoch: int,
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
    return Requests(settings, epoch, environ, snapshot, directories)


def works(settings: Callable[[], Settings], recordings: Recordings) -> dict[Command, Work]:
    """What carries out each command."""

    def ramais(request: Request, folder: Path) -> Outcome:
        recordings.settings = settings()  # what may change while running
        return recordings.send(request, folder)

    return {"RAMAIS": ramais, "CHECKIP": CheckIp(settings), "MACCHANGE": MacChange(settings)}


def colleagues(directories: Iterable[Directory], request: Request, policy: Policy) -> list[str]:
    """The other extensions of the client asked about, as far as the sender may ask for them.

    Nobody's where the extensions are of several clients; an extension that has
    another client on another Asterisk is nobody's colleague.
    """
    clients: dict[str, set[str]] = {}
    for directory in directories:
        for entry in directory.endpoints.values():
            clients.setdefault(entry.name, set()).add(entry.client)
    asked = request.parameters["ramais"].split(",")
    theirs = set().union(*(clients.get(extension, set()) for extension in asked)) - {""}
    if len(theirs) != 1:
        return []
    found = [name for name, owners in clients.items() if owners == theirs and name not in asked]
    refused = set(not_allowed(found, policy.rights_of(request.from_email).extensions))
    return [name for name in found if name not in refused]
