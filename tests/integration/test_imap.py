"""The mailbox over IMAP against a real Dovecot: what is seen, marked, moved, and every way it fails."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import imapclient
import pytest

from daemon.errors import TransientError
from daemon.mail import message
from daemon.mail.imap import ImapMailbox
from daemon.mail.imap_link import Access, LoginRefused
from daemon.mail.oauth2 import TokenSource
from daemon.mail.sent import SentFolder
from daemon.runtime.offload import Offload
from tests.servers import certificate, dovecot
from tests.servers.dovecot import Dovecot
from tests.servers.mails import invitation
from tests.servers.tokens import TokenServer
from tests.servers.waiting import DEADLINE, wait_until

WHY_NOT = dovecot.unavailable_reason()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

NO_IDLE = "imap_capability = IMAP4rev1 UIDPLUS MOVE LITERAL+ NAMESPACE"
OLD = "imap_capability = IMAP4rev1"
PREFIX = "namespace inbox {\n  prefix = INBOX/\n}"
NO_MARKS = """\
mail_plugins = acl
plugin {
  acl = vfile:BASE/acl
}
"""


@pytest.fixture(scope="module")
def offload() -> Iterator[Offload]:
    pool = Offload(1)
    yield pool
    pool.close()


@pytest.fixture
def server() -> Iterator[Dovecot]:
    with Dovecot() as running:
        yield running


@pytest.fixture
def box(server: Dovecot, offload: Offload) -> Iterator[ImapMailbox]:
    mailbox = open_box(server, offload)
    yield mailbox
    mailbox.close()


@pytest.fixture
def hurried(server: Dovecot, offload: Offload) -> Iterator[ImapMailbox]:
    """One that does not wait long for a server that hangs."""
    mailbox = open_box(server, offload, timeout=3.0)
    yield mailbox
    mailbox.close()


def access(server: Dovecot, timeout: float = DEADLINE) -> Access:
    return Access(
        server.host, server.port, True, server.username, server.password, ca_file=server.ca, timeout=timeout
    )


def open_box(server: Dovecot, offload: Offload, timeout: float = DEADLINE, **other: object) -> ImapMailbox:
    given = {
        "folder": "INBOX",
        "done": "Done",
        "aside": "Aside",
        "max_age": 14,
        "poll": 0.2,
        "offload": offload,
        **other,
    }
    return ImapMailbox(access(server, timeout), **given)  # type: ignore[arg-type]


def mail(number: int, body: bytes = b"hello\r\n") -> bytes:
    return (
        b"From: person@example.com\r\nSubject: n%d\r\nMessage-ID: <%d@example.com>\r\n\r\n"
        % (
            number,
            number,
        )
        + body
    )


def subjects(found: dict[str, bytes]) -> list[str]:
    return sorted(
        line.partition(": ")[2].strip()
        for content in found.values()
        for line in content.decode("utf-8", "replace").splitlines()
        if line.startswith("Subject: ") and "ARIMONITOR" not in line
    )


def told(letters: object) -> list[str]:
    return subjects({str(at): letter.header for at, letter in enumerate(letters)})  # type: ignore[call-overload]


def person(server: Dovecot) -> imapclient.IMAPClient:
    """Somebody else's mail program on the same mailbox."""
    client = imapclient.IMAPClient(server.host, server.plain_port, ssl=False)
    client.login(server.username, server.password)
    client.select_folder("INBOX")
    return client


def test_a_mail_is_seen_hashed_and_moved(server: Dovecot, box: ImapMailbox) -> None:
    assert list(box.new()) == []
    server.deliver(mail(1, b"hello\r\nworld\r\n"))
    (letter,) = box.new()
    assert b"Subject: n1\r\n" in letter.header
    assert letter.header.endswith(b"\r\n\r\n")
    assert letter.body_sha256 == hashlib.sha256(b"hello\nworld\n").hexdigest()
    assert abs(letter.received - time.time()) < 60
    box.accepted(letter.uid)
    box.accepted(letter.uid)
    assert [each.uid for each in box.new()] == [letter.uid]  # accepted is not finished
    box.done(letter.uid)
    box.done(letter.uid)
    assert list(box.new()) == []
    assert server.folder() == {}
    assert subjects(server.folder("Done")) == ["n1"]
    (name,) = [name for name, content in server.folder("Done").items() if b"Subject: n1" in content]
    assert "S" in name.partition(":2,")[2]


