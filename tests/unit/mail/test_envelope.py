"""An answer as a mail: addresses, threading, nothing foreign in a header, the same bytes again."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mail.envelope import People, Thread, compose, message_id, reply_subject
from daemon.mail.model import Answer

NOW = datetime(2025, 10, 27, 11, 0, tzinfo=UTC)
PEOPLE = People("arimonitor@example.com", "admin@example.com")


def made(**other: Any) -> Answer:
    given = {
        "to": ("admin@example.com",),
        "copy": ("person@example.com",),
        "thread": Thread("RAMAIS=1121", "<a@example.com>", ""),
        "plain": "Olá\n",
        "html": "<p>Olá</p>",
        "language": "pt_BR",
        "now": NOW,
        **other,
    }
    return compose("result", "20251027_110000_1a2b3c4d", PEOPLE, **given)


def parsed(answer: Answer) -> EmailMessage:
    mail = email.message_from_bytes(answer.data, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_the_headers() -> None:
    answer = made()
    assert answer.message_id == "<20251027_110000_1a2b3c4d.result@example.com>"
    assert answer.to == ("admin@example.com", "person@example.com")
    head = answer.data.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")
    assert "From: ARIMONITOR <arimonitor@example.com>" in head
    assert "To: admin@example.com" in head
    assert "Cc: person@example.com" in head
    assert "Subject: Re: RAMAIS=1121" in head
    assert "Date: Mon, 27 Oct 2025 11:00:00 +0000" in head
    assert "In-Reply-To: <a@example.com>" in head
    assert "References: <a@example.com>" in head
    assert "Auto-Submitted: auto-replied" in head
    assert answer.data.count(b"\n") == answer.data.count(b"\r\n")


def test_both_forms_are_there() -> None:
    mail = parsed(made())
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]  # type: ignore[attr-defined]
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (plain.get_content(), html.get_content()) == ("Olá\r\n", "<p>Olá</p>\r\n")


def test_the_same_again() -> None:
    assert made().data == made().data


def test_a_long_thread_stays_in_one_line() -> None:
    ids = [f"<{number}.{'x' * 60}@example.com>" for number in range(40)]
    answer = made(thread=Thread("x", ids[-1], "\r\n ".join(ids)))
    (line,) = [each for each in answer.data.split(b"\r\n") if each.startswith(b"References:")]
    kept = line.decode().split()[1:]
    assert len(line) < 998
    assert (kept[0], kept[-1]) == (ids[0], ids[-1])
    assert kept[1:] == ids[-len(kept) + 1 :]


@pytest.mark.parametrize(
    "bad", ["", "no brackets", "<a b@example.com>", "<a@example.com>\r\nBcc: x@example.com"]
)
def test_a_bad_message_id_threads_nothing(bad: str) -> None:
    mail = parsed(made(thread=Thread("x", bad, "")))
    assert mail["In-Reply-To"] is None
    assert mail["Bcc"] is None


@given(st.text(max_size=600), st.text(max_size=300), st.text(max_size=600))
def test_nothing_foreign_makes_a_header(subject: str, name: str, references: str) -> None:
    answer = made(thread=Thread(subject, name, references))
    head = answer.data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    known = (
        b"From: To: Cc: Subject: Date: Message-ID: In-Reply-To: References: Auto-Submitted: "
        b"X-Auto-Response-Suppress: Content-Language: MIME-Version: Content-Type:"
    ).split()
    for line in head:
        assert line[:1] in (b" ", b"\t") or line.split(b" ")[0] in known
        assert len(line) <= 998
    assert all(byte < 128 for byte in answer.data)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("RAMAIS=1121", "Re: RAMAIS=1121"),
        ("Re: RAMAIS=1121", "Re: RAMAIS=1121"),
        ("  gravações\u00a0 de\thoje ", "Re: gravações de hoje"),
        ("", "Re: ARIMONITOR"),
        ("a\r\nBcc: b@example.com", "Re: a Bcc: b@example.com"),
        ("x" * 500, "Re: " + "x" * 400),
    ],
)
def test_subjects(subject: str, expected: str) -> None:
    assert reply_subject(subject) == expected
    assert parsed(made(thread=Thread(subject)))["Subject"] == expected


@pytest.mark.parametrize("address", ["", "no address", "a@b\r\nBcc: c@d", "a b@example.com"])
def test_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="no mail address"):
        made(to=(address,))


def test_a_name_of_any_request() -> None:
    assert message_id("test <x>@y/../z", "failed", PEOPLE) == "<test__x__y_.._z.failed@example.com>"
