"""When is something about a call certain enough to be told, and what is said. Pure.

received   at the originating leg's first event (its number is known then)
answered   at the originating leg's answer, once it is clear who answered
dtmf       as they happen, after received; with the call's status at the digit
ended      when every leg is gone and a short time has passed without another
           leg showing up; longer where something is known to be missing
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.calls.call import Call, Digit, Group, Leg, natural
from daemon.calls.model import Answered, Dtmf, Ended, Fact, Received
from daemon.calls.outcome import (
    IsEndpoint,
    answer,
    answering_leg,
    disposition,
    hung_up_by,
    partner,
    party,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The waits (seconds) and who is an endpoint; `tell` is a function of the evidence."""

    settle: float
    patience: float
    is_endpoint: IsEndpoint

    def tell(self, group: Group, now: float, strays: bool) -> tuple[list[Fact], float | None, bool]:
        """What is certain about `group` now, when to ask again, and is it over.

        `strays`: there are legs that may turn out to be this group's.
        """
        facts: list[Fact] = []
        dues: list[float] = []
        over_at: float | None = None
        if group.is_over:
            patient = strays or group.has_loose_ends
            over_at = group.changed + (self.patience if patient else self.settle)
            dues.append(over_at)
        over = over_at is not None and now >= over_at
        if not group.calls:
            self._adopt(group, now, over, dues)
        winner = group.winner()
        calls = group.calls
        for call in calls if len(calls) == 1 else sorted(calls, key=lambda call: call.age):
            if call.ended:
                continue
            merged_at = group.merged_at(call)
            final = over or (merged_at is not None and now >= call.merge_due)
            self._head(call, final, facts)
            self._answer(call, now, final, merged_at, facts, dues)
            self._digits(call, group, now, final, facts, dues)
            if final:
                into = winner.origin.id if winner is not None and call is not winner else None
                facts.append(self._end(call, group, into, merged_at))
                call.ended = True
            elif merged_at is not None:
                dues.append(call.merge_due)
        return facts, min((due for due in dues if due > now), default=None), over

    def name_of(self, leg: Leg | None) -> str | None:
        """How `leg` is called in messages."""
        return party(leg, self.is_endpoint)

    def _adopt(self, group: Group, now: float, over: bool, dues: list[float]) -> None:
        """A call whose beginning was not seen: who dialled, or its oldest leg, stands in.

        It is not adopted at once: the originating leg's own events may be late.
        """
        unseen = [leg for leg in group.legs.values() if leg.born is None and not leg.name.is_local]
        diallers = [leg for leg in unseen if leg.attempts and leg.parent is None]
        if diallers and not over:
            adopt_at = min(leg.seen_at for leg in diallers) + self.patience
            if now < adopt_at:
                dues.append(adopt_at)
                return
        elif not over:
            return
        known = diallers or unseen or [leg for leg in group.legs.values() if not leg.name.is_local]
        if not known:
            return
        oldest = min(known, key=lambda leg: (leg.created, natural(leg.id)))
        oldest.call = Call(oldest, recovered=True)
        group.calls.append(oldest.call)

    def _said(self, call: Call) -> tuple[str, int, str | None, str | None, int, bool]:
        """The beginning that all facts of a call share, with the next seq."""
        call.seq += 1
        origin = call.origin
        return (
            origin.id,
            origin.created,
            self.name_of(origin),
            origin.exten or None,
            call.seq,
            call.recovered or origin.ended_unseen,
        )

    def _head(self, call: Call, final: bool, facts: list[Fact]) -> None:
        origin = call.origin
        if call.held and (final or origin.served_by or origin.attempts):
            call.held = False
        if origin.reconciled:
            call.recovered = True
        if not call.announced and not call.held and (origin.exten or final):
            call.announced = True
            facts.append(Received(*self._said(call)))

    def _answer(
        self,
        call: Call,
        now: float,
        final: bool,
        merged_at: int | None,
        facts: list[Fact],
        dues: list[float],
    ) -> None:
        if call.answer_told or not call.announced:
            return
        origin = call.origin
        waited = False
        if origin.up_at is not None and origin.originated_at is None:
            if call.answer_due is None:
                call.answer_due = now + self.patience
            waited = now >= call.answer_due
            if not waited:
                dues.append(call.answer_due)
        found = answer(call, final=final or waited)
        if found is None or (merged_at is not None and found.at > merged_at):
            return
        call.answer_told = True
        call.answertime = found.at
        call.answered_by = self.name_of(found.leg)
        if origin.originated_at is not None and found.leg is not None:
            call.agent_answertime = origin.up_at
        facts.append(
            Answered(
                *self._said(call),
                answertime=found.at,
                answered_by=call.answered_by,
                application=found.application,
                agent_answertime=call.agent_answertime,
            )
        )

    def _digits(
        self, call: Call, group: Group, now: float, final: bool, facts: list[Fact], dues: list[float]
    ) -> None:
        if not group.digits or not call.announced:
            return
        keep: list[tuple[float, Leg, Digit]] = []
        for due, leg, digit in sorted(group.digits, key=lambda item: item[2].at):
            if _call_of(leg, group, digit.at) is not call:
                keep.append((due, leg, digit))
            elif call.answer_told or final or now >= due:
                answered = call.answertime is not None and digit.at >= call.answertime
                facts.append(
                    Dtmf(
                        *self._said(call),
                        status=2 if answered else 1,
                        digit=digit.digit,
                        by=self.name_of(leg),
                        channel=leg.id,
                        at=digit.at,
                        duration_ms=digit.duration_ms,
                    )
                )
            else:
                dues.append(due)
                keep.append((due, leg, digit))
        group.digits = keep

    def _end(self, call: Call, group: Group, into: str | None, merged_at: int | None) -> Ended:
        origin = call.origin
        if into is None:
            legs = [leg for leg in group.legs.values() if not _ended_elsewhere(leg, call)]
            end = max(leg.gone_at or 0 for leg in group.legs.values())
        else:
            legs = [leg for leg in group.legs.values() if leg.root().call is call]
            end = merged_at or origin.created
        answered = call.answertime is not None
        hung_up = hung_up_by(group.legs.values(), answered=answered) if into is None else None
        talked = call.answered_by or self._talked(call, group)
        gone_by_then = origin.gone_at is not None and (into is None or origin.gone_at <= end + _AT_ONCE)
        return Ended(
            *self._said(call),
            endtime=end,
            duration=max(0, end - origin.created) // 1000,
            billsec=max(0, end - call.answertime) // 1000 if call.answertime is not None else 0,
            disposition=disposition(call, legs, talked=talked is not None),
            cause=origin.cause if gone_by_then else None,
            cause_text=origin.cause_text if gone_by_then else "",
            hangup_by=self.name_of(hung_up),
            answertime=call.answertime,
            answered_by=talked,
            agent_answertime=call.agent_answertime,
            recordings=_recordings(legs, group),
            merged_into=into,
        )

    def _talked(self, call: Call, group: Group) -> str | None:
        """Who talked in a call that an application answered first."""
        if call.answertime is None:
            return None
        found = answering_leg(call.origin)
        leg = found if isinstance(found, Leg) else partner(call.origin, group, call.answertime)
        return self.name_of(leg)


