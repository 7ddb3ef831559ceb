"""Every code has its sentence in both languages, and the names that it names."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from daemon.jobs import reasons as jobs
from daemon.jobs.model import Failure
from daemon.mail import reasons
from daemon.mail.subject import Refusal, parse
from tests.unit.mail.site import LIMITS, NOW
from tests.unit.mail.test_subject_refused import REFUSED

SOURCES = Path(reasons.__file__).parent
TABLES = {**reasons.REASONS, **jobs.REASONS}


def _used() -> set[str]:
    """The codes in the sources of this package: first arguments of mistakes, and the table of networks."""
    found = set(re.findall(r"\"(ip-[a-z-]+)\"", (SOURCES / "network.py").read_text(encoding="utf-8")))
    for file in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Mistake", "Failure", "Refusal"):
                first = node.args[0]
                told = (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,)
                found |= {each.value for each in told if isinstance(each, ast.Constant)}
    return found


def test_every_code_that_is_used_has_a_sentence_and_no_other() -> None:
    assert _used() == set(reasons.REASONS)


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("code", sorted(TABLES))
def test_both_languages_name_the_same(code: str) -> None:
    portuguese, english = TABLES[code]
    assert _names(portuguese) == _names(english)
    assert portuguese != english
    assert portuguese[-1] in ".:)"
    assert english[-1] in ".:)"


@pytest.mark.parametrize("language", ["pt_BR", "en"])
@pytest.mark.parametrize(("subject", "code"), REFUSED)
def test_the_names_of_a_refusal_fit_its_sentence(subject: str, code: str, language: str) -> None:
    refusal = parse(subject, LIMITS, NOW)
    assert isinstance(refusal, Refusal)
    assert _names(TABLES[code][0]) <= set(refusal.names)
    told = reasons.sentence(Failure(code, {**refusal.names, reasons.FORM_OF: refusal.command}), language)
    right = reasons.FORMS.get(refusal.command, "RAMAIS=")
    assert right in told


SAID = [
    (
        Failure("token-wrong"),
        "O token informado não é válido para o seu endereço de e-mail. Confira os 8 dígitos.",
    ),
    (
        Failure("bad-extension", {"value": "12", "form_of": "RAMAIS"}),
        "“12” não é um ramal: um ramal tem de 3 a 8 dígitos. "
        "A forma certa é: RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00",
    ),
    (Failure("missing-key", {}), "Falta …= no assunto."),
    (Failure("unknown-key", {"key": "{0}{x}"}), "“{0}{x}=” não é conhecido."),
    (
        Failure("never-heard-of"),
        "O pedido não pôde ser atendido (never-heard-of). Por favor, fale com o administrador.",
    ),
]


@pytest.mark.parametrize(("failure", "said"), SAID)
def test_said(failure: Failure, said: str) -> None:
    assert reasons.sentence(failure, "pt_BR") == said


def test_said_in_english() -> None:
    failure = Failure("missing-key", {"key": "FIM", "form_of": "CHECKIP"})
    assert reasons.sentence(failure, "en") == (
        "FIM= is missing in the subject. The right form is: [TOKEN] CHECKIP=203.0.113.7 SERVER=gv1p"
    )


def test_the_forms_that_are_shown_are_right() -> None:
    for command, form in reasons.FORMS.items():
        understood = parse(form.removeprefix("[TOKEN] "), LIMITS, NOW)
        assert not isinstance(understood, Refusal)
        assert getattr(understood, "command", "") == command
