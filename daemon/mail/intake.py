"""What to do about a mail: accept, refuse, help, or leave it alone. Pure.

header, From, our own?   stranger  ─┐
whitelist, authentic?    stranger   ├→ Ignore: never answered, never carried out
a program's?             stranger   │
seen before?             history    │
command or token?        grammar   ─┘
one Subject?             ─┐
how many this hour?       ├→ Refuse: told (over the limit: once an hour, then Ignore)
token, grammar            │
rights, route            ─┘
AJUDA                     → Help
else                      → Accept
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from daemon.jobs.model import Command, Failure, Request
from daemon.mail import reasons, trust
from daemon.mail import subject as subject_grammar
from daemon.mail.addresses import lower
from daemon.mail.front import Front, shown, take
from daemon.mail.message import Incoming
from daemon.mail.policy import Policy, policy_of
from daemon.mail.routing import route
from daemon.mail.subject import (
    MAX_LENGTH,
    Parsed,
    Refusal,
    command_of,
    understand,
    wants_something,
)
from daemon.mail.tokens import Tokens
from daemon.mail.trust import History, Why

__all__ = ["Accept", "Decision", "Help", "Ignore", "Policy", "Refuse", "decide", "policy_of", "typed"]

_LONGEST_SUBJECT = 300


@dataclass(frozen=True, slots=True)
class Accept:
    """A request to carry out."""

    request: Request


@dataclass(frozen=True, slots=True)
class Refuse:
    """A mail whose sender is told why not; `request` has no command."""

    request: Request
    failure: Failure


@dataclass(frozen=True, slots=True)
class Help:
    """A mail whose sender is told how to ask; `request` has no command."""

    request: Request


@dataclass(frozen=True, slots=True)
class Ignore:
    """A mail that is left alone: `why` to count by, `text` is the end of a sentence for the log."""

    why: Why
    text: str


Decision = Accept | Refuse | Help | Ignore


def decide(incoming: Incoming, policy: Policy, tokens: Tokens, history: History, now: datetime) -> Decision:
    """What to do about a mail. `now` is aware. Never raises by what the mail has in it."""
    strange = trust.stranger(incoming, policy)
    if strange:
        return Ignore(*strange)
    if history.known(incoming.request_id):
        return Ignore("duplicate", f"it is {incoming.request_id} once more")
    front = take(incoming.subject)
    if not wants_something(front) and incoming.subjects < 2:
        return Ignore("no-request", f"{incoming.sender} asks for nothing: neither command nor token")
    bare = _bare(incoming, front, policy)
    over = trust.too_many(incoming.sender, policy, history, now)
    if over:
        if history.warned(incoming.sender, now - trust.HOUR):
            return Ignore("too-many", f"{incoming.sender} is over the limit and was told so")
        return Refuse(bare, over)
    if incoming.subjects > 1:
        return Refuse(bare, Failure("two-subjects"))
    understood = understand(front, policy.limits, now)
    if isinstance(understood, subject_grammar.Help):
        return Help(bare)
    failure = trust.token_failure(incoming.sender, front.tokens, command_of(front), policy, tokens, now)
    if failure and not (failure.code == "token-missing" and _is_misplaced(understood)):
        return Refuse(bare, failure)
    request = _request(bare, understood, policy)
    return Refuse(bare, request) if isinstance(request, Failure) else Accept(request)


def _is_misplaced(understood: Parsed | Refusal) -> bool:
    """Whether a token is there, but not as it must be: more helpful to hear than that it is missing."""
    return isinstance(understood, Refusal) and understood.code in (
        "token-form",
        "token-brackets",
        "token-place",
    )


def typed(subject: str, sender: str, policy: Policy, now: datetime) -> Request | Failure:
    """The request of somebody who is on the machine: `arimonitor request SUBJECT --from E`.

    As a mail of that sender, but its token is not asked for: whoever can start
    this program has the queue's folder before him. `now` (aware) makes the id.
    """
    if not policy.knows(sender):
        return Failure("sender-unknown", {"sender": shown(sender)})
    front = take(subject)
    understood = understand(front, policy.limits, now)
    if isinstance(understood, subject_grammar.Help):
        return Failure("help-is-no-request", {reasons.FORM_OF: ""})
    now = now.astimezone(UTC)
    told = "\n".join((now.isoformat(), sender, front.rest)).encode("utf-8", "surrogatepass")
    incoming = Incoming(
        uid="",
        request_id=f"{now:%Y%m%d_%H%M%S}_{hashlib.sha256(told).hexdigest()[:8]}",
        received=now,
        sender=lower(sender),
    )
    return _request(_bare(incoming, front, policy), understood, policy)


def _bare(incoming: Incoming, front: Front, policy: Policy) -> Request:
    """Who asked, and how the answer is threaded: a request without a command."""
    return Request(
        request_id=incoming.request_id,
        command="",
        from_email=incoming.sender,
        parameters={},
        message_id=incoming.message_id,
        references=incoming.references,
        subject=shown(front.rest[: MAX_LENGTH + 1], _LONGEST_SUBJECT),
        language=policy.language,
        received=incoming.received,
    )


def _request(bare: Request, understood: Parsed | Refusal, policy: Policy) -> Request | Failure:
    """Rights and route of what was understood."""
    if isinstance(understood, Refusal):
        return Failure(understood.code, {**understood.names, reasons.FORM_OF: understood.command})
    command, parameters = understood.command, understood.parameters
    failure = trust.not_allowed(bare.from_email, command, parameters, policy)
    if failure:
        return failure
    way = route(bare.from_email, command, parameters, policy)
    if isinstance(way, Failure):
        return (
            Failure(way.code, {**way.names, reasons.FORM_OF: command}) if way.code == "missing-key" else way
        )
    return _complete(bare, command, parameters, way.audios_from, way.server)


def _complete(
    bare: Request, command: Command, parameters: Mapping[str, str], audios_from: str, server: str
) -> Request:
    email = {"email": bare.from_email} if command == "RAMAIS" else {}
    return Request(
        request_id=bare.request_id,
        command=command,
        from_email=bare.from_email,
        parameters={**parameters, **email},
        audios_from=audios_from,
        server=server,
        message_id=bare.message_id,
        references=bare.references,
        subject=bare.subject,
        language=bare.language,
        received=bare.received,
    )
