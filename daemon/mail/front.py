"""What stands in front of a request: Re:, [EXTERNO], the token; and how a subject is shown without it. Pure.

    Re: [EXTERNO] [1A2B3C4D] RAMAIS=...
    prefix  tag     token    rest

A token is 8 hexadecimal digits in square brackets, with blanks inside or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from daemon.mail.plain import plain

_PREFIX = re.compile(
    r"(?:re|res|enc|fwd|fw|rv)\s*(?:\[\s?[0-9]{1,3}\s?\]|\([0-9]{1,3}\))?\s*:", re.IGNORECASE
)
_TAG = re.compile(r"\[([^\[\]=]{0,80})\]")
_TOKEN = re.compile(r"[0-9A-F]{8}")
_NEARLY = re.compile(r"(?=[0-9]*[A-F])(?=[A-F]*[0-9])[0-9A-F]{6,10}")

_LONGEST = 4_000
_MASK = "********"
_HEX_RUN = re.compile(r"[0-9A-Fa-f]{6,}")
_IN_BRACKETS = re.compile(r"\[((?: ?[0-9A-Fa-f]){8} ?)\]")
_SPACED = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f](?: ?[0-9A-Fa-f]){7,9}(?![0-9A-Za-z])")
_MAC_AHEAD = re.compile(r"MAC(?:ATUAL|FUTURO)\s?=\s?[\"']?$", re.IGNORECASE)
_NUMBERS_AHEAD = re.compile(r"(?:RAMAIS|MACCHANGE)\s?=[\s\"'0-9,;-]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Front:
    """A subject taken apart. `tokens`: those in front, in upper case; `rest` is plain.

    `nearly`: there is something in brackets that looks like a mistyped token.
    `cut`: it was too long to be looked at whole.
    """

    tokens: tuple[str, ...] = field(repr=False)
    nearly: bool
    rest: str = field(repr=False)
    cut: bool = False


def take(subject: str) -> Front:
    """Take prefixes, tags and tokens off, any number of them in any order."""
    rest = plain(subject[:_LONGEST])
    tokens: list[str] = []
    nearly = False
    while True:
        prefix = _PREFIX.match(rest)
        tag = None if prefix else _TAG.match(rest)
        if tag:
            inside = tag[1].replace(" ", "").upper()
            if _TOKEN.fullmatch(inside):
                tokens.append(inside)
            nearly = nearly or (_NEARLY.fullmatch(inside) is not None and len(inside) != 8)
        found = prefix or tag
        if not found:
            return Front(tuple(dict.fromkeys(tokens)), nearly, rest, len(subject) > _LONGEST)
        rest = rest[found.end() :].lstrip()


def without_tokens(text: str) -> str:
    """Plain text with everything masked that is a token or might be one.

    Left alone are the 12 digits of a MAC and extensions of 8 digits, where
    they stand as such.
    """
    text = _IN_BRACKETS.sub(f"[{_MASK}]", text)
    ahead, equals, behind = text.partition("=")
    text = _SPACED.sub(_MASK, ahead) + equals + behind
    return _HEX_RUN.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    run, ahead = match[0], match.string[max(0, match.start() - 400) : match.start()]
    if len(run) == 12 and _MAC_AHEAD.search(ahead[-20:]):
        return run
    if len(run) < 8 and (run.isdigit() or run.isalpha()):  # else: a token with a digit lost
        return run
    if run.isdigit() and (len(run) != 8 or _NUMBERS_AHEAD.search(ahead)):
        return run
    return _MASK


def shown(text: str, longest: int = 60) -> str:
    """A piece of a subject for a sentence: without tokens, at most so many characters."""
    text = without_tokens(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
