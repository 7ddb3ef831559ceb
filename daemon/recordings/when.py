"""Dates of a normalised request and of the command line: DD/MM/YYYY HH:MM and ISO. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final

_FORMS: Final = (
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
)


def read(text: str, timezone: tzinfo) -> datetime:
    """A local time as an aware datetime; one that did not exist is moved forward. Raises ValueError."""
    for form in _FORMS:
        try:
            found = datetime.strptime(text.strip(), form).replace(tzinfo=timezone)
        except ValueError:
            continue
        return found.astimezone(UTC).astimezone(timezone)
    raise ValueError(f'{text!r} is no time: "27/10/2025 08:00" or "2025-10-27 08:00"')


def whole_minute(end: datetime) -> datetime:
    """Until 18:00 is until 18:00:59: a call that began within the last minute is meant."""
    return end.replace(second=59) if end.second == 0 else end
