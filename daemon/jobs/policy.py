"""What becomes of a request next: the step table, lanes, tries. Pure.

    state       the next step                          who
    accepted    assign: into the line                  the clerk
    assigned    run: when its turn and its time come   its lane
    running     (its lane works; after a crash: again) the clerk
    produced    reply: the mail is decided             the answers
    replying    send: SMTP                             the answers
    replied     finish: the mail goes away             the mailbox
    done, failed  nothing

A mail that is only answered (refusal, help) goes from accepted to produced.
Every step is one compare-and-set; each function here makes the record that is
then written. Times are UTC seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from daemon.jobs.model import FINAL, Command, Failure, Outcome, Record, RecordingsSent, State
from daemon.mail.model import Kind

Lane = Literal["recordings", "commands"]
Step = Literal["assign", "run", "working", "reply", "send", "finish", "nothing"]
Folder = Literal["pending", "processing", "completed", "failed", "superseded"]

LANES: Mapping[Command, Lane] = {"RAMAIS": "recordings", "CHECKIP": "commands", "MACCHANGE": "commands"}

STEPS: Mapping[State, Step] = {
    "accepted": "assign",
    "assigned": "run",
    "running": "working",
    "produced": "reply",
    "replying": "send",
    "replied": "finish",
    "done": "nothing",
    "failed": "nothing",
}

REBUILT = "rebuilt"
"""The source of a record that was made when the records were lost: it may have been answered before."""
TOLD_BEFORE = ("queued",)
"""What such a record takes for told: a place that is lost does less harm than one told twice."""
OUT_OF_TRIES = "out-of-tries"
CANCELLED = "cancelled"
NO_WORK = "no-work"
UNDELIVERABLE = "undeliverable"

SEND_FIRST, SEND_CAP = 5.0, 300.0  # seconds between two tries to send
_FIRST, _FACTOR, _CAP = 2.0, 4.0, 300.0  # seconds before the second try of the work, and so on


@dataclass(frozen=True, slots=True)
class Limits:
    """`processing_timeout` in seconds; `confirmation` in seconds after which the place is told."""

    max_tries: int = 3
    processing_timeout: float = 1800.0
    confirmation: float = 20.0


class NotAllowed(Exception):
    """An operator's wish that does not fit the record's state; the text says why."""


def step_of(record: Record) -> Step:
    """What is to be done next; a mail that is only answered needs no line."""
    if record.state == "accepted" and record.kind != "request":
        return "reply"
    return STEPS[record.state]


def folder_of(record: Record) -> Folder | None:
    """Where the request's file is; None: a refusal or a help has none."""
    if record.kind != "request":
        return None
    match record.state:
        case "accepted" | "assigned":
            return "pending"
        case "running" | "produced" | "replying":
            return "processing"
        case "replied" | "done":
            return "failed" if record.failure is not None else "completed"
        case _:
            return "failed"


def lane_of(record: Record) -> Lane:
    """Which of the lines it stands in."""
    return LANES.get(record.request.command, "commands")


def next_to_run(records: Iterable[Record], lane: Lane, now: float) -> Record | None:
    """First come, first served among those whose time has come."""
    due = [r for r in records if step_of(r) == "run" and lane_of(r) == lane and r.not_before <= now]
    return min(due, key=_line, default=None)


def place(record: Record, records: Iterable[Record]) -> int:
    """How many stand before it in its lane (those under way count), plus one."""
    lane = lane_of(record)
    before = sum(
        lane_of(other) == lane
        and other.kind == "request"
        and (
            other.state == "running"
            or (other.state in ("accepted", "assigned") and _line(other) < _line(record))
        )
        and other.request.request_id != record.request.request_id
        for other in records
    )
    return before + 1


def wake(records: Iterable[Record], now: float) -> float | None:
    """Seconds until the first of those that wait for their time may go on; None: nobody waits."""
    waits = [r.not_before - now for r in records if r.state not in FINAL and r.not_before > now]
    return min(waits, default=None)


def node_of(record: Record) -> str:
    """The node that is to work on it: the owner, or, while there is none, who accepted it."""
    return record.owner or record.request.accepted_by


def needs_notice(record: Record, now: float, limits: Limits) -> bool:
    """Whether the requester is to be told, once, that the machine with the recordings is away."""
    return (
        record.kind == "request"
        and bool(record.waits_for)
        and record.state not in ("replied", *FINAL)
        and "away" not in record.told
        and now - record.accepted_at >= limits.confirmation
    )


