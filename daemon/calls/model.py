"""What the call tracker says: frozen facts. Pure.

Times are milliseconds since the epoch, by Asterisk's own clock (the event's
`timestamp` or the channel's `creationtime`), so that two nodes say the same.
`call` is the linkedid: the id of the call's first channel.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallFact:
    """What every fact of a call says.

    `origin` and `destiny` are endpoint names or numbers; None where unknown.
    `seq` grows within a call. `recovered`: found late, not seen as it happened.
    """

    call: str
    created: int
    origin: str | None
    destiny: str | None
    seq: int
    recovered: bool


@dataclass(frozen=True, slots=True)
class Received(CallFact):
    """A call begins (status 1)."""


@dataclass(frozen=True, slots=True)
class Answered(CallFact):
    """The first answer (status 2).

    `answered_by` is the endpoint, or None where one of Asterisk's own
    applications answered: then `application` names it. `agent_answertime` is
    set in a click to call: when the agent picked up.
    """

    answertime: int
    answered_by: str | None
    application: str | None
    agent_answertime: int | None


@dataclass(frozen=True, slots=True)
class Dtmf(CallFact):
    """A digit on a tracked call. `status` is the call's (1 or 2) at that moment.

    `by` is the endpoint that pressed it, `channel` its channel id, `at` when.
    """

    status: int
    digit: str
    by: str | None
    channel: str
    at: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Ended(CallFact):
    """The last leg is gone (status 3), or the call became part of an older one.

    `duration` and `billsec` in whole seconds, cut off as Asterisk's CDR does.
    `disposition`: ANSWERED, NO ANSWER, BUSY, FAILED or CANCEL. `cause` is the
    Q.850 number of the originating leg. `hangup_by` is the endpoint that hung
    up first, None where Asterisk did or nobody knows. `recordings` are file
    names without folders. `merged_into` is the older call's id.
    """

    endtime: int
    duration: int
    billsec: int
    disposition: str
    cause: int | None
    cause_text: str
    hangup_by: str | None
    answertime: int | None
    answered_by: str | None
    agent_answertime: int | None
    recordings: tuple[str, ...]
    merged_into: str | None


Fact = Received | Answered | Dtmf | Ended


@dataclass(frozen=True, slots=True)
class Gap:
    """Events may have been missed. `since` and `until` in ms, by the node's clock.

    `reconciled`: calls of which something was found out afterwards.
    """

    since: int
    until: int
    reason: str
    reconciled: int
