"""Every command from mail to answer on real Dovecot, Postfix, OpenSSH, fail2ban; each of them away."""

from __future__ import annotations

import email
import email.policy
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import dovecot, fail2ban, postfix, sshd
from tests.servers.dovecot import Dovecot
from tests.servers.fail2ban import Fail2ban
from tests.servers.mails import PERSON, MailSite, mail, recordings, settings
from tests.servers.postfix import Postfix
from tests.servers.sshd import Sshd
from tests.servers.waiting import DEADLINE, wait_until

for _reason in (
    dovecot.unavailable_reason(),
    postfix.unavailable_reason(),
    sshd.unavailable_reason(),
    fail2ban.unavailable_reason(),
):
    if _reason is not None:
        pytest.skip(_reason, allow_module_level=True)

RAMAIS = "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
OLD, NEW = "00:15:65:aa:bb:0c", "80:5e:c0:dd:ee:1f"


class Real:
    """The servers and the daemon between them."""

    def __init__(self, folder: Path, imap: Dovecot, smtp: Postfix, ssh: Sshd, guard: Fail2ban) -> None:
        self.imap, self.smtp, self.ssh, self.guard = imap, smtp, ssh, guard
        with (imap.base / "users").open("a") as users:
            users.write("person:{PLAIN}x\nadmin:{PLAIN}x\n")
        self.phones = folder / "phones"
        self.phones.mkdir()
        server = ssh.settings(fail2ban_command=list(guard.command), provisioning_dir=str(self.phones))
        access = {"host": "127.0.0.1", "username": imap.username, "password": imap.password}
        self.site = MailSite(
            folder,
            settings(
                mail={"inbox": "imap", "outbox": "smtp"},
                **{
                    "mail.imap": {**access, "port": imap.port, "ca_file": str(imap.ca), "timeout": 5.0},
                    "mail.smtp": {
                        **access,
                        "port": smtp.port,
                        "ca_file": str(smtp.ca),
                        "from": "monitor@example.com",
                        "timeout": 5.0,
                    },
                    "mail.sender": [{"address": PERSON, "commands": ["RAMAIS", "CHECKIP", "MACCHANGE"]}],
                },
                server=[server],
                recordings={"roots": [str(recordings(folder / "recordings"))]},
            ),
        )
        self.site.armed()

    def ask(self, subject: str, ident: str) -> None:
        self.imap.deliver(mail(subject, ident=ident))

    def inbox(self, ident: str) -> list[Any]:
        """The answers that the person has got to that mail."""
        found = [
            email.message_from_bytes(data, policy=email.policy.default)
            for data in self.imap.folder(user="person").values()
        ]
        return [each for each in found if str(each["In-Reply-To"]) == f"<{ident}@mail.example.com>"]

    def answer(self, ident: str) -> Any:
        """The one answer to that mail, and the mail is away."""
        wait_until(
            lambda: self.inbox(ident),
            f"an answer to {ident}: {self.site.daemon.log_text()[-3000:]}",
            2 * DEADLINE,
        )
        wait_until(lambda: not self.imap.folder(), "the mail is moved", 2 * DEADLINE)
        (found,) = self.inbox(ident)
        return found

    def state(self) -> str:
        return max(self.site.records(), key=lambda record: record.accepted_at).state


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with Dovecot() as imap, Postfix(imap) as smtp, Sshd() as ssh, Fail2ban(("asterisk", "sshd")) as guard:
        made = Real(tmp_path_factory.mktemp("real"), imap, smtp, ssh, guard)
        with made.site.daemon:
            yield made


def test_ramais(real: Real) -> None:
    real.ask(RAMAIS, "ramais")
    found = real.answer("ramais")
    assert ".result@example.com>" in found["Message-ID"]
    assert found["Auto-Submitted"] == "auto-replied"


def test_checkip(real: Real) -> None:
    real.guard.ban("asterisk", "203.0.113.7")
    real.ask("CHECKIP=203.0.113.7 SERVER=gv1p", "checkip")
    found = real.answer("checkip")
    assert ".result@" in found["Message-ID"]
    assert real.guard.banned("asterisk") == []
    assert "asterisk" in found.get_body(("plain",)).get_content()


def test_macchange(real: Real) -> None:
    (real.phones / "001565aabb0c.cfg").write_text("account.1.user_name = 1121\nmac = 00:15:65:AA:BB:0C\n")
    real.ask(f"MACCHANGE=1121 MACATUAL={OLD} MACFUTURO={NEW} SERVER=gv1p", "macchange")
    found = real.answer("macchange")
    assert ".result@" in found["Message-ID"]
    assert "80:5E:C0:DD:EE:1F" in (real.phones / "805ec0ddee1f.cfg").read_text()


def test_refusal_and_help(real: Real) -> None:
    real.ask("RAMAIS=12", "refused")
    assert ".refused@" in real.answer("refused")["Message-ID"]
    real.ask("AJUDA", "help")
    assert ".help@" in real.answer("help")["Message-ID"]


@pytest.mark.parametrize("point", ["flagged", "replying", "sent", "replied", "moved"])
def test_killed(real: Real, point: str) -> None:
    """The answer once; only between SMTP's 250 and the record perhaps twice, under one Message-ID."""
    failpoint = real.site.folder / "failpoint"
    failpoint.write_text(point)
    real.ask(RAMAIS, point)
    assert real.site.daemon.wait_end() == -signal.SIGKILL
    failpoint.write_text("")
    real.site.daemon.start()
    wait_until(
        lambda: real.inbox(point) and not real.imap.folder(),
        f"answered: {real.site.daemon.log_text()[-3000:]}",
    )
    wait_until(lambda: real.state() == "done", "done")
    found = real.inbox(point)
    assert len({each["Message-ID"] for each in found}) == 1
    assert len(found) == 1 or (point == "sent" and len(found) == 2)


def test_smtp_away(real: Real) -> None:
    real.smtp.stop()
    real.ask(RAMAIS, "smtp-away")
    real.site.daemon.says("is sent later")
    assert any(each["part"] == "answers" for each in real.site.daemon.problems())
    real.smtp.start()
    real.answer("smtp-away")


def test_ssh_away(real: Real) -> None:
    real.ssh.stop()
    real.ask("CHECKIP=203.0.113.9 SERVER=gv1p", "ssh-away")
    real.site.daemon.says("try 1 failed: gv1p")
    real.ssh.start()
    assert ".result@" in real.answer("ssh-away")["Message-ID"]


def test_a_changed_host_key_is_refused(real: Real) -> None:
    real.ssh.new_host_key()
    real.ssh.restart()
    real.ask("CHECKIP=203.0.113.9 SERVER=gv1p", "host-key")
    assert ".failed@" in real.answer("host-key")["Message-ID"]
    real.ssh.trust()


def test_imap_away(real: Real) -> None:
    real.imap.stop()
    real.site.daemon.says("the mailbox is not read, next try in")
    assert real.site.daemon.status()["mail"]["reading"] is False
    real.imap.start()
    real.ask(RAMAIS, "imap-away")
    real.answer("imap-away")
