"""What is decided about a mail: order, trust, rights, routing, limits, and what is never shown."""
# ruff: noqa: E501 - tables: one row, one line

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from daemon.jobs.model import Failure, Request
from daemon.mail.intake import Accept, Help, Ignore, Refuse, decide, policy_of, typed
from daemon.mail.policy import Policy, Rights
from daemon.settings import Settings
from tests.unit.mail.letters import PLAIN, incoming
from tests.unit.mail.site import ANYBODYS, DAYS, MACS, NOW, PERSON, POLICY, TECH, TECHS_TOKEN, TOKENS, Past, R

T = f"[{TECHS_TOKEN}]"


def mail(subject: str, sender: str = PERSON, more: str = "") -> Any:
    return incoming(f"From: {sender}\nSubject: {subject}\nMessage-ID: <m@example.com>\n{more}")


def decided(
    subject: str, sender: str = PERSON, policy: Policy = POLICY, more: str = "", past: Past | None = None
) -> Any:
    return decide(mail(subject, sender, more), policy, TOKENS, past or Past(), NOW)


def outcome(decision: Any) -> str:
    match decision:
        case Accept(request):
            return f"accept {request.command}"
        case Refuse(_, failure):
            return f"refuse {failure.code}"
        case Help():
            return "help"
        case Ignore(why):
            return f"ignore {why}"
    raise AssertionError(decision)


ALWAYS, NEVER = replace(POLICY, require_token="always"), replace(POLICY, require_token="never")