def test_an_invitation_is_known_by_its_parts(server: Dovecot, box: ImapMailbox) -> None:
    server.deliver(invitation("RAMAIS=1121") + b"x" * 600_000)
    (letter,) = box.new()
    assert letter.parts == ("text/plain", "text/html", "text/calendar")
    assert message.read(letter).robot == "it is a report, a receipt or an invitation"


def test_idle_sees_a_delivery(server: Dovecot, box: ImapMailbox) -> None:
    box.new()
    came = Event()

    def wait() -> None:
        box.wait(4 * DEADLINE, Event())
        came.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    server.deliver(mail(1))
    assert came.wait(DEADLINE)
    waiter.join()
    assert told(box.new()) == ["n1"]


def test_what_came_before_the_wait_ends_it_at_once(server: Dovecot, box: ImapMailbox) -> None:
    box.new()
    server.deliver(mail(1))
    began = time.monotonic()
    box.wait(4 * DEADLINE, Event())
    assert time.monotonic() - began < DEADLINE
    assert told(box.new()) == ["n1"]


def test_stop_ends_the_wait_and_so_does_another_who_needs_the_mailbox(
    server: Dovecot, box: ImapMailbox
) -> None:
    server.deliver(mail(1))
    (letter,) = box.new()
    stop = Event()
    waiter = threading.Thread(target=box.wait, args=(4 * DEADLINE, stop))
    waiter.start()
    box.done(letter.uid)
    stop.set()
    waiter.join(DEADLINE)
    assert not waiter.is_alive()
    assert server.folder() == {}


@pytest.mark.parametrize(
    "capability", [NO_IDLE, OLD, NO_MARKS, PREFIX], ids=["no IDLE", "IMAP4rev1 alone", "no marks", "prefix"]
)
def test_servers_of_other_kinds(capability: str, offload: Offload) -> None:
    with Dovecot(capability) as server:
        box = open_box(server, offload)
        box.new()
        server.deliver(mail(1))
        server.deliver(mail(2))
        box.wait(5, Event())
        wait_until(lambda: told(box.new()) == ["n1", "n2"], "both are seen by polling")
        one, two = box.new()
        assert box.claim(one.uid) is (capability != NO_MARKS)
        assert box.claim(one.uid) is False
        box.done(one.uid)
        box.aside(two.uid, "no reason at all")
        assert list(box.new()) == []
        assert subjects(server.folder("Done")) == ["n1"]
        assert subjects(server.folder("Aside")) == ["n2"]
        box.close()


