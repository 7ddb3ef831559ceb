"""A mail's facts: headers in every encoding, its id, its thread."""
# ruff: noqa: E501 - tables: one row, one line

from __future__ import annotations

import pytest

from daemon.mail import headers
from daemon.mail.addresses import sender_of
from daemon.mail.message import letter_of, part_types, read
from tests.unit.mail.letters import PLAIN, RECEIVED, incoming, letter

DECODED = [
    (b"RAMAIS=1121", "RAMAIS=1121"),
    ("INÍCIO".encode(), "INÍCIO"),
    ("INÍCIO".encode("latin-1"), "INÍCIO"),
    (b"=?UTF-8?Q?IN=C3=8DCIO=3D27/10/2025?=", "INÍCIO=27/10/2025"),
    (b"=?utf-8?q?RAMAIS=3D1121_INICIO=3D27/10/2025?=", "RAMAIS=1121 INICIO=27/10/2025"),
    (b"=?UTF-8?B?UkFNQUlTPTExMjE=?=", "RAMAIS=1121"),
    (b"=?UTF-8?B?UkFNQUlTPTExMjE?=", "RAMAIS=1121"),
    (b"=?ISO-8859-1?Q?IN=CDCIO?=", "INÍCIO"),
    (b"=?windows-1252?Q?=93x=94?=", "“x”"),
    (b"=?iso-8859-15?B?zQ==?=", "Í"),
    (b"=?utf-8*pt-br?Q?IN=C3=8DCIO?=", "INÍCIO"),
    # blanks between two encoded words are no part of the text, others are
    (b"=?utf-8?Q?RAM?= =?utf-8?Q?AIS?=", "RAMAIS"),
    (b"=?utf-8?Q?RAMAIS=3D1121_?= INICIO", "RAMAIS=1121  INICIO"),
    (b"a =?utf-8?Q?b?= c", "a b c"),
    # a letter cut in two
    (b"=?utf-8?B?SU7D?= =?utf-8?B?jUNJTw==?=", "INÍCIO"),
    # two character sets
    (b"=?utf-8?Q?=C3=8D?= =?iso-8859-1?Q?=CD?=", "ÍÍ"),
    # what can't be right is read as it can be
    (b"=?utf-8?Q?=CD?=", "Í"),
    (b"=?us-ascii?Q?=C3=8D?=", "Í"),
    (b"=?no-such-set?Q?=C3=8D?=", "Í"),
    (b"=?zip?B?UkFN?=", "RAM"),
    (b"=?idna?Q?xn--a?=", "xn--a"),
    (b"=?utf-8?Q?RAMAIS", "=?utf-8?Q?RAMAIS"),
    (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
    (b"=?utf-8?B?!!!?=", ""),
    (b"=?utf-8?Q?=0D=0ABcc:_x?=", "\r\nBcc: x"),
    (b"\0RAMAIS\0", "RAMAIS"),
    (b"", ""),
]


@pytest.mark.parametrize(("value", "text"), DECODED)
def test_decoded(value: bytes, text: str) -> None:
    assert headers.decoded(value) == text


def test_fields_are_unfolded_whatever_the_line_ends() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        block = headers.fields(
            end.join((b"Subject: RAMAIS=1121", b"\t INICIO=x", b"  ", b"X-A:y", b"", b"Z: no"))
        )
        assert block == (("subject", b"RAMAIS=1121 INICIO=x"), ("x-a", b"y"))


def test_lines_that_are_no_fields_are_left_out() -> None:
    block = headers.fields(
        b" begins folded\nFrom person@example.com Sat\nno colon\nSub ject: x\n: y\nA : z\n"
    )
    assert block == (("a", b"z"),)


FROM = [
    (["person@example.com"], "person@example.com"),
    (["Person <person@example.com>"], "person@example.com"),
    (["Person@EXAMPLE.com"], "person@example.com"),
    (['"Person, A. (B) <x@example.net>" <person@example.com>'], "person@example.com"),
    (["=?utf-8?Q?Jo=C3=A3o?= <person@example.com>"], "person@example.com"),
    (["João <person@example.com>"], "person@example.com"),
    (["person@example.com (Person, the first)"], "person@example.com"),
    (["(a (nested) comment) person@example.com"], "person@example.com"),
    ([' "a \\" quote" <person@example.com> '], "person@example.com"),
    (["person+tag@example.com"], "person+tag@example.com"),
    # nobody's: none, several, a group, a trailing dot, anything odd
    ([], ""),
    (["person@example.com", "person@example.com"], ""),
    (["person@example.com, other@example.net"], ""),
    (["<person@example.com> <other@example.net>"], ""),
    (["person@example.com <other@example.net>, x"], ""),
    (["Group: person@example.com;"], ""),
    (["undisclosed-recipients:;"], ""),
    (["person@example.com."], ""),
    (["person@example.com.", "x"], ""),
    (["<person@example.com>."], ""),
    (["person@example.com other@example.net"], ""),
    (["<@route.example.net:person@example.com>"], ""),
    (['"person"@example.com'], ""),
    (["person@"], ""),
    (["@example.com"], ""),
    (["person@@example.com"], ""),
    (["person@exa mple.com"], ""),
    (["person@example..com"], ""),
    (["person@-example.com"], ""),
    (["person@[203.0.113.7]"], ""),
    (["person@example.com\x00"], ""),
    (["<person@example.com"], ""),
    (['"open <person@example.com>'], ""),
    (["(open person@example.com"], ""),
    ([""], ""),
    (["=?utf-8?Q?person=40example.com?="], ""),
    # the one in angle brackets counts, not the one in the name
    (["person@example.com <other@example.net>"], "other@example.net"),
    (['"person@example.com" <other@example.net>'], "other@example.net"),
    # the Kelvin sign is no k, and does not become one
    (["\u212aate@example.com"], ""),
    (["joão@example.com"], ""),
]


@pytest.mark.parametrize(("values", "sender"), FROM)
def test_exactly_one_from_with_one_address(values: list[str], sender: str) -> None:
    assert sender_of(values) == sender


def test_a_plain_mail() -> None:
    mail = incoming()
    assert (mail.sender, mail.subjects, mail.message_id) == ("person@example.com", 1, "<a1@example.com>")
    assert mail.subject == "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
    assert mail.received.isoformat() == "2025-11-01T15:00:00+00:00"
    assert (mail.robot, mail.too_big) == ("", False)


DATES = [
    ("Mon, 27 Oct 2025 08:00:00 -0300", "20251027_110000"),
    ("27 Oct 2025 11:00:00 GMT", "20251027_110000"),
    ("Mon, 27 Oct 2025 11:00:00 -0000", "20251027_110000"),
    ("Mon, 27 Oct 2025 11:00:00", "20251027_110000"),
    ("Mon, 27 Oct 2025 11:00:00 +0000 (UTC)", "20251027_110000"),
    ("Mon, 27 Oct 2025 23:30:00 -0300", "20251028_023000"),
    ("", "00000000_000000"),
    ("yesterday", "00000000_000000"),
    ("Mon, 99 Oct 2025 08:00:00 -0300", "00000000_000000"),
    ("Mon, 27 Oct 99999 08:00:00 -0300", "00000000_000000"),
    ("Fri, 31 Dec 9999 23:59:59 -0300", "00000000_000000"),
    ("x" * 300, "00000000_000000"),
]


@pytest.mark.parametrize(("date", "stamp"), DATES)
def test_the_id_begins_with_the_date_in_utc(date: str, stamp: str) -> None:
    mail = incoming(PLAIN.replace("Mon, 27 Oct 2025 08:00:00 -0300", date))
    assert mail.request_id[:15] == stamp
    assert len(mail.request_id) == 24
    assert set(mail.request_id[16:]) <= set("0123456789abcdef")


def test_the_same_mail_makes_the_same_id_wherever_it_lies() -> None:
    here = letter(PLAIN, b"body\n", uid="1.1")
    copied = letter_of(
        "7.99", ("Received: by mx.example.com\n" + PLAIN + "\nbody\n").replace("\n", "\r\n").encode(), 0.0
    )
    assert read(here).request_id == read(copied).request_id
    undated = PLAIN.replace("Date:", "X-Date:")
    assert incoming(undated).request_id == read(letter_of("2", undated.encode() + b"\n", 5.0)).request_id


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<a1@", "<a2@"),
        ("08:00:00 -0300", "08:00:01 -0300"),
        ("Person <person", "Person <tech"),
        ("Person <", "Another <"),
        ("RAMAIS=1121", "RAMAIS=1122"),
    ],
)
def test_other_content_or_another_sender_is_another_request(old: str, new: str) -> None:
    assert incoming(PLAIN).request_id != incoming(PLAIN.replace(old, new)).request_id


