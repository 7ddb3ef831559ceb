"""`KEY=VALUE` after `KEY=VALUE`: a subject taken apart, before anybody asks what the values mean. Pure.

A key has a blank or `;` before it, or begins the text. A value goes on to the
next key; in quotes, to the closing one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from daemon.mail.front import shown
from daemon.mail.mistakes import Mistake
from daemon.mail.plain import fold


def assignments(text: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each known key with its value as typed. Raises Mistake."""
    key, at = _key(text, 0, known)
    while key:
        begin = at
        while text[begin : begin + 1] == " ":
            begin += 1
        sign = text[begin : begin + 1]
        if sign in ('"', "'"):
            end = text.find(sign, begin + 1)
            if end < 0:
                raise Mistake("open-quote", key=key)
            value, at = text[begin + 1 : end], end + 1
            if text[at : at + 1] not in ("", " ", ";"):
                raise Mistake("glued", value=shown(text[begin:].partition(" ")[0]))
            following, at = _key(text, at, known)
        else:
            equals = text.find("=", begin)
            following, at = _key(text, begin, known, stray=False)
            value = text[begin : _start_of_key(text, equals, begin)] if equals >= 0 else text[begin:]
        value = value.strip(" ;")
        if not value:
            raise Mistake("empty-value", key=key)
        yield key, value
        key = following


def _key(text: str, begin: int, known: Collection[str], *, stray: bool = True) -> tuple[str, int]:
    """The next key and where its value begins; ("", end) if there is none.

    With `stray`, nothing but blanks and `;` may stand before it.
    """
    equals = text.find("=", begin)
    if equals < 0:
        left = text[begin:].strip(" ;") if stray else ""
        if left:
            raise Mistake("trailing-words", value=shown(left))
        return "", len(text)
    start = _start_of_key(text, equals, begin)
    if stray and text[begin:start].strip(" ;"):
        raise Mistake("stray-words", value=shown(text[begin:start].strip(" ;")))
    typed = text[start:equals].strip()
    key = fold(typed)
    if key in known:
        return key, equals + 1
    if any(key.endswith(name) for name in known):
        raise Mistake("glued", value=shown(typed))
    raise Mistake("unknown-key", key=shown(typed, 30))


def _start_of_key(text: str, equals: int, begin: int) -> int:
    """Where the word before an equals sign begins."""
    end = equals
    while end > begin and text[end - 1] == " ":
        end -= 1
    word = re.split(r"[ ;]", text[begin:end])[-1]
    return end - len(word)