DECISIONS = [
    (R, PERSON, POLICY, "accept RAMAIS"),
    # -- never answered
    (R, "stranger@example.net", POLICY, "ignore unknown-sender"),
    (R, "person+tag@example.com", POLICY, "ignore unknown-sender"),
    (R, "person@sub.example.org", POLICY, "ignore unknown-sender"),
    (R, "person@example.org.example.net", POLICY, "ignore unknown-sender"),
    (R, "Person <PERSON@EXAMPLE.COM>", POLICY, "accept RAMAIS"),
    (R, "anybody@Example.Org", POLICY, "accept RAMAIS"),
    (R, f"{PERSON}, {TECH}", POLICY, "ignore nobodys"),
    ("Bom dia", PERSON, POLICY, "ignore no-request"),
    ("Lista de ramais", PERSON, POLICY, "ignore no-request"),
    ("Preciso de ajuda", PERSON, POLICY, "ignore no-request"),
    ("", PERSON, POLICY, "ignore no-request"),
    (DAYS, PERSON, POLICY, "ignore no-request"),
    ("[EXTERNO] orçamento", PERSON, POLICY, "ignore no-request"),
    (f"Resposta automática: {R}", PERSON, POLICY, "ignore robot"),
    # -- help: no token needed
    ("AJUDA", PERSON, POLICY, "help"),
    ("help", PERSON, ALWAYS, "help"),
    ("[00000000] AJUDA", PERSON, POLICY, "help"),
    # -- tokens: "dangerous"
    ("CHECKIP=203.0.113.7 SERVER=gv1p", TECH, POLICY, "refuse token-missing"),
    (f"{T} CHECKIP=203.0.113.7 SERVER=gv1p", TECH, POLICY, "accept CHECKIP"),
    (f"{T}CHECKIP=203.0.113.7 SERVER=gv1p", TECH, POLICY, "accept CHECKIP"),
    (f"[{ANYBODYS}] CHECKIP=203.0.113.7 SERVER=gv1p", TECH, POLICY, "accept CHECKIP"),
    ("[0BADCAFE] CHECKIP=203.0.113.7 SERVER=gv1p", TECH, POLICY, "refuse token-wrong"),
    ("[DEADBEEF] CHECKIP=203.0.113.7 SERVER=gv1p", TECH, POLICY, "refuse token-expired"),
    (f"{T} MACCHANGE=1121 {MACS} SERVER=gv1p", TECH, POLICY, "accept MACCHANGE"),
    (f"MACCHANGE=1121 {MACS} SERVER=gv1p", TECH, POLICY, "refuse token-missing"),
    # ... RAMAIS needs none, but one that is given must be right
    (f"[0BADCAFE] {R}", PERSON, POLICY, "accept RAMAIS"),
    (f"[FFFFFFFF] {R}", PERSON, POLICY, "refuse token-wrong"),
    (f"{T} {R}", PERSON, POLICY, "refuse token-wrong"),
    # ... the token comes before the mistakes
    ("CHECKIP=10.0.0.1", TECH, POLICY, "refuse token-missing"),
    ("[FFFFFFFF] RAMAIS=1", PERSON, POLICY, "refuse token-wrong"),
    ("[FFFFFFFF]", PERSON, POLICY, "refuse token-wrong"),
    (T, TECH, POLICY, "refuse no-command"),
    (f"{T} Bom dia", TECH, POLICY, "refuse no-command"),
    # ... always, never
    (R, PERSON, ALWAYS, "refuse token-missing"),
    (f"[0BADCAFE] {R}", PERSON, ALWAYS, "accept RAMAIS"),
    ("CHECKIP=203.0.113.7 SERVER=gv1p", TECH, NEVER, "accept CHECKIP"),
    (f"[FFFFFFFF] {R}", PERSON, NEVER, "accept RAMAIS"),
    # -- a subject that is wrong
    ("RAMAIS=11", PERSON, POLICY, "refuse bad-extension"),
    ("RAMAIS 1121", PERSON, POLICY, "refuse no-equals"),
    (f"{R} por favor", PERSON, POLICY, "refuse trailing-words"),
    (f"1A2B3C4D {R}", TECH, POLICY, "refuse token-brackets"),
    # -- rights: nothing listed = RAMAIS on everything
    ("[0BADCAFE] CHECKIP=203.0.113.7 SERVER=gv1p", PERSON, POLICY, "refuse command-not-allowed"),
    (f"[{ANYBODYS}] MACCHANGE=1121 {MACS} SERVER=gv1p", "of_gv1p@example.com", POLICY, "refuse command-not-allowed"),
    (f"RAMAIS=1121,1122,2050 {DAYS}", "some@example.com", POLICY, "accept RAMAIS"),
    (f"RAMAIS=1121,1123 {DAYS}", "some@example.com", POLICY, "refuse extensions-not-allowed"),
    (f"RAMAIS=2098-2101 {DAYS}", "some@example.com", POLICY, "refuse extensions-not-allowed"),
    (f"RAMAIS=20500 {DAYS}", "some@example.com", POLICY, "refuse extensions-not-allowed"),
    (f"[{ANYBODYS}] MACCHANGE=1123 {MACS} SERVER=gv1p", "some@example.com", POLICY, "refuse extensions-not-allowed"),
    (f"[{ANYBODYS}] MACCHANGE=2000 {MACS} SERVER=gv1p", "some@example.com", POLICY, "accept MACCHANGE"),
    (f"{R} SERVER=gv1p", "of_gv1p@example.com", POLICY, "accept RAMAIS"),
    (f"{R} SERVER=gv2p", "of_gv1p@example.com", POLICY, "refuse server-not-allowed"),
    (f"{R} AUDIOS_FROM=s3", "of_gv1p@example.com", POLICY, "refuse source-not-allowed"),
    (f"[{ANYBODYS}] CHECKIP=203.0.113.7 SERVER=voip1", "of_gv1p@example.com", POLICY, "refuse server-not-allowed"),
    # ... a command on a server needs one: the sender's own, if it is the only one
    (f"[{ANYBODYS}] CHECKIP=203.0.113.7", "of_gv1p@example.com", POLICY, "accept CHECKIP"),
    (f"{T} CHECKIP=203.0.113.7", TECH, POLICY, "refuse missing-key"),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "sender", "policy", "expected"), DECISIONS)
def test_decided(subject: str, sender: str, policy: Policy, expected: str) -> None:
    assert outcome(decided(subject, sender, policy)) == expected


# -- the request ----------------------------------------------------------------------------------
def test_an_accepted_request_is_complete() -> None:
    decision = decide(incoming(PLAIN + "References: <r@example.com>\n"), POLICY, TOKENS, Past(), NOW)
    assert isinstance(decision, Accept)
    request = decision.request
    assert request == Request(
        request_id=request.request_id,
        command="RAMAIS",
        from_email="person@example.com",
        parameters={
            "ramais": "1121",
            "inicio": "27/10/2025 08:00",
            "fim": "28/10/2025 18:00",
            "email": "person@example.com",
        },
        audios_from="audio",
        server="",
        message_id="<a1@example.com>",
        references="<r@example.com> <a1@example.com>",
        subject="RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00",
        language="pt_BR",
        received=NOW,
    )
    assert request.request_id.startswith("20251027_110000_")


