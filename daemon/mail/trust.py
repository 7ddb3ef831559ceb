"""Who is believed, who may ask for what, who has asked too often. Pure.

`stranger` comes before anything of the subject is read: whom it names a reason
for is neither answered nor served. The others return a Failure, which is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, Protocol

from daemon.jobs.model import Command, Failure
from daemon.mail import extensions
from daemon.mail.addresses import lower
from daemon.mail.authenticity import is_authentic
from daemon.mail.message import Incoming
from daemon.mail.policy import Policy
from daemon.mail.tokens import Tokens

DANGEROUS: frozenset[Command] = frozenset(("CHECKIP", "MACCHANGE"))
HOUR = timedelta(hours=1)
TOO_MANY = frozenset(("too-many-mails", "too-many-mails-in-all"))
"""The failures that are told once an hour: what History.warned asks for."""

Why = Literal[
    "header-too-big",
    "nobodys",
    "unknown-sender",
    "unauthentic",
    "robot",
    "own",
    "duplicate",
    "no-request",
    "too-many",
]

_OWN_ID = re.compile(r"<([^@]+)\.(?:queued|result|refused|help|failed|alert)(?:[.-][^@]*)?@([^>]+)>")
_REQUEST_ID = re.compile(r"[0-9]{8}_[0-9]{6}_[0-9a-f]{8}")


class History(Protocol):
    """What came before; the store of records implements it."""

    def known(self, request_id: str) -> bool:
        """Whether this very mail was decided about already."""

    def recent(self, sender: str, since: datetime) -> int:
        """How many mails of a sender (in lower case) were accepted, refused or helped since then."""

    def recent_all(self, since: datetime) -> int:
        """The same of all senders."""

    def warned(self, sender: str, since: datetime) -> bool:
        """Whether the sender was refused with one of TOO_MANY since then."""


def stranger(incoming: Incoming, policy: Policy) -> tuple[Why, str] | None:
    """Why a mail is left alone, as a word to count and a sentence's end for the log; None: it is believed."""
    if incoming.too_big:
        return "header-too-big", "its header has over 1,000 lines or 100 kB"
    if not incoming.sender:
        return "nobodys", "its From is not exactly one address"
    if _is_own(incoming.message_id, policy.own_domain):
        return "own", "it is one of our own mails"
    if not policy.knows(incoming.sender):
        return "unknown-sender", f"{incoming.sender} is not on the whitelist"
    if not is_authentic(incoming.trace, policy.authserv_id, incoming.sender):
        return "unauthentic", f"{policy.authserv_id} does not vouch for {incoming.sender}"
    if incoming.robot:
        return "robot", f"a program sent it ({incoming.robot})"
    return None


def too_many(sender: str, policy: Policy, history: History, now: datetime) -> Failure | None:
    """Over the limit of mails an hour."""
    since = now - HOUR
    if history.recent(lower(sender), since) >= policy.per_sender:
        return Failure("too-many-mails", {"most": str(policy.per_sender)})
    if history.recent_all(since) >= policy.in_all:
        return Failure("too-many-mails-in-all", {"most": str(policy.in_all)})
    return None


def token_failure(
    sender: str, given: tuple[str, ...], command: Command, policy: Policy, tokens: Tokens, now: datetime
) -> Failure | None:
    """A token that is needed and missing, or given and not right. With "never" none is looked at."""
    if policy.require_token == "never":  # noqa: S105
        return None
    if not given:
        needed = command in DANGEROUS or policy.require_token == "always"  # noqa: S105
        return Failure("token-missing") if needed else None
    verdicts = {tokens.verify(sender, token, now) for token in given}
    if "wrong" in verdicts:
        return Failure("token-wrong")
    return Failure("token-expired") if "expired" in verdicts else None


def not_allowed(
    sender: str, command: Command, parameters: Mapping[str, str], policy: Policy
) -> Failure | None:
    """A command or extensions that the sender may not ask for. Servers: see routing."""
    rights = policy.rights_of(sender)
    if command not in rights.commands:
        return Failure("command-not-allowed", {"command": command})
    wanted = parameters["ramais"].split(",") if command == "RAMAIS" else [parameters.get("ramal", "")]
    if command != "CHECKIP":
        refused = list(extensions.not_allowed(wanted, rights.extensions))
        if refused:
            return Failure("extensions-not-allowed", {"extensions": ", ".join(refused)})
    return None


def _is_own(message_id: str, own_domain: str) -> bool:
    """Made of one of our request ids, or in our domain in that form (an id may be a dropped file's)."""
    match = _OWN_ID.fullmatch(message_id)
    return match is not None and (
        lower(match[2]) == own_domain or _REQUEST_ID.fullmatch(match[1]) is not None
    )
