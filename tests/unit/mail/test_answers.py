"""What the answers say, to whom, in both languages and both forms; and that they stay small."""

from __future__ import annotations

import email
import re
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.jobs.model import (
    ExtensionMoved,
    Failure,
    IpChecked,
    Jail,
    NothingFound,
    Outcome,
    Record,
    RecordingsSent,
    Request,
    Row,
)
from daemon.mail import answers
from daemon.mail.answers import People
from daemon.mail.model import Answer
from daemon.recordings.model import LeftOut, Near

ZONE = ZoneInfo("America/Sao_Paulo")
NOW = datetime(2025, 10, 28, 21, 0, tzinfo=UTC)
BEGAN = datetime(2025, 10, 27, 11, 12, 5, tzinfo=UTC)  # 08:12:05 there
PEOPLE = People("arimonitor@example.com", "admin@example.com")
SUBJECT = "RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"


def record(outcome: Outcome | None = None, **other: Any) -> Record:
    request = Request(
        **{
            "request_id": "20251027_110000_1a2b3c4d",
            "command": "RAMAIS",
            "from_email": "person@example.com",
            "parameters": {"ramais": "1121,1122", "inicio": "27/10/2025 08:00", "fim": "28/10/2025 18:00"},
            "subject": SUBJECT,
            "message_id": "<a@example.com>",
            **other,
        }
    )
    return Record(request=request, state="replying", version=1, outcome=outcome)


def say(failure: Failure) -> str:
    return {"empty": "o arquivo está vazio"}[failure.code]


def result(outcome: Outcome, people: People = PEOPLE, **other: Any) -> Answer:
    return answers.result(record(outcome, **other), people, NOW, ZONE, say)


def forms(answer: Answer) -> tuple[str, str]:
    mail = email.message_from_bytes(answer.data, policy=default)
    assert isinstance(mail, EmailMessage)
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


def flat(text: str) -> str:
    return " ".join(text.replace("\u00a0", " ").split())


def rows(number: int) -> tuple[Row, ...]:
    return tuple(
        Row(
            "1121",
            "1122",
            BEGAN + timedelta(minutes=at),
            127.0,
            f"https://audio.example.com/r/{'t' * 90}{at}",
        )
        for at in range(number)
    )


def sent(number: int, *left_out: LeftOut, rate: int = 64) -> RecordingsSent:
    return RecordingsSent(
        rows(number),
        "https://audio.example.com/r/zip",
        12_345_678,
        datetime(2025, 10, 29, 21, 0, tzinfo=UTC),
        left_out,
        rate,
    )


def test_recordings() -> None:
    answer = result(sent(2, LeftOut("internal-1121-1122-20251027-091500-17.9.wav", "empty")))
    for form in map(flat, forms(answer)):
        assert "2 gravações. Os links funcionam até 29/10/2025 18:00" in form
        assert "27/10/2025 08:12:05" in form
        assert "1121 → 1122" in form
        assert "2:07" in form
        assert "Baixar todas em um ZIP (12,3 MB)" in form
        assert "Não foi possível incluir 1 gravação:" in form
        assert "27/10/2025 09:15:00, 1121 → 1122: o arquivo está vazio" in form
        assert "MP3 a 64 kbit/s" in form
        assert form.count("https://audio.example.com/r/ttt") == 2
        assert ".wav" not in form
        assert "internal-" not in form
    plain, html = forms(answer)
    assert html.count(">Tocar</a>") == 2
    assert plain.index("Tocar: https") < plain.index("Baixar todas")


def test_who_gets_it() -> None:
    assert result(sent(1)).to == ("admin@example.com", "person@example.com")
    assert result(sent(1), from_email="Admin@Example.com").to == ("Admin@Example.com",)
    assert result(sent(1), People("arimonitor@example.com")).to == ("person@example.com",)
    assert answers.failed(record(), "Não deu.", PEOPLE, NOW).to == ("admin@example.com", "person@example.com")
    for quiet in (
        answers.queued(record(), 2, PEOPLE, NOW),
        answers.refused(record(), "Data errada.", ("RAMAIS=1121",), PEOPLE, NOW),
        answers.help(record(), ("RAMAIS",), 10, 30, PEOPLE, NOW),
    ):
        assert quiet.to == ("person@example.com",)


def test_a_thousand_recordings_fit() -> None:
    answer = result(sent(1000))
    plain, html = forms(answer)
    assert len(html.encode()) < 100_000
    listed = html.count(">Tocar</a>")
    assert 100 < listed < 1000
    for form in (flat(plain), flat(html)):
        assert f"as {listed} primeiras" in form
        assert "Todas as 1000 estão no ZIP" in form
    assert result(sent(1000)).data == answer.data


