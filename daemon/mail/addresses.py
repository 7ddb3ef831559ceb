"""Whose mail it is: the one address of the one From field, or nobody's. Pure.

The raw field is read, never a decoded one: an encoded word may decode to
something that looks like an address. A group, several addresses, a quoted
local part, a trailing dot, letters outside of ASCII or anything odd are
nobody's.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=.{1,253}\Z)"
    r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*"
)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def lower(address: str) -> str:
    """Lower case for comparing, of ASCII only: the Kelvin sign is no k."""
    return address.translate(_LOWER)


def domain_of(address: str) -> str:
    """What is behind the @."""
    return address.rpartition("@")[2]


def is_address(text: str) -> bool:
    """Whether it is one plain mail address."""
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def sender_of(values: Sequence[str]) -> str:
    """The address of the only From field, in lower case; "" if it is nobody's."""
    if len(values) != 1:
        return ""
    address = _only_address(values[0])
    return lower(address) if is_address(address) else ""


def _only_address(text: str) -> str:
    """The text in angle brackets, or the only word; "" for anything but one mailbox."""
    bare = _without_comments_and_quotes(text)
    if bare is None or any(sign in bare for sign in ",;:"):
        return ""
    if "<" not in bare and ">" not in bare:
        return bare.strip()
    before, _, rest = bare.partition("<")
    inside, closed, behind = rest.partition(">")
    if ">" in before or "<" in rest or not closed or behind.strip():
        return ""
    return inside.strip()


def _without_comments_and_quotes(text: str) -> str | None:
    """What is left outside of comments; a quoted string leaves a `"` behind. None: one is not closed."""
    kept: list[str] = []
    depth, quoted, escaped = 0, False, False
    for sign in text:
        if escaped:
            escaped = False
        elif sign == "\\" and (quoted or depth):
            escaped = True
        elif quoted:
            quoted = sign != '"'
        elif sign == '"' and not depth:
            quoted = True
            kept.append(sign)
        elif sign == "(":
            depth += 1
        elif sign == ")" and depth:
            depth -= 1
        elif not depth:
            kept.append(sign)
    return None if quoted or depth else "".join(kept)
