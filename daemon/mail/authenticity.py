"""Whether our own mail host vouches for a mail's sender. Pure.

Believed is the top Authentication-Results of the configured authserv-id, and
only if no foreign host's Received stands above it: whoever sends a mail may
write such lines into it, but they end up below what the hosts on its way add.

Sources: RFC 8601 (the field), RFC 7489 3.1 (alignment; without a list of
public suffixes only "the same domain, or a parent of it" is aligned).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from daemon.mail.addresses import domain_of, lower

_LONGEST = 10_000  # no mail host writes such a line

_BY = re.compile(r"(?:^|\s)by\s+\[?([^\s;()\[\]]{1,255})", re.IGNORECASE)
_FROM = re.compile(r"\s*from\s", re.IGNORECASE)
_METHOD = re.compile(r"([a-z0-9-]+)(?:\s*/\s*[0-9]+)?\s*=\s*([a-z]+)(?=\s|$)", re.IGNORECASE)
_PROPERTY = re.compile(r"(?:^|\s)([a-z]+\.[a-z0-9_-]+)\s*=\s*(\"[^\"]*\"|\S+)", re.IGNORECASE)


def is_authentic(trace: Sequence[tuple[str, str]], authserv_id: str, sender: str) -> bool:
    """Whether `trace` (Received and Authentication-Results, from the top) vouches for `sender`.

    Without an authserv-id nothing is checked.
    """
    if not authserv_id:
        return True
    for name, value in trace:
        if len(value) > _LONGEST:
            return False
        if name == "received":
            if _is_foreign(value, authserv_id):
                return False
            continue
        written_by, *results = _split(value)
        if lower(_first_word(written_by)) == lower(authserv_id):
            return _vouches(results, lower(domain_of(sender)))
    return False


def _vouches(results: Sequence[str], domain: str) -> bool:
    for result in results:
        method = _METHOD.match(result.strip())
        if not method or method[2].lower() != "pass":
            continue
        told = {match[1].lower(): match[2].strip('"') for match in _PROPERTY.finditer(result)}
        if method[1].lower() == "dmarc" and _aligned(told.get("header.from", domain), domain):
            return True
        if method[1].lower() == "dkim" and _aligned(_signer(told), domain):
            return True
    return False


def _signer(told: dict[str, str]) -> str:
    return told["header.d"] if "header.d" in told else domain_of(told.get("header.i", ""))


def _aligned(signer: str, domain: str) -> bool:
    signer = lower(signer).lstrip("@")
    return signer == domain or ("." in signer.strip(".") and domain.endswith("." + signer))


def _is_foreign(received: str, authserv_id: str) -> bool:
    """A hop that was taken by another host than ours.

    A host's own hand-over (Gmail's `by 2002:a05:...`, `by localhost`) has no
    domain name and is no hop of another host's.
    """
    text = _without_comments(received)
    match = _BY.search(text)
    if not match:
        return True
    by, ours = lower(match[1]).rstrip("."), lower(authserv_id)
    if by == ours or by.endswith("." + ours) or by == "localhost":
        return False
    try:
        ipaddress.ip_address(by.removeprefix("ipv6:"))
    except ValueError:
        return True
    return _FROM.match(text) is not None


def _first_word(text: str) -> str:
    words = text.split()
    return words[0].strip('"') if words else ""


def _split(text: str) -> list[str]:
    """Without comments, taken apart at every `;` outside of quotes; at least one piece."""
    pieces: list[list[str]] = [[]]
    for sign, quoted in _outside_comments(text):
        if sign == ";" and not quoted:
            pieces.append([])
        else:
            pieces[-1].append(sign)
    return ["".join(piece) for piece in pieces]


def _without_comments(text: str) -> str:
    return "".join(sign for sign, _ in _outside_comments(text))


def _outside_comments(text: str) -> Iterator[tuple[str, bool]]:
    """Each character outside of comments, and whether it is in quotes. A comment leaves a blank behind."""
    depth, quoted, escaped = 0, False, False
    for sign in text:
        if escaped:
            escaped = False
        elif sign == "\\" and (quoted or depth):
            escaped = True
        elif sign == '"' and not depth:
            quoted = not quoted
        elif sign == "(" and not quoted:
            depth += 1
            continue
        elif sign == ")" and depth:
            depth -= 1
            yield " ", False
            continue
        if not depth:
            yield sign, quoted
