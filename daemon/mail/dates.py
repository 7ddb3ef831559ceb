"""Dates and times as people type them, in the node's time zone. Pure.

DD/MM/YYYY, DD-MM-YYYY, DD.MM.YYYY, YYYY-MM-DD, years of two digits (20YY);
HH:MM, HH:MM:SS, HHhMM, HHh, 24:00. Nothing may stand between the two but
blanks (or the T of ISO 8601).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from daemon.mail.front import shown
from daemon.mail.mistakes import Mistake

FORM = "%d/%m/%Y %H:%M"

_DATE = re.compile(
    r"(?:(?P<d>[0-9]{1,2})(?P<s>[/.-])(?P<m>[0-9]{1,2})(?P=s)(?P<y>[0-9]{4}|[0-9]{2})"
    r"|(?P<iy>[0-9]{4})-(?P<im>[0-9]{1,2})-(?P<id>[0-9]{1,2}))(?![0-9])"
)
_TIME = re.compile(r"(?P<h>[0-9]{1,2})(?::(?P<m>[0-9]{2})(?::(?P<s>[0-9]{2}))?|[hH](?P<hm>[0-9]{2})?)")
_TIME_INSIDE = re.compile(r"[0-9]{1,2}(?::|[hH])[0-9]{2}|[0-9]{1,2}[hH]\b")
_AM_PM = re.compile(r"[0-9]\s*[ap]\.?\s?m\b", re.IGNORECASE)
_FIRST_YEAR, _LAST_YEAR = 1970, 2199


def moment(key: str, text: str, timezone: tzinfo) -> datetime:
    """The local time (naive) that is meant. Without a time INICIO is 00:00, FIM 23:59.

    A time that a clock change left out is moved forward by what was left out.
    Raises Mistake.
    """
    names = {"key": key, "value": shown(text)}
    if _AM_PM.search(text):
        raise Mistake("am-pm", **names)
    found = _DATE.match(text)
    if not found:
        raise Mistake("bad-date", **names)
    time_text = _time_part(text, found, names)
    if time_text:
        hour, minute, second = _time(time_text, names)
    else:
        hour, minute, second = (23, 59, 0) if key == "FIM" else (0, 0, 0)
    year = int(found["y"] or found["iy"])
    year += 2000 if found["y"] and len(found["y"]) == 2 else 0
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise Mistake("impossible-date", **names)
    try:
        day = datetime(year, int(found["m"] or found["im"]), int(found["d"] or found["id"]))  # noqa: DTZ001
    except ValueError as error:
        raise Mistake("impossible-date", **names) from error
    return forward(day + timedelta(hours=hour, minutes=minute, seconds=second), timezone)


def forward(local: datetime, timezone: tzinfo) -> datetime:
    """A local time that there was: others are moved forward by the gap (PEP 495)."""
    return local.replace(tzinfo=timezone).astimezone(UTC).astimezone(timezone).replace(tzinfo=None, fold=0)


def span(parameters: Mapping[str, str], timezone: tzinfo) -> tuple[datetime, datetime]:
    """`inicio` and `fim` of normalised parameters as aware times, both inclusive.

    `fim` means its whole minute. Of an hour that a clock change repeats, the
    begin is the first one and the end the second one. Raises ValueError.
    """
    begin = datetime.strptime(parameters["inicio"], FORM).replace(tzinfo=timezone, fold=0)
    end = datetime.strptime(parameters["fim"], FORM).replace(second=59, tzinfo=timezone, fold=1)
    return begin, end


def normal(local: datetime) -> str:
    """`DD/MM/YYYY HH:MM`; seconds are cut."""
    return local.strftime(FORM)


def _time_part(text: str, date: re.Match[str], names: dict[str, str]) -> str:
    """What is behind the date, without what joins the two."""
    rest = text[date.end() :]
    if not rest.strip():
        return ""
    iso = date["iy"] is not None and re.match(r"[Tt](?=[0-9])", rest)
    if iso:
        return rest[1:]
    if rest[0] != " " or not rest.strip()[0].isdigit():
        raise Mistake("between-date-and-time" if _TIME_INSIDE.search(rest) else "trailing-words", **names)
    return rest.strip()


def _time(text: str, names: dict[str, str]) -> tuple[int, int, int]:
    found = _TIME.match(text)
    if found and text[found.end() :].startswith(" "):
        raise Mistake("trailing-words", **{**names, "value": shown(text[found.end() :].strip())})
    if not found or found.end() != len(text):
        raise Mistake("bad-time", **names)
    hour, minute, second = int(found["h"]), int(found["m"] or found["hm"] or 0), int(found["s"] or 0)
    if (hour > 23 or minute > 59 or second > 59) and (hour, minute, second) != (24, 0, 0):
        raise Mistake("impossible-time", **names)
    return hour, minute, second