def test_parameters_of_commands_on_servers_have_no_email() -> None:
    decision = decided(f"{T} CHECKIP=[2001:DB8::1] SERVER=GV1P", TECH)
    assert isinstance(decision, Accept)
    assert decision.request.parameters == {"ip": "2001:db8::1", "server": "gv1p"}
    assert (decision.request.audios_from, decision.request.server) == ("", "gv1p")
    decision = decided(f"[{ANYBODYS}] CHECKIP=203.0.113.7", "of_gv1p@example.com")
    assert (decision.request.parameters, decision.request.server) == ({"ip": "203.0.113.7"}, "gv1p")


TWO_AUDIO = replace(POLICY, rights={PERSON: Rights(servers=("gv1p", "gv2p"))}, audios_from="s3")
MIXED = replace(POLICY, rights={PERSON: Rights(servers=("gv1p", "voip1"))}, audios_from="s3")
ROUTES = [
    # AUDIOS_FROM= in the subject, else its SERVER=, else the sender's own server, else the cluster's default
    (R, PERSON, POLICY, "audio", ""),
    (R, PERSON, replace(POLICY, audios_from="s3"), "s3", ""),
    (f"{R} AUDIOS_FROM=s3", PERSON, POLICY, "s3", ""),
    (f"{R} AUDIOS_FROM=s3 SERVER=voip1", PERSON, POLICY, "s3", "voip1"),
    (f"{R} SERVER=voip1", PERSON, POLICY, "s3", "voip1"),
    (f"{R} SERVER=gv1p", PERSON, replace(POLICY, audios_from="s3"), "audio", "gv1p"),
    (R, "of_s3@example.com", POLICY, "s3", "voip1"),
    (R, "of_gv1p@example.com", replace(POLICY, audios_from="s3"), "audio", "gv1p"),
    (R, PERSON, TWO_AUDIO, "audio", ""),
    (R, PERSON, MIXED, "s3", ""),
]


@pytest.mark.parametrize(("subject", "sender", "policy", "audios_from", "server"), ROUTES)
def test_where_it_goes(subject: str, sender: str, policy: Policy, audios_from: str, server: str) -> None:
    decision = decided(subject, sender, policy)
    assert isinstance(decision, Accept)
    assert (decision.request.audios_from, decision.request.server) == (audios_from, server)
    given = {key for key in ("audios_from", "server") if key in decision.request.parameters}
    assert given == {key.lower() for key in ("AUDIOS_FROM", "SERVER") if key + "=" in subject}


def test_a_refusal_can_be_addressed_and_threaded() -> None:
    decision = decided("Re: [EXTERNO] [FFFFFFFF] RAMAIS=11", more="In-Reply-To: <p@example.com>\n")
    assert isinstance(decision, Refuse)
    request = decision.request
    assert (request.command, request.from_email, request.message_id) == ("", PERSON, "<m@example.com>")
    assert (request.references, request.subject) == ("<p@example.com> <m@example.com>", "RAMAIS=11")


def test_a_grammar_failure_names_its_form() -> None:
    decision = decided("RAMAIS=11")
    assert decision.failure == Failure("bad-extension", {"value": "11", "form_of": "RAMAIS"})


# -- order, duplicates, limits --------------------------------------------------------------------
def test_trust_comes_before_the_grammar_and_the_history() -> None:
    class Untouched:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked about a stranger")

    for decision in (
        decide(mail(R, "stranger@example.net"), POLICY, Untouched(), Untouched(), NOW),  # type: ignore[arg-type]
        decide(mail(R, more="List-Id: <x>\n"), POLICY, Untouched(), Untouched(), NOW),  # type: ignore[arg-type]
    ):
        assert isinstance(decision, Ignore)


