"""Dates, lengths, sizes and counts as the reader of a mail writes them, in pt_BR and en. Pure."""

from __future__ import annotations

from datetime import date, datetime, tzinfo
from typing import Final

PORTUGUESE: Final = "pt_BR"

_DAYS_PT: Final = ("seg", "ter", "qua", "qui", "sex", "sáb", "dom")
_DAYS_EN: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def pick(language: str, portuguese: str, english: str) -> str:
    """The one of two texts that the reader reads."""
    return portuguese if language == PORTUGUESE else english


def many(number: int, one: str, more: str) -> str:
    """`1 gravação`, `7 gravações`.

    >>> many(2, "recording", "recordings")
    '2 recordings'
    """
    return f"{number} {one if number == 1 else more}"


def moment(when: datetime, zone: tzinfo) -> str:
    """`27/10/2025 08:12:05`, in both languages: as subjects are typed."""
    return when.astimezone(zone).strftime("%d/%m/%Y %H:%M:%S")


def minute(when: datetime, zone: tzinfo) -> str:
    """`27/10/2025 08:12`."""
    return when.astimezone(zone).strftime("%d/%m/%Y %H:%M")


def weekday(day: date, language: str) -> str:
    """`27/10/2025 (seg)`."""
    names = _DAYS_PT if language == PORTUGUESE else _DAYS_EN
    return f"{day:%d/%m/%Y} ({names[day.weekday()]})"


def length(seconds: float | None) -> str:
    """`1:02:03`, `2:07`, `0:04`; an em dash where it is not known.

    >>> length(127.4), length(3723), length(None)
    ('2:07', '1:02:03', '—')
    """
    if seconds is None:
        return "—"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def size(number: int, language: str) -> str:
    """`845 kB`, `1,2 MB`; the decimal comma in Portuguese.

    >>> size(1_234_567, "pt_BR"), size(900, "en")
    ('1,2 MB', '1 kB')
    """
    if number < 1_000_000:
        return f"{max(1, round(number / 1000))} kB"
    unit, value = ("MB", number / 1e6) if number < 1_000_000_000 else ("GB", number / 1e9)
    text = f"{value:.1f} {unit}"
    return text.replace(".", ",") if language == PORTUGUESE else text
