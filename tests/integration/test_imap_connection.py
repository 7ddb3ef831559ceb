"""The connection to a real Dovecot: every way it fails, certificates, and the ways to log in."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from daemon.errors import TransientError
from daemon.mail.imap import ImapMailbox
from daemon.mail.imap_link import LoginRefused
from daemon.mail.oauth2 import TokenSource
from daemon.runtime.offload import Offload
from tests.integration.imap_parts import access, mail, open_box, told
from tests.integration.imap_parts import box as box
from tests.integration.imap_parts import offload as offload
from tests.integration.imap_parts import server as server
from tests.servers import certificate, dovecot
from tests.servers.dovecot import Dovecot
from tests.servers.tokens import TokenServer

WHY_NOT = dovecot.unavailable_reason()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture
def hurried(server: Dovecot, offload: Offload) -> Iterator[ImapMailbox]:
    """One that does not wait long for a server that hangs."""
    mailbox = open_box(server, offload, timeout=3.0)
    yield mailbox
    mailbox.close()


def failing(box: ImapMailbox, act: Callable[[], object], words: str) -> None:
    with pytest.raises(TransientError, match=words) as caught:
        act()
    assert "segredo" not in str(caught.value)
    assert box._link is None


def test_stopped_killed_and_hung(server: Dovecot, hurried: ImapMailbox) -> None:
    box = hurried
    server.deliver(mail(1))
    box.new()
    server.kill()
    failing(box, box.new, "broke off|closed")
    failing(box, box.new, "refuses the connection|broke off")
    box.wait(0.1, Event())  # without a connection it only waits
    server.start()
    assert told(box.new()) == ["n1"]
    server.freeze()
    failing(box, box.new, "did not answer within 3 s")
    server.thaw()
    assert told(box.new()) == ["n1"]
    server.stop()
    failing(box, lambda: box.wait(20, Event()), "goodbye|closed|broke off")
    server.start()
    assert told(box.new()) == ["n1"]


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_server_that_dies_while_we_idle(server: Dovecot, hurried: ImapMailbox, how: str) -> None:
    box = hurried
    box.new()
    threading.Timer(1.0, getattr(server, how)).start()
    failing(box, lambda: box.wait(60, Event()), "closed the connection|broke off|did not answer")
    server.thaw()


def test_cut_in_the_middle_of_a_fetch_and_25_megabytes(server: Dovecot, box: ImapMailbox) -> None:
    box.new()
    body = (b"0123456789" * 7 + b"\r\n") * (25 * 1024 * 1024 // 72)
    server.deliver(mail(1, body))
    cutter = threading.Timer(0.05, server.kill)
    cutter.start()

    def read_again_and_again() -> None:
        while True:
            box._kept.clear()
            box.new()

    with pytest.raises(TransientError):  # whichever step it is in
        read_again_and_again()
    cutter.join()
    server.start()
    (letter,) = box.new()
    assert letter.body_sha256 == hashlib.sha256(body.replace(b"\r\n", b"\n")).hexdigest()
    assert letter.size > len(body)


def test_wrong_password_wrong_certificate(server: Dovecot, offload: Offload, tmp_path: Path) -> None:
    given = {"folder": "INBOX", "done": "D", "aside": "A", "max_age": 9, "poll": 1.0, "offload": offload}
    box = ImapMailbox(replace(access(server), password="wrong-guess-99"), **given)  # type: ignore[arg-type]
    with pytest.raises(LoginRefused, match=r"refuses the login of monitor: correct mail\.imap"):
        box.new()
    with pytest.raises(LoginRefused, match="tried again in"):  # not at once: accounts get locked
        box.new()
    other = certificate.make(tmp_path).ca
    box = ImapMailbox(replace(access(server), ca_file=other), **given)  # type: ignore[arg-type]
    with pytest.raises(TransientError, match=r"certificate of IMAP .* mail\.imap\.ca_file"):
        box.new()
    box = ImapMailbox(replace(access(server), ca_file=None), **given)  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="is not trusted"):
        box.new()
    assert "wrong-guess" not in repr(access(server))


def test_starttls(server: Dovecot, offload: Offload) -> None:
    by_starttls = replace(access(server), tls=False, port=server.plain_port)
    box = ImapMailbox(
        by_starttls, folder="INBOX", done="Done", aside="Aside", max_age=9, poll=1.0, offload=offload
    )
    assert list(box.new()) == []
    assert "TLS" in server.log().rpartition("Login: user=<monitor>")[2]
    box.close()


def test_xoauth2(offload: Offload) -> None:
    with (
        TokenServer("monitor") as authority,
        Dovecot(introspection=f"{authority.url}/introspect?") as server,
    ):
        tokens = TokenSource(f"{authority.url}/token", "id", "client-pw", "refresh-me", "mail")
        box = ImapMailbox(
            replace(access(server), tokens=tokens, password=""),
            folder="INBOX",
            done="Done",
            aside="Aside",
            max_age=9,
            poll=1.0,
            offload=offload,
        )
        server.deliver(mail(1))
        assert told(box.new()) == ["n1"]
        assert authority.forms[0]["grant_type"] == ["refresh_token"]
        box.close()
        box.new()
        assert authority.given == 1  # kept
        box.close()
        authority.revoke()
        assert told(box.new()) == ["n1"]  # refused once, fetched anew
        assert authority.given == 2
        box.close()
        authority.revoke()
        authority.refuse = "invalid_grant"
        with pytest.raises(TransientError, match=r"invalid_grant.*authorise again") as caught:
            box.new()
        assert "refresh-me" not in str(caught.value)