def test_unauthentic_senders_are_not_answered() -> None:
    policy = replace(POLICY, authserv_id="mx.example.com")
    assert outcome(decided(R, policy=policy)) == "ignore unauthentic"
    vouched = "Authentication-Results: mx.example.com; dmarc=pass\n"
    assert outcome(decided(R, policy=policy, more=vouched)) == "accept RAMAIS"
    assert (
        outcome(decided(R, policy=policy, more="Received: from a by b.example.net\n" + vouched))
        == "ignore unauthentic"
    )


OWN = [
    ("<20251027_110000_1a2b3c4d.result@audio.example.com>", "ignore own"),
    ("<20251027_110000_1a2b3c4d.queued@elsewhere.example.net>", "ignore own"),
    ("<test_20251111_001.failed@audio.example.com>", "ignore own"),
    ("<test_20251111_001.failed@example.net>", "accept RAMAIS"),
    ("<20251027_110000_1a2b3c4d@audio.example.com>", "accept RAMAIS"),
]


@pytest.mark.parametrize(("message_id", "expected"), OWN)
def test_our_own_mails_are_left_alone(message_id: str, expected: str) -> None:
    header = f"From: {PERSON}\nSubject: {R}\nMessage-ID: {message_id}\n"
    assert outcome(decide(incoming(header), POLICY, TOKENS, Past(), NOW)) == expected


def test_what_was_seen_is_not_done_again() -> None:
    past = Past()
    past.ids.add(mail(R).request_id)
    assert outcome(decided(R, past=past)) == "ignore duplicate"
    assert outcome(decided(R, "anybody@example.org", past=past)) == "accept RAMAIS"
    assert outcome(decided(f"RAMAIS=1122 {DAYS}", past=past)) == "accept RAMAIS"


def test_two_subject_lines_are_refused() -> None:
    assert outcome(decided(R, more=f"Subject: {R}\n")) == "refuse two-subjects"
    assert outcome(decided("x", more=f"Subject: {R}\n")) == "refuse two-subjects"
    assert outcome(decided(R, "stranger@example.net", more=f"Subject: {R}\n")) == "ignore unknown-sender"


def test_over_sixty_mails_an_hour_one_notice_then_silence() -> None:
    past = Past()
    past.mails = [(PERSON, NOW - timedelta(minutes=59))] * 59
    assert outcome(decided(R, past=past)) == "accept RAMAIS"
    past.mails.append((PERSON, NOW))
    assert outcome(decided(R, past=past)) == "refuse too-many-mails"
    assert outcome(decided("AJUDA", past=past)) == "refuse too-many-mails"
    assert outcome(decided(R, TECH, past=past)) == "accept RAMAIS"
    past.warnings.append((PERSON, NOW))
    assert outcome(decided(R, past=past)) == "ignore too-many"
    assert outcome(decided("Bom dia", past=past)) == "ignore no-request"
    past.mails = [(PERSON, NOW - timedelta(minutes=61))] * 60
    assert outcome(decided(R, past=past)) == "accept RAMAIS"


def test_over_six_hundred_mails_an_hour_for_all() -> None:
    past = Past()
    past.mails = [(f"s{number}@example.org", NOW) for number in range(599)]
    assert outcome(decided(R, past=past)) == "accept RAMAIS"
    past.mails.append(("last@example.org", NOW))
    assert outcome(decided(R, past=past)) == "refuse too-many-mails-in-all"


# -- a token never appears ------------------------------------------------------------------------
@pytest.mark.parametrize(
    "subject",
    [
        f"{T} {R}",
        f"[1A2B 3C4D] {R}",
        f"1A2B3C4D {R}",
        f"1a2b3c4d{R}",
        f"1A2B 3C4D {R}",
        f"{R} {T}",
        f"{R} 1A2B3C4D",
        f"RAMAIS=1A2B3C4D {DAYS}",
        f"RAMAIS=1121 1A2B3C4D=x {DAYS}",
        f"{R} SERVER=1A2B3C4D",
        "CHECKIP=1A2B3C4D",
        "MACCHANGE=1121 MACATUAL=1A2B3C4D MACFUTURO=1A2B3C4D",
        f"[1A2B3C4D RAMAIS=1121 {DAYS}",
        f"RAMAIS=1121 x1A2B3C4Dx {DAYS}",
        f"{T} {T} Bom dia",
        f"[1A2B3C4D] [FFFFFFFF] {R}",
        f"RAMAIS='1A2B3C4D {DAYS}",
        "1A2B3C4D",
    ],
)
def test_no_decision_shows_a_token(subject: str) -> None:
    decision = decided(subject, TECH)
    shown = repr(decision).upper() + repr(mail(subject)).upper()
    assert "1A2B3C4D" not in shown
    assert "1A2B 3C4D" not in shown