def test_another_body_is_another_request() -> None:
    assert incoming(PLAIN, b"a").request_id != incoming(PLAIN, b"b").request_id


def test_without_a_message_id_the_same_bytes_are_the_same_mail() -> None:
    bare = PLAIN.replace("Message-ID", "X-Message-ID")
    assert incoming(bare).request_id == incoming(bare.replace("\n", "\r\n")).request_id
    assert incoming(bare).request_id != incoming("X-Other: 1\n" + bare).request_id


THREADS = [
    ("", "<a1@example.com>"),
    ("In-Reply-To: <p@example.com>\n", "<p@example.com> <a1@example.com>"),
    (
        "References: <r1@example.com>\n\t<r2@example.com>\n",
        "<r1@example.com> <r2@example.com> <a1@example.com>",
    ),
    ("References: <r1@example.com>\nIn-Reply-To: <p@example.com>\n", "<r1@example.com> <a1@example.com>"),
    (
        "References: <r1@example.com> junk <r1@example.com> <a1@example.com>\n",
        "<r1@example.com> <a1@example.com>",
    ),
    ("References: <no at sign> <a b@example.com>\nIn-Reply-To: text\n", "<a1@example.com>"),
]


@pytest.mark.parametrize(("lines", "references"), THREADS)
def test_references_thread_the_answer(lines: str, references: str) -> None:
    assert incoming(PLAIN + lines).references == references


