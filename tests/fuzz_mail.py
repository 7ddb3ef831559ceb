"""Fuzzing what comes by mail: headers, trust, subjects. A part of tests.fuzz."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC

from daemon.jobs import requestfile
from daemon.jobs.model import Record
from daemon.mail.intake import Accept, Ignore, Refuse, decide
from daemon.mail.message import letter_of, read
from daemon.mail.reasons import sentence
from daemon.mail.subject import Parsed, parse
from tests.unit.mail.corpus import FAMILIES, R, mails
from tests.unit.mail.site import LIMITS, NOW, POLICY, TOKENS, Past

STRICT = replace(POLICY, authserv_id="mx.example.com")
SEEDS = [mail for family in FAMILIES for mail in mails(family)]
PIECES = [
    *(
        "RAMAIS=",
        "CHECKIP=",
        "MACCHANGE=",
        "INICIO=",
        "FIM=",
        "SERVER=",
        "=",
        ";",
        ",",
        "-",
        '"',
        "'",
        "[",
        "]",
        " ",
    ),
    *(
        "1121",
        "1121-1125",
        "27/10/2025",
        "24:00",
        "203.0.113.7",
        "::ffff:1.2.3.4",
        "0011.2233.4455",
        "Re:",
        "\u200b",
    ),
    *("[1A2B3C4D]", "[EXTERNO]", "04/11/2018", "é", "½", "\u0130", "\ud83d", "\uff11"),
]


def letters(rng: random.Random) -> None:
    """Mails of the corpus with bytes changed, cut, doubled: a decision, and the same one twice."""
    raw = bytearray(rng.choice(SEEDS).raw)
    for _ in range(rng.randrange(20)):
        at = rng.randrange(len(raw)) if raw else 0
        match rng.randrange(4):
            case 0 if raw:
                raw[at] = rng.randrange(256)
            case 1:
                del raw[at : at + rng.randrange(30)]
            case 2:
                raw[at:at] = raw[at : at + rng.randrange(60)]
            case _:
                raw[at:at] = rng.choice(
                    (b"\n", b"\r", b"=?utf-8?Q?", b"?=", b"(", b'"', b"\\", b";", b"\0", b"<", b": ")
                )
    incoming = read(letter_of("1", bytes(raw), 0.0))
    decision = decide(incoming, STRICT, TOKENS, Past(), NOW)
    assert decision == decide(incoming, STRICT, TOKENS, Past(), NOW)
    if not isinstance(decision, Ignore):
        told = decision.request
        assert (told.subject + told.message_id + told.references + told.from_email).isprintable()
    if isinstance(decision, Refuse):
        assert sentence(decision.failure, "pt_BR")
    if isinstance(decision, Accept):
        assert all(value.isascii() and value.isprintable() for value in decision.request.parameters.values())


def subjects(rng: random.Random) -> None:
    """Subjects of pieces: understood ones are themselves when typed again."""
    text = R if rng.random() < 0.5 else ""
    for _ in range(rng.randrange(12)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(PIECES) + text[at + rng.choice((0, 0, 1, 3)) :]
    result = parse(text, LIMITS, NOW)
    if isinstance(result, Parsed) and result.command == "RAMAIS":
        keys = {
            "ramais": "RAMAIS",
            "inicio": "INICIO",
            "fim": "FIM",
            "server": "SERVER",
            "audios_from": "AUDIOS_FROM",
        }
        typed = " ".join(f"{keys[name]}={value}" for name, value in result.parameters.items())
        assert parse(typed, LIMITS, NOW) == result, text
    incoming = read(
        letter_of("1", f"From: tech@example.com\nSubject: {text}\n".encode("utf-8", "replace"), 0.0)
    )
    told = repr(decide(incoming, POLICY, TOKENS, Past(), NOW)) + repr(incoming)
    if "[1A2B3C4D]" in text:
        assert "1A2B3C4D" not in told.upper(), text


DROPPED = [
    json.dumps({"from_email": "person@example.com", **more})
    for more in (
        {
            "request_id": "test_20251111_001",
            "parameters": {"ramais": "1121,1122", "inicio": "29/09/2025 00:00", "fim": "27/10/2025 23:59"},
        },
        {
            "command": "CHECKIP",
            "parameters": {"ip": "203.0.113.7"},
            "server": "gv1p",
            "message_id": "<a@example.com>",
            "timestamp_received": "2025-10-27T08:00:00-03:00",
        },
        {
            "parameters": {
                "ramal": "1121",
                "mac_atual": "00:11:22:33:44:55",
                "mac_futuro": "66:77:88:99:aa:bb",
            },
            "subject": "x",
            "language": "en",
        },
    )
]
SIGNS = ('"', "{", "}", ",", ":", "\\", "\0", "é", "\u202e")
VALUES = ("null", "true", "[]", "{}", "-1", "1e999", '""', '"../../x"', '"\\udcff"', '"a\\nb"', f'"{9**999}"')


def dropped(rng: random.Random) -> None:
    """Files dropped by hand, damaged: a request that can be kept, or a sentence why not."""
    text = rng.choice(DROPPED)
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(text))
        match rng.randrange(3):
            case 0:
                text = text[:at] + rng.choice(SIGNS) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.randrange(20) :]
            case _:
                text = re.sub(
                    r'"[^"]*"(?=[,}])', lambda _: rng.choice(VALUES), text, count=rng.randrange(1, 3)
                )
    try:
        value = requestfile.decode(text.encode("utf-8", "replace"), "name-of-the-file")
        sender, subject = requestfile.subject_of(value)
        wanted = parse(subject, LIMITS, NOW)
        if not isinstance(wanted, Parsed):
            return
        made = requestfile.request_of(value, sender, wanted.command, wanted.parameters, NOW.timestamp())
    except requestfile.NotARequest:
        return
    kept = json.loads(requestfile.encode(Record(request=made, state="accepted", version=0), UTC))
    assert kept["request_id"] == made.request_id
    assert all(each.isprintable() for each in (made.subject, made.message_id, made.references, made.server))


TARGETS: tuple[Callable[[random.Random], None], ...] = (letters, subjects, dropped)
