"""The embedded mailbox: maildirs, read and written by us and by others at once."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from daemon.errors import TransientError
from daemon.mail import message
from daemon.mail.maildir import MaildirBox, MaildirWayOut
from daemon.mail.model import Answer
from daemon.runtime.offload import Offload
from tests.servers.mails import invitation


@pytest.fixture
def box(tmp_path: Path) -> Iterator[MaildirBox]:
    pool = Offload(1)
    yield MaildirBox(tmp_path / "inbox", pool)
    pool.close()


def put(box: MaildirBox, name: str, data: bytes, sub: str = "new", age: float = 0) -> None:
    box.new()
    path = box.folder / "tmp" / name
    path.write_bytes(data)
    os.utime(path, (1_761_562_800 - age, 1_761_562_800 - age))
    path.rename(box.folder / sub / name)


def names(folder: Path) -> list[str]:
    return sorted(each.name for sub in ("new", "cur") for each in (folder / sub).iterdir())


def test_new_read_or_not_oldest_first(box: MaildirBox) -> None:
    assert list(box.new()) == []
    put(box, "2.b", b"Subject: b\n\nhello\nworld\n", age=10)
    put(box, "1.a:2,S", b"Subject: a\r\nX: y\r\n\r\nhello\r\nworld\r\n", sub="cur", age=20)
    put(box, "3.c:2,ST", b"Subject: deleted\n\n", sub="cur")
    one, two = box.new()
    assert (one.uid, two.uid) == ("1.a", "2.b")
    assert one.header == b"Subject: a\r\nX: y\r\n\r\n"
    assert one.body_sha256 == two.body_sha256 == hashlib.sha256(b"hello\nworld\n").hexdigest()
    assert (two.received, two.size) == (1_761_562_790, 24)


def test_an_invitation_is_known_by_its_parts(box: MaildirBox) -> None:
    put(box, "1.a", invitation("RAMAIS=1121"))
    (letter,) = box.new()
    assert letter.parts == ("text/plain", "text/html", "text/calendar")
    assert message.read(letter).robot == "it is a report, a receipt or an invitation"


@pytest.mark.parametrize("data", [b"", b"Subject: x", b"\n", b"\n\nbody", b"Subject: x\n\n"])
def test_odd_mails_are_read(box: MaildirBox, data: bytes) -> None:
    put(box, "1.a", data)
    (letter,) = box.new()
    assert data.startswith(letter.header)


def test_done_and_aside_repeated_harmlessly(box: MaildirBox) -> None:
    put(box, "1.a", b"Message-ID: <1@example.com>\n\n", age=2)
    put(box, "2.b", b"Message-ID: <2@example.com>\n\n")
    for _ in range(2):
        box.accepted("1.a")
        assert [each.uid for each in box.new()] == ["1.a", "2.b"]
    for _ in range(2):
        box.done("1.a")
        box.aside("2.b", "the body\nis broken")
    assert list(box.new()) == []
    assert names(box.folder / ".Done") == ["1.a:2,S"]
    assert len(names(box.folder / ".Aside")) == 2
    (note,) = (box.folder / ".Aside" / "new").iterdir()
    assert b"the body is broken" in note.read_bytes()
    assert b"In-Reply-To: <2@example.com>" in note.read_bytes()


@pytest.mark.parametrize("uid", ["", "../../etc/passwd", "a/b", ".hidden", "a\0b"])
def test_a_name_is_never_a_path(box: MaildirBox, uid: str) -> None:
    with pytest.raises(ValueError, match="no name of a mail"):
        box.done(uid)


def test_waiting(box: MaildirBox) -> None:
    stop = Event()
    box.new()
    box.wait(0.05, stop)
    threading.Timer(0.1, put, (box, "1.a", b"x\n\n")).start()
    box.wait(30, stop)
    assert [each.uid for each in box.new()] == ["1.a"]
    threading.Timer(0.1, stop.set).start()
    box.wait(30, stop)
    assert stop.is_set()


def test_a_folder_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "inbox").write_text("no folder")
    pool = Offload(1)
    with pytest.raises(TransientError, match=r"the maildir .* can't be used"):
        MaildirBox(tmp_path / "inbox", pool).new()
    pool.close()


def test_answers_once_each(tmp_path: Path) -> None:
    out = MaildirWayOut(tmp_path / "outbox")
    mail = Answer("<1.result@example.com>", "result", ("person@example.com",), b"Subject: x\r\n\r\nhello")
    assert out.sent(mail.message_id) is False
    out.send(mail)
    out.send(mail)
    assert out.sent(mail.message_id) is True
    (file,) = (out.folder / "new").iterdir()
    assert file.read_bytes() == mail.data
    assert file.stat().st_mode & 0o777 == 0o640
    file.rename(out.folder / "cur" / f"{file.name}:2,S")  # somebody read it
    out.send(mail)
    assert out.sent(mail.message_id) is True
    assert len(names(out.folder)) == 1
    assert list((out.folder / "tmp").iterdir()) == []