@pytest.mark.parametrize("subject", [f"1A2B3C4 {R}", f"{R} 1A2B3C4", f"[1A2B3C4] {R}", f"[1A2B3C4D5] {R}"])
def test_nor_a_token_with_a_digit_lost_or_gained(subject: str) -> None:
    assert "1A2B3C4" not in repr(decided(subject, TECH)).upper()


def test_macs_and_extensions_of_eight_digits_are_shown() -> None:
    subject = "MACCHANGE=12345678 MACATUAL=001122334455 MACFUTURO=66778899AABB SERVER=gv1p"
    decision = decided(f"{T} {subject}", TECH)
    assert decision.request.subject == subject
    decision = decided(f"RAMAIS=1121,12345678 {DAYS}")
    assert decision.request.subject == f"RAMAIS=1121,12345678 {DAYS}"


def test_a_subject_that_is_shown_is_one_short_line() -> None:
    decision = decided("RAMAIS==?utf-8?Q?11=0D=0ABcc:_x?= " + "x" * 900)
    assert "\r" not in decision.request.subject
    assert "\n" not in decision.request.subject
    assert len(decision.request.subject) == 300


# -- typed at the machine -------------------------------------------------------------------------
TYPED = [
    (R, PERSON, "RAMAIS"),
    (f"[1A2B3C4D] {R}", PERSON, "RAMAIS"),
    ("CHECKIP=203.0.113.7 SERVER=gv1p", TECH, "CHECKIP"),
    ("CHECKIP=203.0.113.7 SERVER=gv1p", PERSON, "command-not-allowed"),
    (R, "stranger@example.net", "sender-unknown"),
    ("AJUDA", PERSON, "help-is-no-request"),
    ("Bom dia", PERSON, "no-command"),
    ("RAMAIS=11", PERSON, "bad-extension"),
]


@pytest.mark.parametrize(("subject", "sender", "expected"), TYPED)
def test_typed(subject: str, sender: str, expected: str) -> None:
    result = typed(subject, sender, POLICY, NOW)
    assert (result.command if isinstance(result, Request) else result.code) == expected


def test_typed_again_it_is_another_request() -> None:
    one, two = (typed(R, PERSON, POLICY, NOW + timedelta(microseconds=each)) for each in (0, 1))
    assert isinstance(one, Request)
    assert isinstance(two, Request)
    assert one.request_id != two.request_id
    assert one.request_id.startswith("20251101_150000_")
    assert (one.received, one.subject) == (NOW, R)


# -- the policy of a configuration ----------------------------------------------------------------
def test_the_policy_of_a_configuration() -> None:
    settings = Settings.model_validate(
        {
            "mail": {
                "whitelist": ["Person@Example.com", "@Example.org"],
                "sender": [{"address": "Tech@example.com", "commands": ["CHECKIP"], "servers": ["gv1p"]}],
                "smtp": {"from": "Audio@Audio.example.com"},
                "authserv_id": "mx.example.com ",
            },
            "server": [{"name": "gv1p", "audios_from": "s3"}],
            "queue": {"max_days": 5},
            "node": {"language": "en"},
        }
    )
    policy = policy_of(settings)
    assert policy.knows("person@EXAMPLE.com")
    assert policy.knows("x@example.org")
    assert not policy.knows("x@example.com")
    assert policy.rights_of("tech@example.com") == Rights(("CHECKIP",), (), ("gv1p",))
    assert policy.rights_of("other@example.com") == Rights(("RAMAIS",))
    assert (policy.own_domain, policy.authserv_id, policy.language) == (
        "audio.example.com",
        "mx.example.com",
        "en",
    )
    assert (policy.limits.max_days, policy.limits.servers) == (5, {"gv1p": "s3"})
    assert not policy_of(Settings()).knows("person@example.com")


def test_a_request_of_ours_is_plain_data() -> None:
    decision = decided(R)
    assert msgspec.convert(msgspec.to_builtins(decision.request), Request) == decision.request
