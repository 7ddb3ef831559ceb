"""Mails that the mailbox itself has trouble with: put aside after three tries, they stop nothing else."""

from __future__ import annotations

import email
import email.policy
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.jobs.answering import Answering
from daemon.jobs.book import Book
from daemon.jobs.composer import MailComposer
from daemon.jobs.policy import Limits
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import Held
from daemon.jobs.spool import Spool
from daemon.mail.alarms import Facts
from daemon.mail.alerts import Alerts
from daemon.mail.maildir import MaildirBox, MaildirWayOut
from daemon.mail.monitor import MailMonitor
from daemon.mail.policy import policy_of
from daemon.mail.tokens import Tokens
from daemon.runtime.offload import Offload
from daemon.runtime.service import Service
from daemon.settings import Settings
from tests.servers.daemon import wait_until
from tests.servers.mails import ADMIN, PERSON, mail, settings

RAMAIS = "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"


def here(fn: Callable[..., Any], *data: Any, timeout: float | None = None) -> Any:
    return fn(*data)


class Site:
    """A maildir and what reads it."""

    def __init__(self, folder: Path) -> None:
        self.inbox = folder / "inbox"
        self.pool = Offload(1)
        self.box = MaildirBox(self.inbox, self.pool, poll=0.05)
        self.box.new()
        self.store = RecordFile(folder / "requests.sqlite", here)
        self.store.open(1)
        spool = Spool(folder / "queue")
        spool.prepare()
        zone = ZoneInfo("UTC")
        self.passed = 0.0
        book = Book(
            self.store, spool, here, owner="AUDIO", mastership=Held(1), zone=zone, limits=Limits, now=self.now
        )
        self.book = book
        mail = {**settings()["mail"], "smtp": settings()["mail.smtp"]}
        self.settings = Settings.model_validate({"mail": mail, "node": {"name": "AUDIO"}})
        rules = policy_of(self.settings)
        self.monitor = MailMonitor(self.box, book, lambda: rules, lambda: Tokens(()), held=0.05)

    def now(self) -> float:
        """The time; `passed` seconds went by in no time."""
        return time.time() + self.passed

    def put(self, name: str, sender: str = PERSON) -> None:
        (self.inbox / "tmp" / name).write_bytes(mail(RAMAIS, ident=name, sender=sender))
        os.rename(self.inbox / "tmp" / name, self.inbox / "new" / name)

    def aside(self) -> list[str]:
        found = [path.name for sub in ("new", "cur") for path in (self.inbox / ".Aside" / sub).iterdir()]
        return sorted(found)

    @contextmanager
    def reading(self, *others: Service) -> Iterator[None]:
        stop = threading.Event()
        threads = [threading.Thread(target=each.run, args=(stop,)) for each in (self.monitor, *others)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)


@pytest.fixture
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="arimonitor-mails-"))  # a user without rights may go there
    folder.chmod(0o755)
    made = Site(folder)
    yield made
    made.pool.close()
    shutil.rmtree(folder)


def test_a_mail_that_can_not_be_marked(site: Site) -> None:
    """Its place in cur/ is taken by a folder. The mark is an index only: the request goes on."""
    (site.inbox / "cur" / "1.bad:2," / "x").mkdir(parents=True)
    site.put("1.bad")
    site.put("2.good")
    with site.reading():
        wait_until(lambda: len(site.store.listing("assigned")) == 2, "both are in the line")


def test_a_mail_that_can_not_be_moved(site: Site) -> None:
    """Its place among those that are done is taken by a folder: tried three times, then put aside."""
    (site.inbox / ".Done" / "cur" / "1.bad:2,S" / "x").mkdir(parents=True)
    site.put("1.bad", sender="stranger@example.net")
    site.put("2.good")
    with site.reading():
        wait_until(lambda: len(site.store.listing("assigned")) == 1, "the other is in the line")
        wait_until(lambda: "1.bad:2,S" in site.aside(), "it is aside")
        site.put("3.later")
        wait_until(lambda: len(site.store.listing("assigned")) == 2, "what came later, too")
        assert site.monitor.reading
        assert site.monitor.problem == ""
    (note,) = (site.inbox / ".Aside" / "new").iterdir()
    assert "it was tried 3 times" in note.read_text()


def test_what_is_no_mail_at_all(site: Site) -> None:
    os.mkfifo(site.inbox / "new" / "1.pipe")
    (site.inbox / "new" / "2.folder").mkdir()
    (site.inbox / "new" / "3.link").symlink_to("/etc/hostname")
    site.put("4.good")
    with site.reading():
        wait_until(lambda: len(site.store.listing("assigned")) == 1, "the mail is in the line")


def test_a_mail_that_can_not_be_read(site: Site) -> None:
    site.put("1.bad")
    (site.inbox / "new" / "1.bad").chmod(0)
    site.put("2.good")
    root = os.geteuid() == 0
    if root:
        for path in (site.inbox, *site.inbox.rglob("*")):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
    try:
        assert [[letter.uid for letter in site.box.new()] for _ in range(4)] == [["2.good"]] * 4
    finally:
        if root:
            os.seteuid(0)
    assert "1.bad:2,S" in site.aside()


def test_the_admin_is_told_once_an_hour(site: Site) -> None:
    """The mailbox can't be read for five minutes: one mail, a second one after an hour."""
    outbox = site.inbox.parent / "outbox"
    composer = MailComposer(lambda: site.settings)
    answers = Answering(site.book, MaildirWayOut(outbox), composer)

    def facts() -> Facts:
        away = site.monitor.away_since
        return Facts(
            mailbox_away=None if away is None else site.now() - away, mailbox_problem=site.monitor.problem
        )

    alerts = Alerts(
        facts, composer.alert, answers.post, lambda: True, lambda: "pt_BR", every=0.02, clock=site.now
    )

    def mails() -> list[str]:
        return [path.read_text() for path in sorted(outbox.glob("new/*"))]

    shutil.rmtree(site.inbox)
    site.inbox.write_text("no folder")
    with site.reading(answers, alerts):
        wait_until(lambda: site.monitor.away_since is not None, "it is not read")
        rounds = threading.Event()
        assert not rounds.wait(0.2)
        assert mails() == [], "not at once"
        site.passed = 301.0
        wait_until(lambda: len(mails()) == 1, "the admin is told")
        first = mails()[0]
        site.passed = 3600.0
        assert not rounds.wait(0.2)
        assert len(mails()) == 1, "and not again"
        site.passed = 301.0 + 3601.0
        wait_until(lambda: len(mails()) == 2, "after an hour, again")
    found = email.message_from_string(first, policy=email.policy.default)
    assert found["To"] == ADMIN
    assert found["Subject"] == "ARIMONITOR: a caixa de entrada não está sendo lida"
    text = " ".join(found.get_body(("plain",)).get_content().split())
    assert "A caixa de entrada não é lida há 5 minutos" in text
    assert str(site.inbox) in text
