"""The mailbox over IMAP against a real Dovecot: what is seen, marked and moved."""

from __future__ import annotations

import hashlib
import threading
import time
from threading import Event

import imapclient
import pytest

from daemon.errors import TransientError
from daemon.mail import message
from daemon.mail.imap import ImapMailbox
from daemon.mail.sent import SentFolder
from daemon.runtime.offload import Offload
from tests.integration.imap_parts import access, mail, open_box, person, subjects, told
from tests.integration.imap_parts import box as box
from tests.integration.imap_parts import offload as offload
from tests.integration.imap_parts import server as server
from tests.servers import dovecot
from tests.servers.dovecot import Dovecot
from tests.servers.mails import invitation
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
    for mailbox in boxes:
        mailbox.close()


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
