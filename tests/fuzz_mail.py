"""Fuzzing what comes by mail: headers, trust, subjects. A part of tests.fuzz."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

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


TARGETS: tuple[Callable[[random.Random], None], ...] = (letters, subjects)