def needs_confirmation(record: Record, now: float, limits: Limits) -> bool:
    """Whether the requester is to be told the place in the line; with 0 s even if the answer is ready."""
    waits: tuple[State, ...] = ("assigned", "running")
    return (
        record.kind == "request"
        and (record.state in waits or (limits.confirmation == 0 and record.state == "produced"))
        and not {"queued", "away"} & set(record.told)
        and not record.waits_for
        and now - record.accepted_at >= limits.confirmation
    )


def lacks_outcome(record: Record) -> bool:
    """Whether its outcome was too large for the store, and is not on this disk: it has to be done again."""
    undecided = record.outcome is None and record.failure is None
    return record.kind == "request" and record.state in ("produced", "replying") and undecided


# -- the steps: the record that is written -----------------------------------------------------------
def assigned(record: Record, owner: str, now: float) -> Record:
    """Into the owner's line."""
    return _to(record, "assigned", now, owner=owner, queued_at=record.queued_at or now, note="")


def waiting(record: Record, node: str, why: str) -> Record:
    """It can't go on without that node; its state stays."""
    return msgspec.structs.replace(record, waits_for=node, note=why[:500])


def running(record: Record, owner: str, now: float) -> Record:
    """The next try begins."""
    return _to(record, "running", now, owner=owner, attempt=record.attempt + 1, started_at=now, note="")


def produced(record: Record, outcome: Outcome, now: float) -> Record:
    """The work is done; the outcome is enough to write the answer again."""
    return _to(record, "produced", now, outcome=outcome, failure=None, not_before=0.0, note="")


def impossible(record: Record, failure: Failure, now: float, note: str) -> Record:
    """It can't be done, and who asked is told why."""
    return _to(record, "produced", now, outcome=None, failure=failure, not_before=0.0, note=note[:500])


def again(record: Record, why: str, now: float, limits: Limits, dice: float) -> Record:
    """The try failed, or its process died: to the end of the line, or out of tries.

    `dice` in [0, 1) shortens the wait by up to a third, so that two do not come at once.
    """
    if record.attempt >= limits.max_tries:
        failure = Failure(OUT_OF_TRIES, {"tries": str(record.attempt)})
        return impossible(record, failure, now, why)
    wait = min(_CAP, _FIRST * _FACTOR ** max(0, record.attempt - 1)) * (1.0 - 0.3 * dice)
    return _to(record, "assigned", now, queued_at=now, not_before=now + wait, note=why[:500])


def after_crash(record: Record, now: float, limits: Limits) -> Record:
    """A record that a dead process left running: again at once, unless it has killed too many."""
    return msgspec.structs.replace(
        again(record, "the program ended in the middle of it", now, limits, 0.0), not_before=0.0
    )


def interrupted(record: Record, now: float) -> Record:
    """Stopped in good order in the middle of a try: it keeps its place, and the try does not count."""
    return _to(record, "assigned", now, attempt=record.attempt - 1, not_before=0.0)


def redone(record: Record, now: float) -> Record:
    """Its outcome is on a disk that is lost: the work is done again, at once, and is no failed try."""
    return _to(record, "assigned", now, attempt=max(0, record.attempt - 1), not_before=0.0, kept="")


def replying(record: Record, now: float) -> Record:
    """The answer is decided; from here on it is sent, under one Message-ID."""
    return _to(record, "replying", now, not_before=0.0)


def unsent(record: Record, why: str, wait: float, now: float) -> Record:
    """SMTP did not take it now."""
    return _to(record, record.state, now, not_before=now + wait, note=why[:500])


def replied(record: Record, now: float) -> Record:
    """The answer is out."""
    told = (*record.told, kind_of(record))
    return _to(record, "replied", now, told=told, finished_at=now, not_before=0.0, note="")


def undeliverable(record: Record, why: str, now: float) -> Record:
    """Nobody takes the answer, for good: the requester can't be told, the operator is."""
    failure = record.failure or Failure(UNDELIVERABLE)
    return _to(record, "replied", now, failure=failure, finished_at=now, not_before=0.0, note=why[:500])


def finished(record: Record, now: float) -> Record:
    """The mail is away: nothing is left to do."""
    return _to(record, "failed" if record.failure is not None else "done", now)


