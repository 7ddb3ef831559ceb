"""Whatever comes: no exception, what was understood is itself when typed again, no token is shown."""
# ruff: noqa: E501 - the words of subjects in few lines

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.jobs.model import Request
from daemon.mail.addresses import is_address, sender_of
from daemon.mail.authenticity import is_authentic
from daemon.mail.dates import span
from daemon.mail.front import without_tokens
from daemon.mail.headers import decoded, fields
from daemon.mail.intake import Accept, Help, Ignore, Refuse, decide, typed
from daemon.mail.message import letter_of, read
from daemon.mail.plain import plain
from daemon.mail.reasons import sentence
from daemon.mail.subject import Parsed, Refusal, parse
from tests.unit.mail.corpus import FAMILIES, mails
from tests.unit.mail.site import LIMITS, NOW, PERSON, POLICY, TECH, TOKENS, Past

WORDS = st.sampled_from(
    "RAMAIS= CHECKIP= MACCHANGE= MACATUAL= MACFUTURO= INICIO= INÍCIO= FIM= SERVER= AUDIOS_FROM= AJUDA HELP Re: Enc:"
    " [EXTERNO] [1A2B3C4D] [0BADCAFE] 1A2B3C4D 1121 1122 1121-1125 gv1p voip1 audio s3 27/10/2025 28/10/25 2025-10-27"
    " 04/11/2018 17/02/2018 08:00 8h00 24:00 18:00:59 203.0.113.7 [2001:db8::1] 00:11:22:33:44:55 6677.8899.AABB"
    " 66778899AABB ; , - = \" ' [ ] por favor é \u00a0 \u200b １１２１ \t".split(" ")
)
SUBJECTS = st.one_of(
    st.text(max_size=200),
    st.lists(WORDS, max_size=20).map(" ".join),
    st.lists(WORDS, max_size=20).map("".join),
    st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=20).map(" ".join),
)
VALUES = {
    "ramais": "RAMAIS",
    "ip": "CHECKIP",
    "ramal": "MACCHANGE",
    "mac_atual": "MACATUAL",
    "mac_futuro": "MACFUTURO",
}


def retyped(parsed: Parsed) -> str:
    """A subject of normalised parameters."""
    return " ".join(f"{VALUES.get(name, name.upper())}={value}" for name, value in parsed.parameters.items())


@given(SUBJECTS)
@settings(max_examples=600, deadline=None)
def test_a_subject_is_understood_or_refused_and_its_normal_form_is_itself(text: str) -> None:
    result = parse(text, LIMITS, NOW)
    if isinstance(result, Parsed):
        assert parse(retyped(result), LIMITS, NOW) == result
        assert parse("Re: [EXTERNO] " + retyped(result).lower(), LIMITS, NOW) == result
        assert all(value.isascii() and value.isprintable() for value in result.parameters.values())
    elif isinstance(result, Refusal):
        assert sentence(typed_failure(text), "pt_BR")


def typed_failure(text: str):
    failure = typed(text, TECH, POLICY, NOW)
    assert not isinstance(failure, Request)
    return failure


DAYS = st.dates(min_value=NOW.date().replace(year=2016), max_value=NOW.date())
TIMES = st.sampled_from(("", " 00:00", " 00:30", " 23:20", " 8h", " 24:00", " 12:34:56"))


@given(DAYS, TIMES, st.integers(0, 32), TIMES)
@settings(max_examples=300, deadline=None)
def test_a_span_is_never_backwards(begin, at: str, days: int, until: str) -> None:
    end = begin.toordinal() + days
    subject = f"RAMAIS=1121 INICIO={begin:%d/%m/%Y}{at} FIM={begin.fromordinal(end):%Y-%m-%d}{until}"
    result = parse(subject, LIMITS, NOW)
    if isinstance(result, Parsed):
        first, last = span(result.parameters, LIMITS.timezone)
        assert first <= last
        assert first.timestamp() <= last.timestamp()
        assert parse(retyped(result), LIMITS, NOW) == result


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_mail(raw: bytes) -> None:
    for data in (
        raw,
        b"From: person@example.com\nSubject: " + raw,
        b"Subject: [1A2B3C4D] RAMAIS=1\nFrom: " + raw,
    ):
        incoming = read(letter_of("1", data, 0.0))
        decision = decide(incoming, replace(POLICY, authserv_id="mx.example.com"), TOKENS, Past(), NOW)
        assert isinstance(decision, Ignore)
        assert decide(incoming, POLICY, TOKENS, Past(), NOW)
    assert isinstance(decoded(raw), str)
    assert all(name == name.lower() for name, _ in fields(raw))


@given(st.text(max_size=200), st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_nobody_is_vouched_for_by_text(text: str, other: str) -> None:
    trace = [("received", text), ("authentication-results", "mx.example.net; dmarc=pass " + other)]
    assert not is_authentic(trace, "mx.example.com", PERSON)
    address = sender_of([text])
    assert address == "" or is_address(address)


TOKEN = st.sampled_from(("1A2B3C4D", "0badcafe", "DEADBEEF", "1a2B3c4D"))


@given(TOKEN, st.lists(WORDS, max_size=8), st.lists(WORDS, max_size=8), st.sampled_from(("", " ")))
@settings(max_examples=600, deadline=None)
def test_a_token_is_never_shown(token: str, before: list[str], behind: list[str], glue: str) -> None:
    front = " ".join(before)
    if plain(front)[-1:].lower() in tuple("0123456789abcdef"):
        front += " "  # else it is no token but a part of a longer number
    text = front + glue + token + " " + " ".join(behind)
    incoming = read(letter_of("1", f"From: {TECH}\nSubject: {text}\n".encode(), 0.0))
    decision = decide(incoming, POLICY, TOKENS, Past(), NOW)
    told = repr(decision) + repr(incoming)
    if isinstance(decision, Refuse):
        told += sentence(decision.failure, "en")
    assert token.upper() not in told.upper()
    assert isinstance(decision, Accept | Refuse | Help | Ignore)


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_plain_is_one_line_and_stays_itself(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert "\n" not in once
    assert without_tokens(without_tokens(once)) == without_tokens(once)


def test_every_accepted_mail_of_the_corpus_is_itself_when_typed_again() -> None:
    accepted = 0
    for family in FAMILIES:
        for mail in mails(family):
            result = parse(read(letter_of("1", mail.raw, 0.0)).subject, LIMITS, NOW)
            if isinstance(result, Parsed):
                accepted += 1
                assert parse(retyped(result), LIMITS, NOW) == result, mail.name
    assert accepted > 150
