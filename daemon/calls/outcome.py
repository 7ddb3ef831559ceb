"""Who answered, who hung up and how a call ended, from the evidence of its legs. Pure.

The outcome comes from Dial events and channel states, not from hangup causes:
a dialplan sets those as it likes. Measured against Asterisk's own CDR; where
a disposition is doubtful, the CDR's word counts (docs/decisions/calls.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from daemon.calls.call import Call, Group, Leg, natural
from daemon.calls.channel import CONNECTING

IsEndpoint = Callable[[str], bool]

_DISPOSITION = {
    "BUSY": "BUSY",
    "NOANSWER": "NO ANSWER",
    "CANCEL": "NO ANSWER",
    "CONGESTION": "FAILED",
    "CHANUNAVAIL": "FAILED",
}
# A call without a Dial is judged by its cause (main/cdr.c does the same): none, no route to
# destination, not registered, congestion; user busy.
_DISPOSITION_OF_CAUSE = {0: "FAILED", 3: "FAILED", 20: "FAILED", 34: "FAILED", 42: "FAILED", 17: "BUSY"}

_SAME_MOMENT = 50
"""Milliseconds between a caller's hangup and the end of the Dial that it ended: two threads stamp them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call: `leg` is who did, None an application of Asterisk's (`application`)."""

    at: int
    leg: Leg | None
    application: str | None


def answering_leg(leg: Leg) -> Leg | Answer | None:
    """Follow the first ANSWER from `leg` on, through Local channels, to who answered.

    An Answer comes back where a Local channel led into an application, None
    where the events seen so far do not tell.
    """
    seen: set[str] = set()
    while leg.id not in seen:
        seen.add(leg.id)
        answered = [
            (attempt.answered, natural(attempt.peer.id), attempt.peer)
            for attempt in leg.attempts.values()
            if attempt.answered is not None
        ]
        if not answered:
            break
        peer = min(answered, key=lambda item: item[:2])[2]
        if not peer.name.is_local:
            return peer
        if peer.twin is None:
            return None
        leg = peer.twin
    if leg.name.is_local and leg.up_at is not None and leg.up_application not in CONNECTING:
        return Answer(leg.up_at, None, leg.up_application or None)
    return None


def partner(leg: Leg, group: Group, since: int) -> Leg | None:
    """Who first shared a bridge with `leg` at or after `since`, Local channels left out."""
    met = [
        (at, natural(other), group.legs[other])
        for other, at in leg.partners.items()
        if at >= since and other in group.legs and not group.legs[other].name.is_local
    ]
    return min(met, key=lambda item: item[:2])[2] if met else None


def answer(call: Call, *, final: bool) -> Answer | None:
    """The first answer of a call, or None while it has none or it is not yet clear.

    `final`: no more evidence will come; what is known decides.
    """
    origin = call.origin
    if origin.originated_at is not None:
        return _answer_of_click_to_call(origin, final=final)
    if origin.up_at is None:
        return None
    application = origin.up_application
    if application and application not in CONNECTING:
        return Answer(origin.up_at, None, application)
    found = answering_leg(origin)
    if isinstance(found, Leg):
        return Answer(origin.up_at, found, None)
    if isinstance(found, Answer):
        return Answer(origin.up_at, None, found.application)
    if not final:
        return None
    # Picked up out of a queue: no Dial says so, only the bridge.
    mate = partner(origin, origin.group, origin.up_at)
    return Answer(origin.up_at, mate, None if mate is not None else application or None)


def _answer_of_click_to_call(origin: Leg, *, final: bool) -> Answer | None:
    """The callee's answer; the agent's own where the agent was put into an application."""
    found = answering_leg(origin)
    if found is not None and origin.up_at is None and not final:
        return None  # the agent's own answer is still on its way to us
    if isinstance(found, Leg):
        when = [a.answered for a in origin.attempts.values() if a.answered is not None]
        return Answer(found.up_at if found.up_at is not None else min(when), found, None)
    if isinstance(found, Answer):
        return found
    if origin.up_at is None or origin.attempts:
        return None
    if origin.served_by:
        return Answer(origin.up_at, None, origin.served_by)
    return Answer(origin.up_at, None, None) if final else None


def disposition(call: Call, legs: Iterable[Leg], *, talked: bool) -> str:
    """How a call ended: ANSWERED, NO ANSWER, BUSY, FAILED or CANCEL.

    `talked`: some endpoint answered it. A caller whom an application answered
    (a queue's Answer) and who left while phones were still ringing was not:
    the CDR says NO ANSWER, with a billsec.
    """
    origin = call.origin
    dialling = [leg for leg in legs if leg is origin or not leg.name.is_local]
    attempts = sorted(
        (attempt for leg in dialling for attempt in leg.attempts.values()),
        key=lambda attempt: (attempt.began, natural(attempt.peer.id)),
    )
    left_at = origin.hung_up_at
    left_ringing = left_at is not None and any(
        attempt.is_open or attempt.status == "CANCEL" or (attempt.ended or 0) + _SAME_MOMENT >= left_at
        for attempt in attempts
    )
    if call.answertime is not None:
        return "NO ANSWER" if left_ringing and not talked else "ANSWERED"
    if left_ringing or (left_at is not None and not attempts):
        return "CANCEL"
    if not attempts:
        return _DISPOSITION_OF_CAUSE.get(origin.cause or 0, "NO ANSWER")
    longest = max(attempts, key=lambda attempt: (attempt.ended or attempt.began) - attempt.began)
    return _DISPOSITION.get(longest.status, "NO ANSWER")


def hung_up_by(group_legs: Iterable[Leg], *, answered: bool) -> Leg | None:
    """The side that hung up first; None where Asterisk ended it.

    In an answered call it is the first after the last two legs met in a bridge:
    who left before (a transferor, a phone that refused), or whose leaving in that
    very millisecond brought them together, did not end it. But one of the two may
    have hung up in the moment between the answer and the bridge.
    """
    legs = list(group_legs)
    met = max((at for leg in legs for at in leg.partners.values()), default=0) if answered else 0
    left = [
        leg
        for leg in legs
        if leg.may_hang_up
        and leg.hung_up_at is not None
        and (leg.hung_up_at > met or met in leg.partners.values())
    ]
    return min(left, key=lambda leg: (leg.hung_up_at or 0, natural(leg.id)), default=None)


def party(leg: Leg | None, is_endpoint: IsEndpoint) -> str | None:
    """What a leg is called: its endpoint; outside numbers behind a trunk by their number.

    `is_endpoint` knows the endpoints of the definition files.
    """
    if leg is None:
        return None
    peer = leg.name.peer
    if leg.name.is_local:
        return leg.number or None
    if is_endpoint(peer) or not leg.number:
        return peer or None
    return leg.number