def told(record: Record, kind: Kind) -> Record:
    """A further mail about it is on its way; its place in the line stays."""
    return msgspec.structs.replace(record, told=(*record.told, kind))


# -- records that were lost ------------------------------------------------------------------------------
def generation_of(epoch: int) -> int:
    """How often the records' data were lost and begun anew, plus one; 0: no master was seen yet."""
    return epoch >> 32


def may_be_answered(record: Record) -> bool:
    """Whether its answer may have gone out before: it is looked for among the sent ones first."""
    return record.state == "replying" or record.source == REBUILT


def answered_before(record: Record, known: Record, owner: str, now: float) -> Record:
    """The owner's file says how it ended; only its mail is still there."""
    ended = _to(
        record,
        "replied",
        now,
        owner=owner,
        failure=known.failure,
        finished_at=known.finished_at,
        note=known.note,
    )
    return ended if record.uid else finished(ended, now)


# -- a lost node's records, in the hands of the master ---------------------------------------------------
def is_answerable(record: Record) -> bool:
    """Whether any node can give the answer: it is decided, and links to nothing on its owner's disk."""
    if record.kind != "request":
        return True
    if record.state not in ("produced", "replying"):
        return False
    links = isinstance(record.outcome, RecordingsSent) and record.request.audios_from != "s3"
    return record.failure is not None or (record.outcome is not None and not links)


def taken_over(record: Record, heir: str, now: float, limits: Limits) -> Record:
    """From a lost node to `heir`, which goes on from what the record says."""
    begun = record.owner if record.attempt else ""
    taken = msgspec.structs.replace(
        record,
        owner=heir,
        changed_at=now,
        not_before=0.0,
        waits_for="",
        taken_from=begun or record.taken_from,
    )
    match record.state:
        case "accepted" if record.kind == "request":
            return assigned(taken, heir, now)
        case "running":
            # A half move of an extension is ended or undone by one more try, but not by try after try.
            if record.request.command == "MACCHANGE" and not record.taken_from:
                taken = msgspec.structs.replace(taken, attempt=min(taken.attempt, limits.max_tries - 1))
            return after_crash(taken, now, limits)
        case "produced" | "replying" if lacks_outcome(record):
            return redone(taken, now)
        case _:
            return taken


def kind_of(record: Record) -> Kind:
    """Which answer it gets."""
    if record.kind == "help":
        return "help"
    if record.kind == "refusal":
        return "refused"
    return "result" if record.failure is None else "failed"


# -- what an operator may ask for ---------------------------------------------------------------------
def retried(record: Record, now: float) -> Record:
    """From the beginning: a failed one again, one that waits at once. Raises NotAllowed."""
    if record.kind != "request":
        raise NotAllowed("it is no request, only a mail that was answered")
    if record.state == "failed":
        return _to(
            record,
            "assigned",
            now,
            queued_at=now,
            attempt=0,
            not_before=0.0,
            outcome=None,
            failure=None,
            finished_at=0.0,
            note="",
            taken_from="",
        )
    if record.not_before > now:
        return msgspec.structs.replace(record, not_before=0.0, changed_at=now)
    if record.state in ("replied", "done"):
        raise NotAllowed("it was answered already; drop its file into pending/ to have it done anew")
    raise NotAllowed(f"it goes on by itself: it is {record.state}")


def cancelled(record: Record, now: float) -> Record:
    """Not carried out; who asked is told. Raises NotAllowed."""
    if record.kind != "request":
        raise NotAllowed("it is no request, only a mail that is answered")
    if record.taken_from and record.request.command == "MACCHANGE":
        raise NotAllowed(f"{record.taken_from} had begun it: it is ended here first")
    if record.state in ("accepted", "assigned"):
        return impossible(record, Failure(CANCELLED), now, "cancelled by the operator")
    if record.state == "running":
        raise NotAllowed("it is being carried out just now")
    raise NotAllowed(f"too late: it is {record.state}")


def _to(record: Record, state: State, now: float, **changes: object) -> Record:
    """Who makes a step is not away any more."""
    return msgspec.structs.replace(record, state=state, changed_at=now, waits_for="", **changes)


def _line(record: Record) -> tuple[float, float, str]:
    return (record.queued_at or record.accepted_at, record.accepted_at, record.request.request_id)
