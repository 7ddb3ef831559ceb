"""Answers over SMTP against a real Postfix, and against a fake one for what Postfix can't be made to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.errors import PermanentError, TransientError
from daemon.mail.envelope import People, compose
from daemon.mail.imap_link import Access
from daemon.mail.model import Answer, PutOff
from daemon.mail.oauth2 import TokenSource
from daemon.mail.sent import SentFolder
from daemon.mail.smtp import ServerRefused, SmtpAccess, SmtpWayOut
from daemon.preflight.mail import mail_checks
from daemon.preflight.report import Check
from daemon.settings import Settings
from tests.servers import certificate, dovecot, postfix
from tests.servers.dovecot import Dovecot
from tests.servers.fake_smtp import FakeSmtp
from tests.servers.ports import free_port
from tests.servers.postfix import Postfix
from tests.servers.tokens import TokenServer
from tests.servers.waiting import DEADLINE, wait_until

WHY_NOT = dovecot.unavailable_reason() or postfix.unavailable_reason()
real = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
NOW = datetime(2025, 10, 27, 11, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def imap() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


@pytest.fixture(scope="module")
def smtp(imap: Dovecot) -> Iterator[Postfix]:
    with Postfix(imap, limit=2_000_000) as server:
        yield server


def answer(name: str, *to: str, plain: str = "oi") -> Answer:
    return compose(
        "result",
        name,
        People("arimonitor@example.com"),
        to=to,
        subject=name,
        plain=plain,
        html=f"<p>{plain}</p>",
        language="pt_BR",
        now=NOW,
    )


def access(server: Postfix) -> SmtpAccess:
    return SmtpAccess(
        server.host, server.port, True, server.username, server.password, ca_file=server.ca, timeout=DEADLINE
    )


def arrived(imap: Dovecot, name: str, user: str = "monitor") -> list[bytes]:
    return [content for content in imap.folder(user=user).values() if f"<{name}.result@".encode() in content]


def to_fake(server: FakeSmtp, timeout: float = DEADLINE) -> SmtpWayOut:
    return SmtpWayOut(SmtpAccess(server.host, server.port, False, "", "", timeout=timeout))


@real
@pytest.mark.parametrize("which", ["STARTTLS", "TLS"])
def test_it_arrives(imap: Dovecot, smtp: Postfix, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = access(smtp)
    if which == "TLS":
        monkeypatch.setattr("daemon.mail.smtp.TLS_FROM_THE_START", smtp.tls_port)
        given = replace(given, port=smtp.tls_port)
    out = SmtpWayOut(given)
    for number in range(3):  # a burst over one connection
        out.send(answer(f"{which}-{number}", "monitor@example.com"))
    out.close()
    (mail,) = wait_until(lambda: arrived(imap, f"{which}-2"), "it is delivered")
    assert b"Return-Path: <>" in mail
    assert b"Auto-Submitted: auto-generated" in mail
    assert smtp.log().count("connect from localhost") >= 1


@real
def test_a_copy_is_kept_and_tells_that_it_was_sent(imap: Dovecot, smtp: Postfix) -> None:
    box = Access(imap.host, imap.port, True, imap.username, imap.password, ca_file=imap.ca, timeout=DEADLINE)
    out = SmtpWayOut(access(smtp), SentFolder(box, "Sent"))
    mail = answer("kept", "monitor@example.com")
    assert out.sent(mail.message_id) is False
    out.send(mail)
    assert out.sent(mail.message_id) is True
    assert [content for content in imap.folder("Sent").values() if b"<kept.result@" in content]
    nowhere = SmtpWayOut(access(smtp), SentFolder(replace(box, port=free_port()), "Sent"))
    assert nowhere.sent(mail.message_id) is None
    nowhere.send(answer("no copy", "monitor@example.com"))  # the copy fails, the mail does not
    assert SmtpWayOut(access(smtp)).sent(mail.message_id) is None
    out.close()


@real
def test_one_recipient_refused_for_good(imap: Dovecot, smtp: Postfix) -> None:
    out = SmtpWayOut(access(smtp))
    out.send(answer("admin-gone", "unknown@example.com", "monitor@example.com"))
    wait_until(lambda: arrived(imap, "admin-gone"), "the requester has it")
    with pytest.raises(PermanentError, match=r"refuses unknown@.*: 550"):
        out.send(answer("nobody", "unknown@example.com"))
    out.close()


@real
def test_one_recipient_put_off(imap: Dovecot, smtp: Postfix) -> None:
    out = SmtpWayOut(access(smtp))
    mail = answer("admin-later", "later@example.com", "monitor@example.com")
    for _ in range(3):
        with pytest.raises(PutOff, match=r"puts off later@.*: 450"):
            out.send(mail)
    wait_until(lambda: arrived(imap, "admin-later"), "the requester has it")
    out.send(answer("after", "monitor@example.com"))
    wait_until(lambda: arrived(imap, "after"), "what was sent later")
    assert len(arrived(imap, "admin-later")) == 1  # not again at each try
    out.close()


@real
def test_login_certificate_and_size(smtp: Postfix, tmp_path: Path) -> None:
    with pytest.raises(ServerRefused, match=r"refuses the login of monitor: correct mail\.smtp") as caught:
        SmtpWayOut(replace(access(smtp), password="wrong-guess-99")).probe()
    assert "wrong-guess" not in f"{caught.value}{access(smtp)!r}"
    other = certificate.make(tmp_path).ca
    with pytest.raises(ServerRefused, match=r"certificate of SMTP .* mail\.smtp\.ca_file"):
        SmtpWayOut(replace(access(smtp), ca_file=other)).probe()
    with pytest.raises(PermanentError, match="takes 2000000 bytes"):
        SmtpWayOut(access(smtp)).send(answer("big", "monitor@example.com", plain="x" * 1_500_000))
    with pytest.raises(TransientError, match="refuses the connection"):
        SmtpWayOut(replace(access(smtp), port=free_port())).probe()


@real
def test_login_by_token() -> None:
    with (
        TokenServer("monitor") as authority,
        Dovecot(introspection=f"{authority.url}/introspect?") as imap,
        Postfix(imap) as smtp,
    ):
        tokens = TokenSource(f"{authority.url}/token", "id", "client-pw")
        out = SmtpWayOut(replace(access(smtp), password="", tokens=tokens))
        out.probe()
        assert authority.forms[0]["grant_type"] == ["client_credentials"]
        authority.revoke()
        out.send(answer("by-token", "monitor@example.com"))
        assert authority.given == 2
        out.close()


@pytest.mark.parametrize(
    ("faults", "error", "words"),
    [
        ({"greet": "cut"}, TransientError, "broke off"),
        ({"greet": "silence"}, TransientError, "did not answer within 1 s"),
        ({"greet": "554 go away"}, TransientError, "554 go away"),
        ({"mail": "451 busy"}, ServerRefused, "451 busy"),
        ({"mail": "553 not your address"}, ServerRefused, "553 not your address"),
        ({"mail": "552 too much"}, PermanentError, "too large"),
        ({"rcpt": "421 closing"}, TransientError, "421|closing|broke off"),
        ({"rcpt": "450 greylisted"}, PutOff, "puts off monitor@example.com: 450 greylisted"),
        ({"rcpt": "550 unknown"}, PermanentError, "refuses monitor@example.com: 550 unknown"),
        ({"data": "cut"}, TransientError, "broke off"),
        ({"data-end": "451 try later"}, PutOff, "451 try later"),
        ({"data-end": "421 closing"}, TransientError, "broke off"),
        ({"data-end": "554 looks like spam"}, PermanentError, "554 looks like spam"),
        ({"data-end": "cut"}, TransientError, "broke off"),
        ({"data-end": "silence"}, TransientError, "did not answer within 1 s"),
    ],
)
def test_what_goes_wrong_on_the_way(faults: dict[str, str], error: type[Exception], words: str) -> None:
    with FakeSmtp(faults) as server:
        out = to_fake(server, 1.0 if "1 s" in words else DEADLINE)
        with pytest.raises(error, match=words) as caught:
            out.send(answer("x", "monitor@example.com"))
        assert isinstance(caught.value, TransientError) is (error is not PermanentError)
        assert isinstance(caught.value, PutOff) is (error is PutOff)
        server.faults.clear()
        wait_until(lambda: sent(out, server), "the next try, over another connection")
        out.close()


def sent(out: SmtpWayOut, server: FakeSmtp) -> bool:
    """Try it; False: not in time."""
    try:
        out.send(answer("x", "monitor@example.com"))
    except TransientError as error:
        if "did not answer within 1 s" not in str(error):
            raise
        return False
    assert b"<x.result@example.com>" in server.mails[-1]
    return True


def test_a_big_result_and_lines_that_begin_with_a_dot() -> None:
    with FakeSmtp() as server:
        out = to_fake(server)
        mail = answer("dots", "monitor@example.com", plain=".\n..x\n" + "y" * 300_000)
        out.send(mail)
        assert server.mails[0].replace(b"\r\n..", b"\r\n.").replace(b"\r\n", b"\n").strip() == (
            mail.data.replace(b"\r\n", b"\n").strip()
        )
        assert server.connections == 1
        out.close()


def test_a_password_is_not_sent_unencrypted() -> None:
    with FakeSmtp() as server:
        out = SmtpWayOut(SmtpAccess(server.host, server.port, True, "monitor", "pw", timeout=DEADLINE))
        with pytest.raises(ServerRefused, match="STARTTLS"):
            out.probe()


@real
def test_what_check_says(imap: Dovecot, smtp: Postfix, tmp_path: Path) -> None:
    def found(**other: object) -> dict[str, Check]:
        mail = {
            "inbox": "imap",
            "outbox": "smtp",
            "imap": {
                "host": imap.host,
                "port": imap.port,
                "username": imap.username,
                "password": imap.password,
                "ca_file": str(imap.ca),
                **other,
            },
            "smtp": {
                "host": smtp.host,
                "port": smtp.port,
                "username": smtp.username,
                "password": smtp.password,
                "ca_file": str(smtp.ca),
                "from": "arimonitor@example.com",
            },
        }
        return {each.what: each for each in mail_checks(Settings.model_validate({"mail": mail}))}

    well = found()
    assert (well["IMAP"].result, well["SMTP"].result) == ("ok", "ok")
    assert "IDLE" in well["IMAP"].reason
    wrong = found(password="wrong-guess-99")["IMAP"]
    assert (wrong.result, "refuses the login of monitor" in wrong.reason) == ("FAILS", True)
    folder = found(folder="Pedidos")["IMAP"]
    assert (folder.result, "opening the folder Pedidos" in folder.reason) == ("FAILS", True)