# A merged call's own leg is gone at once with the merger, or its cause is not known yet.
_AT_ONCE = 1000


def _call_of(leg: Leg, group: Group, at: int) -> Call | None:
    """Which call of the group a thing on `leg` at `at` belongs to."""
    own = leg.root().call
    if own is not None and not own.ended:
        merged_at = group.merged_at(own)
        if merged_at is None or at < merged_at:
            return own
    return group.winner()


def _ended_elsewhere(leg: Leg, call: Call) -> bool:
    """Does the leg's story belong to a call that ended as merged into this one?"""
    own = leg.root().call
    return own is not None and own is not call


def _recordings(legs: list[Leg], group: Group) -> tuple[str, ...]:
    """The recordings begun on `legs`, in their order.

    A transfer can copy the variable that names a recording to another channel:
    a file belongs to the leg that named it first.
    """
    begun: dict[str, tuple[int, list[int | str], Leg]] = {}
    for leg in group.legs.values():
        for file, at in leg.recordings.items():
            claim = (at, natural(leg.id), leg)
            if file not in begun or claim[:2] < begun[file][:2]:
                begun[file] = claim

    def place(file: str) -> tuple[int, list[int | str], int, str]:
        at, by_id, leg = begun[file]
        return (leg.created, by_id, at, file)

    return tuple(sorted((file for file in begun if begun[file][2] in legs), key=place))