def test_very_many_references_are_cut_in_the_middle() -> None:
    ids = [f"<{number}@example.com>" for number in range(100)]
    found = incoming(PLAIN + "References: " + "\n ".join(ids) + "\n").references.split()
    assert found == ["<0@example.com>", *ids[81:], "<a1@example.com>"]


@pytest.mark.parametrize(
    "value", ["a1@example.com", "<a1>", "<a1@example.com\x07>", "<" + "a" * 500 + "@x>", ""]
)
def test_a_message_id_that_fits_no_header_threads_nothing(value: str) -> None:
    mail = incoming(PLAIN.replace("<a1@example.com>", value))
    assert (mail.message_id, mail.references) == ("", "")


def test_a_header_that_is_too_big_is_not_looked_into() -> None:
    for header in (
        PLAIN + "X-A: b\n" * 1_000,
        PLAIN + "X-A: " + "b" * 100_000 + "\n",
        PLAIN + "Subject: " + "\n x" * 1_000 + "\n",
    ):
        mail = incoming(header)
        assert (mail.too_big, mail.sender, mail.subject) == (True, "", "")


def test_a_big_header_within_the_limits_is_read() -> None:
    mail = incoming(PLAIN + "X-A: b\n" * 996)
    assert (mail.too_big, mail.sender) == (False, "person@example.com")
    mail = incoming(PLAIN + "X-A: " + "b" * 99_000 + "\n")
    assert (mail.too_big, mail.sender) == (False, "person@example.com")


def test_no_repr_shows_a_subject() -> None:
    assert "1A2B3C4D" not in repr(incoming(PLAIN.replace("RAMAIS", "[1A2B3C4D] RAMAIS")))


def test_the_letter_of_a_whole_mail() -> None:
    made = letter_of("u", b"A: b\r\n\r\nbody\r\n", RECEIVED)
    same = letter_of("u", b"A: b\n\nbody\n", RECEIVED)
    assert made == same
    assert (made.header, made.parts) == (b"A: b", ())
    assert letter_of("u", b"", RECEIVED).header == b""
    assert letter_of("u", b"\nbody only", RECEIVED).header == b""
    assert letter_of("u", b"A: b", RECEIVED).header == b"A: b"


def test_the_types_of_a_bodys_parts() -> None:
    body = b"--x\nContent-Type: text/plain; charset=utf-8\n\nhi\n--x\ncontent-type: TEXT/Calendar; method=REQUEST\n"
    assert part_types(b"Content-Type:\r\n text/Calendar; method=REQUEST\r\n") == ("text/calendar",)
    assert part_types(body) == ("text/plain", "text/calendar")
    assert len(part_types(b"Content-Type: a/b\n" * 500)) == 50
