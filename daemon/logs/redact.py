"""Secrets are taken out of all that is logged before it is written anywhere. Pure.

It works on the text of a record (message, traceback, data) before that is
quoted into its line, so the line stays well formed.


Two ways at once: the values that are known to be secret (the configuration's),
in each form in which they can appear in a line; and what looks like a secret
by what stands before it. What is taken out is replaced by `***`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from daemon.logs.format import escape

MASK = "***"
SHORTEST = 4
"""A known secret with fewer characters is left alone: it would blot out half of each line."""

_NAMES = (
    r"password|passwd|passphrase|senha|secret|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key"
    r"|auth[_-]?token|access[_-]?token|refresh[_-]?token|session[_-]?token|client[_-]?secret"
    r"|arimonitor_key|token|pwd"
)
# A value: in quotes, in quotes that are escaped themselves (JSON within a string), or a bare word.
# The opening quote is kept and the closing one is left where it is.
_VALUE = r"""(?:(\\["'])(?:\\{3}.|(?!\2).)*|(["'])(?:\\.|(?!\3).)*|[^\s"'&;,)\]}>\\]+)"""
_KEPT = rf"\1\2\3{MASK}"

# Each is linear in the text: a hostile line must not stall the hub.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # password=..., "password": "...", mq_password='...', api_key=user:pass, PW:... of the definition files
    (
        re.compile(
            rf"""(?i)((?:{_NAMES}|\bpw)\\?["']?\s*[=:]\s*)"""
            rf"""(?!(?:None|null|true|false|\*\*\*)(?![^\s"',;)\]}}])){_VALUE}"""
        ),
        _KEPT,
    ),
    (
        re.compile(r"""(?i)\b((?:proxy-)?authorization\\?["']?\s*[=:]\s*\\?["']?(?:[a-z]+ +)?)[^\s"'\\,]+"""),
        rf"\1{MASK}",
    ),
    # Credentials without their header's name; the capital or digit tells them from "basic authentication".
    (re.compile(r"\b((?i:basic|bearer) +)(?=[^\s\"']*[A-Z0-9=])[A-Za-z0-9+/=._~-]{6,}"), rf"\1{MASK}"),
    # scheme://user:password@host
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s:/@\"']*:)[^\s/\"']+(?=@)"), rf"\1{MASK}"),
    # enc:... as in the configuration, and the same (Fernet) without it
    (re.compile(r"\benc:[A-Za-z0-9_=+/-]{4,}"), f"enc:{MASK}"),
    (re.compile(r"\bgAAAA[A-Za-z0-9_-]{40,}={0,2}"), MASK),
    # [1A2B3C4D]: a sender's token in front of a subject
    (re.compile(r"\[\s*[0-9A-Fa-f]{8}\s*\]"), f"[{MASK}]"),
    (
        re.compile(
            r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        rf"\1{MASK}\2",
    ),
)
# None of the patterns can match in text that has none of these, in lower case: substring searches
# are some ten times faster than one look with a regular expression.
_HINTS = (
    *(
        "pass",
        "senha",
        "secret",
        "token",
        "pwd",
        "pw:",
        "pw=",
        "pw ",
        'pw"',
        "pw'",
        "pw\\",
        "key",
        "authorization",
    ),
    *("basic ", "bearer ", "://", "enc:", "gaaaa"),
)
_TOKEN_HINT = re.compile(r"\[\s*[0-9A-Fa-f]{8}\s*\]")


class Redactor:
    """Knows the secret values and takes them out of text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Learn values; those shorter than SHORTEST are ignored. Old ones stay known."""
        for secret in secrets:
            if len(secret.strip()) >= SHORTEST:
                self._forms |= _forms(secret)
        if self._forms:
            # The longest first: a secret that contains another one goes as a whole.
            ordered = sorted(self._forms, key=lambda form: (-len(form), form))
            self._known = re.compile("|".join(map(re.escape, ordered)))

    def __call__(self, text: str) -> str:
        """`text` without its secrets."""
        if self._known is not None and any(form in text for form in self._forms):
            text = self._known.sub(MASK, text)
        lower = text.lower()
        if any(hint in lower for hint in _HINTS) or ("[" in text and _TOKEN_HINT.search(text)):
            for pattern, replacement in _PATTERNS:
                text = pattern.sub(replacement, text)
        return text


def _forms(secret: str) -> set[str]:
    """A secret as it is and as quoting, JSON, repr, URLs and base64 write it."""
    plain = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
        quote(secret),
        base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode(),
    }
    return plain | {escape(form) for form in plain}
