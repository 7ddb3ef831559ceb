"""Extensions: lists and ranges of them as people type them, and those that somebody may ask for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from daemon.mail.front import shown
from daemon.mail.mistakes import Mistake

_ONE = re.compile(r"[0-9]{3,8}")
_RANGE = re.compile(r"([0-9]{3,8})-([0-9]{3,8})")


def several(text: str, most: int) -> tuple[str, ...]:
    """Extensions in the order typed, each once, ranges counted out. Raises Mistake."""
    found: dict[str, None] = {}
    for item in re.split(r"[,;\s]+", text):
        if not item:
            continue
        first, last = _bounds(item, found)
        if int(last) - int(first) >= most:
            raise Mistake("too-many-extensions", count=str(int(last) - int(first) + 1), most=str(most))
        for number in range(int(first), int(last) + 1):
            found[str(number).zfill(len(first))] = None
    if not found:
        raise Mistake("no-extension")
    if len(found) > most:
        raise Mistake("too-many-extensions", count=str(len(found)), most=str(most))
    return tuple(found)


def one(text: str) -> str:
    """The only extension. Raises Mistake."""
    if not _ONE.fullmatch(text):
        raise Mistake(
            "trailing-words" if _ONE.match(text) and " " in text else "bad-extension", value=shown(text)
        )
    return text


def not_allowed(wanted: Sequence[str], allowed: Sequence[str]) -> Iterator[str]:
    """Those of `wanted` that are in no number or range of `allowed`; nothing where `allowed` is empty."""
    for extension in wanted:
        if allowed and not any(_within(extension, entry) for entry in allowed):
            yield extension


def _within(extension: str, entry: str) -> bool:
    first, dash, last = entry.partition("-")
    if not dash:
        return extension == entry
    return len(first) <= len(extension) <= len(last) and int(first) <= int(extension) <= int(last)


def _bounds(item: str, before: dict[str, None]) -> tuple[str, str]:
    if _ONE.fullmatch(item):
        return item, item
    match = _RANGE.fullmatch(item)
    if not match:
        words = bool(before) and not any(sign.isdigit() for sign in item)
        raise Mistake("trailing-words" if words else "bad-extension", value=shown(item))
    first, last = match[1], match[2]
    if int(last) < int(first) or (len(first) != len(last) and (first[0] == "0" or last[0] == "0")):
        raise Mistake("bad-range", value=shown(item))
    return first, last