def test_nothing_found() -> None:
    near = Near(((date(2025, 10, 24), 12), (date(2025, 10, 29), 1)), (("1123", 4),))
    for form in map(flat, forms(result(NothingFound(near)))):
        assert "Não há gravações destes ramais neste período." in form
        assert "24/10/2025 (sex): 12 gravações" in form
        assert "29/10/2025 (qua): 1 gravação" in form
        assert "ramal 1123: 4 gravações" in form
    for form in map(flat, forms(result(NothingFound(), language="en"))):
        assert "There are no recordings of these extensions" in form
        assert "On other days" not in form


@pytest.mark.parametrize(
    ("jails", "said"),
    [
        ((Jail("asterisk", False),), "O IP 203.0.113.7 não está bloqueado."),
        ((Jail("asterisk", True, BEGAN, lifted=True),), "O IP 203.0.113.7 estava bloqueado e foi liberado."),
        (
            (Jail("asterisk", True, BEGAN, lifted=True), Jail("sshd", True)),
            "O IP 203.0.113.7 continua bloqueado.",
        ),
    ],
)
def test_an_ip(jails: tuple[Jail, ...], said: str) -> None:
    answer = result(IpChecked("203.0.113.7", "gv1p", jails), command="CHECKIP", parameters={})
    for form in map(flat, forms(answer)):
        assert said in form
        assert "gv1p" in form


def test_an_extension_moved() -> None:
    done = ExtensionMoved("1121", "gv1p", "00:11:22:33:44:55", "66:77:88:99:aa:bb", notified=False)
    for form in map(flat, forms(result(done, command="MACCHANGE", parameters={}))):
        assert "O ramal 1121 agora é do telefone 66:77:88:99:aa:bb." in form
        assert "desligue-o e ligue-o para que" in form


def test_a_refusal_quotes_names_and_shows() -> None:
    typed = 'RAMAIS=1121 INICIO=31/02/2025 <script>alert("x")</script>'
    plain, html = forms(answers.refused(record(subject=typed), "A data não existe.", (SUBJECT,), PEOPLE, NOW))
    assert typed in plain
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    for form in (flat(plain), flat(html)):
        assert "A data não existe." in form
        assert SUBJECT in form


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (0, "O seu pedido já está sendo atendido."),
        (1, "O seu pedido é o próximo da fila."),
        (7, "O seu pedido é o 7º da fila."),
    ],
)
def test_the_place_in_the_queue(place: int, said: str) -> None:
    for form in map(flat, forms(answers.queued(record(), place, PEOPLE, NOW))):
        assert said in form
        assert "27/10/2025 08:00 até 28/10/2025 18:00" in form


def test_help_shows_what_one_may_ask() -> None:
    plain = forms(answers.help(record(), ("RAMAIS",), 12, 31, PEOPLE, NOW))[0]
    assert "no máximo 12 ramais e 31 dias" in plain
    assert "CHECKIP" not in plain
    assert "TOKEN" not in plain
    plain = forms(answers.help(record(language="en"), ("RAMAIS", "CHECKIP"), 10, 30, PEOPLE, NOW))[0]
    assert "[TOKEN] CHECKIP=203.0.113.7 SERVER=gv1p" in plain


def test_an_alert() -> None:
    facts = (("Asterisk", "voip3"), ("De", "27/10/2025 11:00:00"))
    answer = answers.alert("gap-1", "pt_BR", "Eventos podem ter se perdido", facts, PEOPLE, NOW, "Espere.")
    assert (answer.kind, answer.to) == ("alert", ("admin@example.com",))
    assert b"Subject: ARIMONITOR: Eventos podem ter se perdido" in answer.data
    assert b"auto-generated" in answer.data
    assert "O que fazer: Espere." in flat(forms(answer)[0])
    with pytest.raises(ValueError, match=r"mail\.admin"):
        answers.alert("gap-1", "en", "x", (), People("a@example.com"), NOW)


def test_light_and_without_anything_remote() -> None:
    html = forms(result(sent(5)))[1]
    assert "#01847F" in html  # RGB 1, 132, 127
    assert not re.search(r"<(img|script|link|iframe|style)\b|url\(|@import", html)
    assert set(re.findall(r'(?:src|href)="(https?://[^/"]+)', html)) == {"https://audio.example.com"}
    assert 'lang="pt-BR"' in html


def test_without_an_outcome_there_is_no_result() -> None:
    with pytest.raises(ValueError, match="has no outcome"):
        answers.result(record(), PEOPLE, NOW, ZONE, say)
