"""Sender tokens: kept as salted hashes, compared in constant time. Pure.

A token is 8 hexadecimal digits. They are few, so the hash is a slow one
(PBKDF2-HMAC-SHA256) and the file is readable by its owner only. What is random
(token, salt) is an argument.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from daemon.mail.addresses import lower

Verdict = Literal["right", "wrong", "expired"]

IMPORTED_DAYS = 90
ROUNDS = 10_000  # some 4 ms each
_TOKEN = re.compile(r"[0-9A-F]{8}")


class Entry(msgspec.Struct, frozen=True):
    """One token. `sender` is "" for an imported one, which holds for every whitelisted sender.

    `salt` and `hash` are hexadecimal. `id` names it in lists and for revoking.
    """

    id: str
    sender: str
    created: datetime
    expires: datetime
    salt: str
    hash: str
    rounds: int = ROUNDS

    def __repr__(self) -> str:
        """Without salt and hash: 2**32 tokens are soon tried."""
        return f"Entry(id={self.id!r}, sender={self.sender!r}, expires={self.expires.isoformat()!r})"


class Tokens(msgspec.Struct, frozen=True):
    """Every token of the site."""

    entries: tuple[Entry, ...] = ()

    def verify(self, sender: str, token: str, now: datetime) -> Verdict:
        """Whether `token` is one of `sender`'s, or an ownerless one. `now` is aware.

        Every candidate is compared, however early one fits.
        """
        digests: dict[tuple[str, int], str] = {}
        verdict: Verdict = "wrong"
        for entry in self.entries:
            if entry.sender not in ("", lower(sender)):
                continue
            key = (entry.salt, entry.rounds)
            if key not in digests:
                digests[key] = digest(token, *key)
            if hmac.compare_digest(digests[key].encode(), entry.hash.encode()):
                alive = now < entry.expires
                verdict = "right" if alive or verdict == "right" else "expired"
        return verdict

    def ownerless(self, now: datetime) -> int:
        """How many imported tokens still hold for everybody: a warning is due."""
        return sum(not entry.sender and now < entry.expires for entry in self.entries)

    def added(self, *entries: Entry) -> Tokens:
        """With `entries` too; expired ones of more than a year ago are dropped."""
        newest = max((entry.created for entry in entries), default=None)
        kept = (
            entry for entry in self.entries if newest is None or entry.expires > newest - timedelta(days=365)
        )
        return Tokens((*kept, *entries))

    def revoked(self, who: str) -> tuple[Tokens, tuple[Entry, ...]]:
        """Without those of a sender, or the one of an id; and which ones these were."""
        gone = tuple(entry for entry in self.entries if who and lower(who) in (entry.sender, entry.id))
        return Tokens(tuple(entry for entry in self.entries if entry not in gone)), gone


def digest(token: str, salt: str, rounds: int) -> str:
    """The hash of a token, in hexadecimal. Upper and lower case are the same token."""
    return hashlib.pbkdf2_hmac("sha256", token.upper().encode(), bytes.fromhex(salt), rounds).hex()


def normal(token: str) -> str:
    """The token in its normal form. Raises ValueError, which never has it in it."""
    bare = token.strip().strip("[]").replace(" ", "").upper()
    if not _TOKEN.fullmatch(bare):
        raise ValueError("a token is 8 hexadecimal digits (0 to 9 and A to F)")
    return bare


def entry_of(token: str, sender: str, now: datetime, days: int, salt: bytes) -> Entry:
    """A token to keep: `salt` is 16 random bytes. Raises ValueError."""
    hashed = digest(normal(token), salt.hex(), ROUNDS)
    # The id is of the hash, not of the token; it is long enough to be the only one and says nothing.
    name = hashlib.sha256(f"{sender}\n{hashed}".encode()).hexdigest()[:6]
    return Entry(name, lower(sender), now, now + timedelta(days=days), salt.hex(), hashed)


def imported(lines: Sequence[str], now: datetime, salt: bytes) -> tuple[tuple[Entry, ...], tuple[int, ...]]:
    """Entries for the tokens of the old valid_tokens.txt, and the numbers of lines that have none.

    They belong to nobody, so they hold for every whitelisted sender, for 90
    days. Empty lines and `#` comments are left out. One salt for all of them:
    a mail's token is then hashed once, not once for each.
    """
    entries: dict[str, Entry] = {}
    bad: list[int] = []
    for number, line in enumerate(lines, 1):
        word = line.partition("#")[0].strip("\ufeff \t\r\n")
        if not word:
            continue
        try:
            entry = entry_of(word, "", now, IMPORTED_DAYS, salt)
        except ValueError:
            bad.append(number)
        else:
            entries.setdefault(entry.hash, entry)
    return tuple(entries.values()), tuple(bad)
