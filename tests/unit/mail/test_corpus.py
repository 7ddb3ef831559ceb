"""Every mail of the corpus, with LF and with CR LF, leads to what its line says; and big ones, made here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from daemon.mail.intake import Accept, Help, Ignore, Refuse, decide
from daemon.mail.message import letter_of, read
from daemon.mail.reasons import sentence
from tests.unit.mail.corpus import FAMILIES, Mail, mails
from tests.unit.mail.letters import RECEIVED
from tests.unit.mail.site import NOW, POLICY, TOKENS, Past

POLICY_HERE = replace(POLICY, authserv_id="mx.example.com")
TOKENS_THERE_ARE = ("1A2B3C4D", "0BADCAFE", "DEADBEEF")


def _decide(raw: bytes, past: Past) -> Any:
    incoming = read(letter_of("1.1", raw, RECEIVED))
    decision = decide(incoming, POLICY_HERE, TOKENS, past, NOW)
    if not isinstance(decision, Ignore):
        past.ids.add(incoming.request_id)
    return decision


def _shown(decision: Any) -> str:
    match decision:
        case Ignore(why):
            return f"ignore {why}"
        case Refuse(_, failure):
            return f"refuse {failure.code}"
        case Help():
            return "help"
    request = decision.request
    given = request.parameters
    match request.command:
        case "RAMAIS":
            parts = [given["ramais"], given["inicio"], given["fim"], request.audios_from, request.server]
        case "CHECKIP":
            parts = [given["ip"], request.server]
        case _:
            parts = [given["ramal"], given["mac_atual"], given["mac_futuro"], request.server]
    return f"{request.command} {'; '.join(parts)}".rstrip("; ")


def _full(expected: str) -> str:
    """What the README lets one leave out."""
    if not expected.startswith("RAMAIS"):
        return expected
    parts = expected.split("; ")
    standard = [parts[0], "27/10/2025 08:00", "28/10/2025 18:00", "audio"]
    return "; ".join(parts + standard[len(parts) :])


def _corpus() -> Iterator[Mail]:
    for family in FAMILIES:
        yield from mails(family)


CORPUS = list(_corpus())


def test_there_are_enough_of_them_and_no_name_twice() -> None:
    names = [(mail.family, mail.name) for mail in CORPUS]
    assert len(names) >= 300
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "duplicates"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_each_mail_by_itself(family: str, end: bytes) -> None:
    wrong = {}
    for mail in mails(family):
        shown = _shown(_decide(mail.raw.replace(b"\n", end), Past()))
        if shown != _full(mail.expected):
            wrong[mail.name] = (_full(mail.expected), shown)
    assert not wrong


def test_one_mailbox_with_duplicates() -> None:
    past = Past()
    shown = [(mail.name, _shown(_decide(mail.raw, past))) for mail in mails("duplicates")]
    assert shown == [(mail.name, _full(mail.expected)) for mail in mails("duplicates")]


def test_no_decision_shows_a_token_or_a_raw_line_break() -> None:
    for mail in CORPUS:
        decision = _decide(mail.raw, Past())
        told = repr(decision)
        if isinstance(decision, Refuse):
            told += sentence(decision.failure, "pt_BR") + sentence(decision.failure, "en")
        assert not any(token in told.upper() for token in TOKENS_THERE_ARE), mail.name
        if not isinstance(decision, Ignore):
            request = decision.request
            header = request.subject + request.message_id + request.references + request.from_email
            assert header.isprintable(), mail.name


def test_every_mail_makes_the_same_id_again() -> None:
    for mail in CORPUS:
        one = read(letter_of("1.1", mail.raw, RECEIVED)).request_id
        two = read(letter_of("9.7", mail.raw.replace(b"\n", b"\r\n"), RECEIVED + 86_400)).request_id
        assert one == two, mail.name


def test_a_mail_of_25_mb_is_decided_by_its_header() -> None:
    mail = next(mail for mail in CORPUS if mail.name == "gmail-plain")
    letter = letter_of("1.1", mail.raw + b"QUJD" * (25 * 262_144) + b"\n", RECEIVED)
    assert letter.size > 25_000_000
    assert len(letter.header) < 2_000
    assert _shown(decide(read(letter), POLICY_HERE, TOKENS, Past(), NOW)) == _full(mail.expected)


HUGE = {
    "lines": b"X-Line: x\n" * 1_001,
    "bytes": b"X-Byte: " + b"x" * 100_001 + b"\n",
    "megabytes": b"X-Byte: " + b"x" * 3_000_000 + b"\n",
    "folded": b"References:" + b"\n <a@example.com>" * 1_001 + b"\n",
}


@pytest.mark.parametrize("kind", HUGE)
def test_huge_headers_are_left_alone(kind: str) -> None:
    mail = next(mail for mail in CORPUS if mail.name == "right")
    assert _shown(_decide(HUGE[kind] + mail.raw, Past())) == "ignore header-too-big"
    assert (
        _shown(_decide(mail.raw.replace(b"\n\n", b"\n" + HUGE[kind] + b"\n", 1), Past()))
        == "ignore header-too-big"
    )


NASTY = {
    "quotes": b'"\\' * 49_000,
    "comments": b"(" * 98_000,
    "encoded words": b"=?utf-8?q?a?= " * 6_900,
    "open encoded words": b"=?utf-8?q?" * 9_800,
    "equals": b"=" * 98_000,
    "tokens": b"[1A2B3C4D]" * 9_800,
    "prefixes": b"Re:" * 32_000,
    "blanks": b" \t" * 49_000 + b"x",
    "semicolons": b";" * 98_000,
    "angles": b"<" * 98_000,
    "ids": b"<a@b" * 24_000,
    "digits": b"1" * 98_000,
    "hexadecimal": b"1A" * 49_000,
    "quoted": b"RAMAIS='" * 12_000,
}


@pytest.mark.parametrize(
    "field", [b"Subject", b"From", b"References", b"Date", b"Authentication-Results", b"Received"]
)
@pytest.mark.parametrize("kind", NASTY)
@pytest.mark.deadline(20)
def test_the_nastiest_header_that_is_read_ends(field: bytes, kind: str) -> None:
    """98 kB of what makes naive parsers quadratic: it ends, long before the deadline, with a decision."""
    raw = b"From: person@example.com\nAuthentication-Results: mx.example.com; dmarc=pass\n"
    raw = field + b": " + NASTY[kind] + b"\n" + (b"" if field == b"From" else raw)
    decision = _decide(raw + b"\n", Past())
    assert isinstance(decision, Accept | Refuse | Help | Ignore)
