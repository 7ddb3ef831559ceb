"""Signs of a program: interfaces 6, 'Never answered and never carried out'."""
# ruff: noqa: E501 - tables: one row, one line

from __future__ import annotations

import pytest

from tests.unit.mail.letters import PLAIN, incoming

ROBOTS = [
    "Auto-Submitted: auto-replied",
    "Auto-Submitted: auto-generated; type=x",
    "AUTO-SUBMITTED: Auto-Notified",
    "Auto-Submitted: yes",
    "Auto-Submitted:",
    "Precedence: bulk",
    "Precedence: Junk",
    "Precedence: list",
    "List-Id: Everybody <all.example.com>",
    "X-Autoreply: yes",
    "Return-Path: <>",
    "Return-Path: < >",
    "Content-Type: multipart/report; report-type=delivery-status; boundary=x",
    "Content-Type: multipart/report; report-type=disposition-notification; boundary=x",
    "Content-Type: MULTIPART/REPORT",
    "Content-Type: text/calendar; method=REQUEST",
    "Content-Class: urn:content-classes:calendarmessage",
    "X-Failed-Recipients: x@example.com",
]
PEOPLE = [
    "Auto-Submitted: no",
    "Auto-Submitted: NO (a person)",
    "Precedence: normal",
    "X-Auto-Response-Suppress: All",
    "X-Auto-Response-Suppress: DR, OOF, AutoReply",
    "Return-Path: <person@example.com>",
    "Content-Type: multipart/mixed; boundary=report",
    "Content-Type: text/plain; charset=utf-8",
    "List-Unsubscribe: <mailto:x@example.com>",
    "X-Mailer: robot",
]
SENDERS = [
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "MAILER-DAEMON",
    "nao-responda",
    "noreply-x",
]
SUBJECTS = [
    "Resposta automática: RAMAIS=1121",
    "RESPOSTA AUTOMATICA: x",
    "Re: Resposta automática: x",
    "Automatic reply: x",
    "Out of Office: x",
    "=?utf-8?Q?Resposta_autom=C3=A1tica=3A_RAMAIS=3D1121?=",
    "Lida: RAMAIS=1121",
    "Read: RAMAIS=1121",
    "Aceito: RAMAIS=1121",
    "Convite: RAMAIS=1121",
]


@pytest.mark.parametrize("line", ROBOTS)
def test_robots(line: str) -> None:
    assert incoming(PLAIN + line + "\n").robot


@pytest.mark.parametrize("line", PEOPLE)
def test_people(line: str) -> None:
    assert not incoming(PLAIN + line + "\n").robot


@pytest.mark.parametrize("local", SENDERS)
def test_senders_that_take_no_answers(local: str) -> None:
    assert incoming(PLAIN.replace("person@", f"{local}@")).robot


@pytest.mark.parametrize("local", ["noreplyer", "norman.reply", "person-noreply"])
def test_senders_whose_names_look_alike(local: str) -> None:
    assert not incoming(PLAIN.replace("person@", f"{local}@")).robot


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subjects_of_automatic_replies(subject: str) -> None:
    assert incoming(f"From: person@example.com\nSubject: {subject}\n").robot


@pytest.mark.parametrize("subject", ["Re: RAMAIS=1121", "AJUDA: read", "Enc: Re: RAMAIS=1121 INICIO=x"])
def test_subjects_of_people(subject: str) -> None:
    assert not incoming(f"From: person@example.com\nSubject: {subject}\n").robot


def test_an_invitation_is_known_by_its_parts() -> None:
    body = b"--x\nContent-Type: text/plain\n\nhi\n--x\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n"
    assert incoming(PLAIN + "Content-Type: multipart/alternative; boundary=x\n", body).robot
    assert not incoming(PLAIN, b"Content-Type: text/plain\n").robot
