"""Mailbox, mail server, disk failing: what was asked is answered all the same, or the record says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.jobs.model import Record
from tests.servers import dovecot
from tests.servers.disk import fill, small_disk
from tests.servers.dovecot import Dovecot
from tests.servers.fake_smtp import FakeSmtp
from tests.servers.mails import ADMIN, PERSON, MailSite, mail, recordings, settings
from tests.servers.relay import Relay
from tests.servers.waiting import wait_until

RAMAIS = "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
LATE = "late@example.com"


@pytest.fixture(scope="module")
def smtp() -> Iterator[FakeSmtp]:
    with FakeSmtp() as server:
        yield server


@pytest.fixture(scope="module")
def site(smtp: FakeSmtp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSite]:
    folder = tmp_path_factory.mktemp("mail-faults")
    made = MailSite(
        folder,
        settings(
            mail={"outbox": "smtp", "whitelist": [PERSON, LATE]},
            recordings={"roots": [str(recordings(folder / "recordings"))]},
            **{"mail.smtp": {"host": smtp.host, "port": smtp.port, "starttls": False, "timeout": 1.0}},
        ),
    )
    with made.daemon:
        yield made


def last(site: MailSite, sender: str) -> Record:
    """The latest record of a sender."""
    return next(r for r in reversed(site.records()) if r.request.from_email == sender)


def has(smtp: FakeSmtp, ident: str) -> bool:
    """Whether the answer to a mail went out."""
    return any(f"In-Reply-To: <{ident}@mail.example.com>".encode() in each for each in smtp.mails)


def test_one_recipient_is_put_off(site: MailSite, smtp: FakeSmtp) -> None:
    smtp.faults[f"rcpt {LATE}"] = "450 greylisted, come again"
    site.deliver(mail("AJUDA", sender=LATE, ident="late"))
    site.daemon.says("puts off late@example.com: 450 greylisted")
    wait_until(lambda: "450 greylisted" in last(site, LATE).note, "the record says why")
    waits = last(site, LATE)
    assert waits.state == "replying"
    site.deliver(mail("AJUDA", ident="others"))
    wait_until(lambda: has(smtp, "others"), "another's answer does not wait")
    assert last(site, LATE).not_before == waits.not_before
    assert site.daemon.problems() == []
    smtp.faults.clear()
    wait_until(lambda: has(smtp, "late"), "the answer")
    site.settled(2)


def test_a_requester_is_refused_for_good(site: MailSite, smtp: FakeSmtp) -> None:
    """Who alone gets it: the request fails, and says why. The admin's copy of a result goes out."""
    smtp.faults[f"rcpt {LATE}"] = "550 5.1.1 no such person"
    site.deliver(mail("AJUDA", sender=LATE, ident="gone"))
    wait_until(lambda: last(site, LATE).state == "failed", "it failed")
    assert "550 5.1.1 no such person" in last(site, LATE).note
    site.deliver(mail(RAMAIS, sender=LATE, ident="gone-too"))
    wait_until(lambda: has(smtp, "gone-too"), "the admin has it")
    wait_until(lambda: last(site, LATE).state == "done", "done")
    site.daemon.says(f"does not reach {LATE}")
    smtp.faults.clear()


def test_everything_is_refused_for_good(site: MailSite, smtp: FakeSmtp) -> None:
    smtp.faults["data-end"] = "554 looks like spam"
    site.deliver(mail(RAMAIS, ident="spam"))
    wait_until(lambda: last(site, PERSON).state == "failed", "it failed")
    smtp.faults.clear()
    shown = site.daemon.ctl("queue", "show", last(site, PERSON).request.request_id)
    assert (shown["status"], "554 looks like spam" in shown["note"]) == ("failed", True)
    site.daemon.ctl("queue", "retry", shown["request_id"])
    wait_until(lambda: has(smtp, "spam"), "the operator had it done again")


def test_a_silent_mail_server(site: MailSite, smtp: FakeSmtp) -> None:
    smtp.faults["mail"] = "silence"
    site.deliver(mail("AJUDA", ident="silent"))
    site.daemon.says("did not answer within 1 s")
    problems = site.daemon.problems()
    assert any(each["part"] == "answers" for each in problems)
    smtp.faults.clear()
    wait_until(lambda: has(smtp, "silent"), "the answer")
    assert last(site, PERSON).request.from_email == PERSON
    wait_until(lambda: site.daemon.problems() == [], "all is well")


def test_a_full_disk_of_the_queue(tmp_path: Path) -> None:
    """The files are a mirror: requests are answered without them, and they are written when there is room."""
    with small_disk(tmp_path / "small", "1m") as disk:
        site = MailSite(
            tmp_path / "site",
            settings(
                queue={"dir": str(disk / "queue")},
                recordings={"roots": [str(recordings(tmp_path / "recordings"))]},
            ),
        )
        site.queue = disk / "queue"
        with site.daemon:
            wait_until((site.queue / "pending").is_dir, "the folders")
            ballast = fill(disk)
            site.deliver(mail(RAMAIS))
            assert site.answer()["To"] == ADMIN
            site.daemon.says("is written later")
            assert any(each["part"] == "queue" for each in site.daemon.problems())
            ballast.unlink()
            (record,) = site.settled()
            name = f"{record.request.request_id}.json"
            wait_until(lambda: site.files() == {"completed": [name]}, "its file is there")
            wait_until(lambda: site.daemon.problems() == [], "all is well")


@pytest.mark.skipif(dovecot.unavailable_reason() is not None, reason=str(dovecot.unavailable_reason()))
def test_a_mailbox_that_is_slow_cut_and_refuses(tmp_path: Path) -> None:
    with Dovecot() as imap, Relay(imap.port) as relay:
        access = {"host": "127.0.0.1", "port": relay.port, "ca_file": str(imap.ca), "timeout": 5.0}
        login = {"username": imap.username, "password": imap.password}
        site = MailSite(
            tmp_path,
            settings(
                mail={"inbox": "imap"},
                recordings={"roots": [str(recordings(tmp_path / "recordings"))]},
                **{"mail.imap": {**access, **login}},
            ),
        )
        relay.cut_in = 400_000
        imap.deliver(mail(RAMAIS, ident="big", body="x" * 70 + "\n" + ("y" * 70 + "\n") * 12_000))
        with site.daemon:
            site.daemon.says("the mailbox is not read, next try in")  # cut in the middle of the body
            relay.pause = 0.02
            assert site.answer(1)["In-Reply-To"] == "<big@mail.example.com>"
            wait_until(lambda: not imap.folder(), "it is moved")
            relay.pause = 0.0
            users = imap.base / "users"
            known = users.read_text()
            users.write_text(known.replace(imap.password, "another"))
            relay.cut()
            imap.deliver(mail("AJUDA", ident="refused"))
            site.daemon.says("refuses the login of monitor")
            assert site.daemon.status()["mail"]["reading"] is False
            assert any(each["part"] == "mail" for each in site.daemon.problems())
            assert imap.password not in site.daemon.log_text()
            users.write_text(known)
            site.daemon.stop()
            site.daemon.start()
            assert site.answer(2)["In-Reply-To"] == "<refused@mail.example.com>"
            assert {record.state for record in site.settled(2)} == {"done"}
