"""What a recording's file name says: who called whom, and when. Pure.

    internal-1121-1122-20251027-080000-1761562800.42.mp3
    [words-]ORIGIN-DESTINY-YYYYMMDD-HHMMSS[-anything].mp3|wav   `_` and `-` are the same
    20251027-080000-ORIGIN-DESTINY.wav                          the date in front
    in-, out-, external-, q-, ...                               any word in front

The time in a name is the wall clock's. An hour that a clock change repeats is
in the names twice, and nobody can tell which is meant: times are compared as
the wall shows them ("wall seconds": seconds since 1970 as if the wall were
UTC), so that a search of that hour finds the recordings of both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

import msgspec

DAY: Final = 86_400
_MAX_NAME: Final = 255
_COMMON: Final = re.compile(
    r"(?:[A-Za-z]+-)?(\+?[0-9]+)-(\+?[0-9]+)-([0-9]{8})-([0-2][0-9])([0-5][0-9])([0-5][0-9])(?:[-_.].*)?"
    r"\.(mp3|wav)\Z",
    re.IGNORECASE | re.DOTALL,
)
_SEPARATORS: Final = re.compile(r"[-_ ]+")
_PARTY: Final = re.compile(r"\+?[0-9A-Za-z*#]{1,40}")
_EPOCH: Final = 719_163  # date(1970, 1, 1).toordinal()
_PREFIXES: Final = frozenset(
    "internal external in out inbound outbound q queue exten ext rg g group force ondemand rec call".split()
)
_TECHNOLOGIES: Final = frozenset({"sip", "pjsip", "iax2", "dahdi", "local"})


class Name(msgspec.Struct, frozen=True, gc=False):
    """A recording's name, read. `wall` in wall seconds; `format` is wav or mp3."""

    origin: str
    destiny: str
    wall: int
    format: str


def parse(name: str) -> Name | None:
    """None: this is no recording's name. Never an error, whatever the name holds."""
    found = _COMMON.match(name)
    if found is None:
        return _parse_other(name)
    origin, destiny, day, hours, minutes, seconds, kind = found.groups()
    midnight = _midnight(day)
    if midnight is None or hours > "23":
        return None
    wall = midnight + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return Name(origin, destiny, wall, kind.lower())


def _parse_other(name: str) -> Name | None:
    stem, dot, kind = name.rpartition(".")
    if not dot or kind.lower() not in ("mp3", "wav") or len(name) > _MAX_NAME:
        return None
    words = _SEPARATORS.split(stem)
    for at, word in enumerate(words):
        day, clock, after = word[:8], word[8:], at + 1
        if not clock and after < len(words):
            clock, after = words[after][:6], after + 1
        midnight = _midnight(day)
        seconds = _clock(clock)
        if midnight is None or seconds is None or len(word) not in (8, 14):
            continue
        parties = _parties(words[:at]) or _parties(words[after:])
        if not parties:
            return None
        return Name(parties[0], parties[1] if len(parties) > 1 else "", midnight + seconds, kind.lower())
    return None


def _parties(words: Sequence[str]) -> list[str]:
    parties = [
        word for word in words if _PARTY.fullmatch(word) and word.lower() not in _TECHNOLOGIES
    ]  # an id such as 1761562800.42 is no party: it has a dot
    if parties and parties[0].isalpha() and (len(parties) > 2 or parties[0].lower() in _PREFIXES):
        parties = parties[1:]
    return parties if any(party.lstrip("+").isdigit() for party in parties) else []


def _clock(text: str) -> int | None:
    if len(text) != 6 or not (text.isascii() and text.isdigit()):
        return None
    hours, minutes, seconds = int(text[:2]), int(text[2:4]), int(text[4:])
    return hours * 3600 + minutes * 60 + seconds if hours < 24 and minutes < 60 and seconds < 60 else None


@lru_cache(maxsize=8192)
def _midnight(day: str) -> int | None:
    if len(day) != 8 or not (day.isascii() and day.isdigit()):
        return None
    try:
        found = date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return None
    return (found.toordinal() - _EPOCH) * DAY if 1990 <= found.year <= 2100 else None


def wall_of(moment: datetime, timezone: tzinfo) -> int:
    """An aware datetime as the wall in `timezone` shows it."""
    return int(moment.astimezone(timezone).replace(tzinfo=UTC, microsecond=0).timestamp())


def moment_of(wall: int, timezone: tzinfo) -> datetime:
    """The first moment at which the wall showed that; of one that it never showed, the moment moved on."""
    shown = datetime.fromtimestamp(wall, UTC).replace(tzinfo=timezone)
    if shown.utcoffset() == shown.replace(fold=1).utcoffset():
        return shown  # no clock change near
    return shown.astimezone(UTC).astimezone(timezone)


def wall_day(wall: int) -> date:
    """The date that the wall shows."""
    return date.fromordinal(_EPOCH + wall // DAY)


def shown(name: str, limit: int = 200) -> str:
    """A name for people, logs and JSON: no control characters, no stray bytes, bounded."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in text)[:limit]


def file_of(key: str) -> str:
    """A key's name without folders, for people."""
    return shown(key.rpartition("/")[2])


def stem(name: str) -> str:
    """A name without folders and without its ending: what a WAV and its MP3 share."""
    return name.rpartition("/")[2].rpartition(".")[0]


def may_hold(parts: Sequence[str], begin: int, end: int) -> bool:
    """Whether a folder may hold recordings of those wall seconds, by the dates in its path.

    Understood: YYYY/MM/DD, YYYY/YYYYMM, YYYYMMDD, YYYY-MM-DD and beginnings of
    these; a folder with any other name may hold everything. A day of margin: a
    call that began before midnight may lie in the next day's folder.
    """
    return _may_hold(tuple(parts), begin // DAY - 1, end // DAY + 1)


@lru_cache(maxsize=16384)
def _may_hold(parts: tuple[str, ...], first: int, last: int) -> bool:
    span = dates_of(parts)
    if span is None:
        return True
    low, high = span
    return low.toordinal() - _EPOCH <= last and high.toordinal() - _EPOCH >= first


def dates_of(parts: Sequence[str]) -> tuple[date, date] | None:
    """First and last day that a path's dates leave; None where it has none."""
    digits = ""
    for part in parts:
        plain = part.replace("-", "").replace("_", "")
        if not (plain.isascii() and plain.isdigit()):
            continue
        if len(plain) in (4, 6, 8) and 1990 <= int(plain[:4]) <= 2100:
            digits = plain
        elif len(plain) == 2 and len(digits) in (4, 6):
            digits += plain
    try:
        match len(digits):
            case 4:
                return date(int(digits), 1, 1), date(int(digits), 12, 31)
            case 6:
                first = date(int(digits[:4]), int(digits[4:]), 1)
                return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
            case 8:
                day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
                return day, day
    except ValueError:
        return None
    return None
