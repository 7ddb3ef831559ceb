"""Sample requests of the lab: DIR/mails/*.eml, to drop into the inbox; mails of nobody. Adapter of files."""

from __future__ import annotations

import email.policy
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from daemon.lab.people import Company

PERSON: Final = "portaria@example.com"


def subject(people: Sequence[Company], now: datetime) -> str:
    """A request that finds something."""
    phones = people[0].phones
    begin, end = now - timedelta(days=2), now - timedelta(days=1)
    return f"RAMAIS={phones[0].number} INICIO={begin:%d/%m/%Y} FIM={end:%d/%m/%Y}"


def mails(folder: Path, people: Sequence[Company], now: datetime) -> None:
    """The requests to drop, made anew at each start: their dates are near."""
    folder.mkdir(parents=True, exist_ok=True)
    subjects = {
        "recordings": subject(people, now),
        "help": "AJUDA",
        "wrong": "RAMAIS=12 INICIO=ontem FIM=hoje",
    }
    for name, text in subjects.items():
        made = EmailMessage(policy=email.policy.SMTP)
        made["From"] = f"Portaria <{PERSON}>"
        made["To"] = "arimonitor@example.com"
        made["Subject"] = text
        made["Date"] = format_datetime(now)
        made["Message-ID"] = f"<{name}.{now:%Y%m%d%H%M%S}@lab.example.com>"
        made.set_content("(LAB)\n")
        (folder / f"{name}.eml").write_bytes(bytes(made))