def test_of_two_who_claim_one_wins(server: Dovecot, offload: Offload) -> None:
    boxes = [open_box(server, offload), open_box(server, offload)]
    for number in range(20):
        server.deliver(mail(number))
    letters = [list(box.new()) for box in boxes]
    assert [each.uid for each in letters[0]] == [each.uid for each in letters[1]]
    won: list[list[bool]] = [[], []]

    def claim(which: int) -> None:
        for letter in letters[which]:
            won[which].append(boxes[which].claim(letter.uid))

    both = [threading.Thread(target=claim, args=(which,)) for which in (0, 1)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [a + b for a, b in zip(*won, strict=True)] == [1] * 20
    for box in boxes:
        box.close()


def test_aside_tells_why_once_and_back_in_the_inbox_it_is_tried_again(
    server: Dovecot, box: ImapMailbox
) -> None:
    box.new()
    server.deliver(mail(1))
    (letter,) = box.new()
    box.aside(letter.uid, "nobody could\r\nread: this")
    box.aside(letter.uid, "again")
    there = server.folder("Aside")
    assert subjects(there) == ["n1"]
    (note,) = [content for content in there.values() if b"why this mail was put aside" in content]
    assert b"nobody could read: this" in note
    assert b"In-Reply-To: <1@example.com>" in note
    with person(server) as client:
        client.select_folder("Aside")
        client.move(client.search(["SUBJECT", "n1"]), "INBOX")
    assert told(box.new()) == ["n1"]


def test_the_first_time_what_was_read_before_is_left_alone(server: Dovecot, offload: Offload) -> None:
    for number in (1, 2):
        server.deliver(mail(number))
    with person(server) as client:
        client.add_flags(client.search("ALL")[:1], [imapclient.SEEN])
        long_ago = time.localtime(time.time() - 30 * 86400)
        client.append("INBOX", mail(3), msg_time=__import__("datetime").datetime(*long_ago[:6]))
    box = open_box(server, offload)
    assert told(box.new()) == ["n2"]
    server.deliver(mail(4))
    with person(server) as client:  # read by a person before we saw it: ours all the same
        client.add_flags(client.search(["SUBJECT", "n4"]), [imapclient.SEEN])
    assert told(box.new()) == ["n2", "n4"]
    box.close()
    again = open_box(server, offload)  # the other host, or the next start: the moment is kept in the mailbox
    assert told(again.new()) == ["n2", "n4"]
    again.close()
    assert subjects(server.folder()) == ["n1", "n2", "n3", "n4"]


def test_marked_as_done_and_not_moved_by_a_crash(server: Dovecot, box: ImapMailbox) -> None:
    box.new()
    for number in (1, 2):
        server.deliver(mail(number))
    with person(server) as client:
        uids = client.search("ALL")
        client.add_flags(uids, ["$arimonitor-done"])
        client.copy(uids[:1], "Done")  # and one was copied already
    assert list(box.new()) == []
    assert server.folder() == {}
    assert subjects(server.folder("Done")) == ["n1", "n2"]


def test_another_mail_under_the_same_message_id_is_not_lost(server: Dovecot, box: ImapMailbox) -> None:
    box.new()
    server.deliver(mail(1))
    box.done(box.new()[0].uid)
    server.deliver(mail(1, b"something else\r\n"))
    with person(server) as client:
        client.add_flags(client.search("ALL"), ["$arimonitor-done"])
    assert list(box.new()) == []
    assert subjects(server.folder("Done")) == ["n1", "n1"]


def test_a_new_uidvalidity(server: Dovecot, box: ImapMailbox) -> None:
    server.deliver(mail(1))
    (letter,) = box.new()
    server.stop()
    for name in ("dovecot-uidlist", "dovecot.index", "dovecot.index.log", "dovecot.index.cache"):
        (server.base / "mail" / "monitor" / name).unlink(missing_ok=True)
    names = server.base / "mail" / "monitor" / "dovecot-uidvalidity"
    names.unlink(missing_ok=True)
    for each in names.parent.glob("dovecot-uidvalidity.*"):
        each.unlink()
    wait_until(lambda: int(time.time()) > int(letter.uid.partition(".")[0]) + 1, "another second")
    server.start()
    with pytest.raises(TransientError):
        box.new()
    (again,) = box.new()
    assert again.uid != letter.uid
    assert again.body_sha256 == letter.body_sha256
    box.done(letter.uid)  # names nothing any more
    assert told(box.new()) == ["n1"]
    box.done(again.uid)
    assert server.folder() == {}


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


def test_copies_of_what_was_sent(server: Dovecot) -> None:
    folder = SentFolder(access(server), "Sent")
    assert folder.has("<1@example.com>") is False
    folder.keep("<1@example.com>", mail(1))
    folder.keep("<1@example.com>", mail(1))
    assert folder.has("<1@example.com>") is True
    assert subjects(server.folder("Sent")) == ["n1"]
    server.kill()
    with pytest.raises(TransientError):
        folder.has("<1@example.com>")
