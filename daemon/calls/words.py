"""A fact as one sentence for people: the calls' log, and the lab's terminal. Pure."""

from __future__ import annotations

from daemon.calls.model import Answered, Dtmf, Ended, Fact


def sentence(fact: Fact) -> str:
    """What happened, without the call's id and the time.

    >>> from daemon.calls.model import Received
    >>> sentence(Received("1761562800.42", 0, "1013010", "1013015", 1, False))
    'received 1013010 -> 1013015'
    """
    who = f"{fact.origin or '-'} -> {fact.destiny or '-'}"
    if isinstance(fact, Answered):
        by = fact.answered_by or f"application {fact.application or 'unknown'}"
        return f"answered {who}, by {by} after {_seconds(fact.answertime - fact.created)}"
    if isinstance(fact, Dtmf):
        return f"dtmf     {who}, {fact.by or '-'} pressed {fact.digit}"
    if isinstance(fact, Ended):
        ended = f"ended    {who}, {fact.disposition}, {fact.duration} s, billed {fact.billsec} s"
        if fact.merged_into:
            return f"{ended}, became part of {fact.merged_into}"
        return f"{ended}, hung up by {fact.hangup_by}" if fact.hangup_by else ended
    return f"received {who}"


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"
