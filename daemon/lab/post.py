"""Sample recordings and requests of the lab: tones in place of talks, mails of nobody. Adapter of files.

DIR/recordings/YYYY/MM/DD/    some WAVs of each of the last days, made at the first start of the day
DIR/mails/*.eml               requests to drop into the inbox
"""

from __future__ import annotations

import email.policy
import math
import os
import wave
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from daemon.lab.people import Company

DAYS: Final = 10
A_DAY: Final = 24
PERSON: Final = "portaria@example.com"
_RATE: Final = 8000


def recordings(folder: Path, people: Sequence[Company], now: datetime) -> int:
    """Make those of the days that have none yet; how many were made."""
    made = 0
    for back in range(1, DAYS + 1):
        day = (now - timedelta(days=back)).replace(hour=8, minute=0, second=0, microsecond=0)
        place = folder / f"{day:%Y/%m/%d}"
        if place.exists():
            continue
        part = folder / f".{day:%Y%m%d}.{os.getpid()}.part"
        part.mkdir(parents=True)
        for number in range(A_DAY):
            phones = people[number % len(people)].phones
            origin, destiny = (phones[(number + step) % len(phones)].number for step in (0, 1))
            begun = day + timedelta(minutes=23 * number)
            name = f"internal-{origin}-{destiny}-{begun:%Y%m%d-%H%M%S}-{begun.timestamp():.0f}.{number}.wav"
            _tone(part / name, 300 + 40 * number, 0.4 + 0.1 * (number % 8))
            os.utime(part / name, (begun.timestamp() + 10, begun.timestamp() + 10))
            made += 1
        place.parent.mkdir(parents=True, exist_ok=True)
        part.rename(place)
    return made


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


def _tone(file: Path, hertz: int, seconds: float) -> None:
    count = round(_RATE * seconds)
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        period = [round(9000 * math.sin(2 * math.pi * hertz * at / _RATE)) for at in range(_RATE // 10)]
        tenth = b"".join(each.to_bytes(2, "little", signed=True) for each in period)
        out.writeframes((tenth * (count // len(period) + 1))[: 2 * count])
