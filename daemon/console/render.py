"""Text for people: aligned columns, units, nothing secret, nothing that moves a terminal's cursor. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

SECRET = "***"  # noqa: S105 - what is shown in place of a secret

_URL_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^/@\s]*@")
_URL_QUERY_SECRET = re.compile(r"([?&](?:api_key|password|token)=)[^&\s]*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "") -> str:
    """Rows as aligned columns, two blanks apart; `right` are the columns aligned to the right."""
    if not rows:
        return ""
    widths = [
        max((len(row[at]) for row in rows if at < len(row)), default=0) for at in range(max(map(len, rows)))
    ]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(widths[at]) if at in right else cell.ljust(widths[at]) for at, cell in enumerate(row)
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def count(number: float) -> str:
    """A number with thousands separated: 12,345 or 0.5."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.1f}"


def duration(seconds: float) -> str:
    """A length of time: 00:03:12, or 2 d 03:14:05."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


def age(seconds: float | None) -> str:
    """How long ago, in seconds while that can be read: "0.2 s", "00:03:12", "-" where unknown."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def moment(millis: int | None, timezone: tzinfo) -> str:
    """A point in time (milliseconds since the epoch) for people: 2025-10-27 11:00:00, "-" where unknown."""
    if millis is None:
        return "-"
    return datetime.fromtimestamp(millis / 1000, timezone).strftime("%Y-%m-%d %H:%M:%S")


def iso(millis: int | None, timezone: tzinfo) -> str | None:
    """The same for programs: ISO 8601 with milliseconds and offset."""
    if millis is None:
        return None
    return datetime.fromtimestamp(millis / 1000, timezone).isoformat(timespec="milliseconds")


def printable(text: str) -> str:
    r"""Control characters made visible (\x1b): no value may drive a terminal. Newlines, tabs stay."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def masked(text: str) -> str:
    """Text without the passwords that URLs carry."""
    return _URL_QUERY_SECRET.sub(rf"\1{SECRET}", _URL_PASSWORD.sub(rf"\1{SECRET}@", text))


def shown(value: object) -> object:
    """A configuration value as plain data, passwords in URLs masked.

    Other secrets are masked by who hands the value out (settings.keys.get).
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): shown(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [shown(inner) for inner in value]
    return masked(str(value))


def plain(value: object) -> str:
    """One value as a person would write it: true, 12,345, "a, b", - for nothing."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list():
            return ", ".join(plain(inner) for inner in value) or "-"
        case _:
            return str(value)
