"""What must hold of every run: I1 to I10 of a history. Pure.

I1   the reigns of two epochs never overlap: nobody takes itself for the master once another is
I2   epochs grow, and what only the master writes is written by who holds the epoch then, and fenced by it
I3   every mail has exactly one record, which is done, and at least one answer
I4   a request has one final file, and one content
I5   further answers carry the same Message-ID
I6   every fact of a call that a sound node was told is at the consumer, under one id
I7   the inbox is empty; Done has each mail once
I8   a deposed master publishes nothing that nobody had published
I9   it goes on within the time that the scenario allows
I10  afterwards everything is as before: descriptors, threads, nodes of the tree, nothing waits, no exception
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.system.faults import figures
from tests.system.faults.figures import FINAL_KINDS, SOUND_BEFORE, Figures
from tests.system.faults.history import Emitted, History, Listening, Said
from tests.system.faults.reigns import believes, holder_at, holder_for, reigns
from tests.system.faults.scenario import Expected

WIRE = 2.0  # seconds that what was on its way when a reign began may take
_MOST = 5  # examples in a sentence
_SPARE = 12  # descriptors and threads more than before that are nothing


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be: which invariant, and one sentence with names and times."""

    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that is wrong, and the figures."""

    violations: tuple[Violation, ...]
    figures: Figures


def check(history: History, expect: Sequence[Expected] = ()) -> Verdict:
    """All invariants; `expect` are the scenario's own bounds (I9)."""
    lost_mails, wrong_mails = _mails(history, may_fail=any(bound.what == "failed" for bound in expect))
    lost_facts, doubled_facts = _facts(history)
    doubled_answers = list(_answers(history))
    stale = list(_stale(history))
    found = [
        *_overlaps(history),
        *_epochs(history),
        *wrong_mails,
        *_files(history),
        *doubled_answers,
        *_told("I6", lost_facts, "facts that a sound node was told never came"),
        *_told("I6", doubled_facts, "facts came under two ids, or two under one"),
        *_mailbox(history),
        *_told("I8", stale, "messages came from a deposed master first"),
        *_afterwards(history),
    ]
    done = figures.measure(
        history, lost_mails + len(lost_facts), len(doubled_facts) + len(doubled_answers), len(stale)
    )
    found += _bounds(done, expect)
    return Verdict(tuple(found), done)


def _told(invariant: str, examples: Sequence[str], what: str) -> Iterator[Violation]:
    if examples:
        yield Violation(invariant, f"{len(examples)} {what}: {'; '.join(examples[:_MOST])}")


# -- mastership ------------------------------------------------------------------------------------
def _overlaps(history: History) -> Iterator[Violation]:
    all_of_them = reigns(history)
    for word in history.said:
        if not believes(word) or _has_just_woken(history, word):
            continue
        # True at some time since `asked`: it is wrong only if another reigned before that already.
        holder, later = holder_at(all_of_them, word.asked), holder_at(all_of_them, word.at)
        if holder is not None and later is not None and word.node not in (holder.node, later.node):
            yield Violation(
                "I1",
                f"{word.node} took itself for the master of epoch {word.epoch}"
                f" {word.asked - holder.begin:.3f} s after {holder.node} had got epoch {holder.token}",
            )
            return  # one sentence for a whole overlap


def _has_just_woken(history: History, word: Said) -> bool:
    """Whether its clocks have slept: until ZooKeeper tells it, nothing but the fence holds it."""
    return any(
        fault.verb == "suspend" and word.node in fault.nodes and fault.at < word.at < fault.until + WIRE
        for fault in history.faults
    )


def _epochs(history: History) -> Iterator[Violation]:
    bumps = [w for w in history.writes if w.path == "/epoch" and w.token is not None]
    for before, after in pairwise(bumps):
        if (after.token or 0) <= (before.token or 0):
            yield Violation("I2", f"epoch {after.token} of {after.holder} came after epoch {before.token}")
    yield from _told("I2", list(_unfenced(history)), "writes were not the master's, or not fenced")


def _unfenced(history: History) -> Iterator[str]:
    all_of_them = reigns(history)
    for write in history.writes:
        taken_in = write.kind == "create" and write.path.startswith("/req/") and write.path.count("/") == 3
        # A standby's own questions are the one thing below /pub that is not the master's.
        marked = write.kind == "set" and write.path.startswith("/pub/") and "/question/" not in write.path
        if not (taken_in or marked):
            continue
        holder = holder_for(all_of_them, write)
        # After ZooKeeper lost its data each node makes those of its own files again, as far as they were.
        again = taken_in and write.state not in ("", "accepted")
        if holder is None or (holder.node != write.node and not again):
            who = f"{holder.node} held epoch {holder.token}" if holder is not None else "nobody was master"
            yield f"{write.node or 'somebody'} wrote {write.path} while {who}"
        elif write.epoch_check is None:
            yield f"{write.node or 'somebody'} wrote {write.path} without asking for its epoch"
        elif taken_in and write.token is not None and write.token != holder.token:
            yield f"{write.path} says epoch {write.token}, it was {holder.token}"


# -- mails -----------------------------------------------------------------------------------------
def _mails(history: History, *, may_fail: bool) -> tuple[int, list[Violation]]:
    """How many mails are lost, and what is wrong with their records."""
    records = defaultdict(list)
    for stored in history.stored:
        records[stored.message_id].append(stored)
    answers = Counter(each.answers for each in history.answered if each.kind in FINAL_KINDS)
    failed = {each.answers for each in history.answered if each.kind == "failed"}
    found, lost = [], 0
    for mail in history.mailed:
        of_mail = records[mail.message_id]
        wrong = ""
        if not of_mail:
            wrong = "has no record"
        elif len(of_mail) > 1:
            wrong = f"has {len(of_mail)} records"
        elif mail.message_id in failed:
            wrong = "" if may_fail else "was answered with a failure"
        elif of_mail[0].state != "done":
            wrong = f"has a record that is {of_mail[0].state} ({of_mail[0].owner or 'nobody'}'s)"
        elif not answers[mail.message_id]:
            wrong = "was not answered"
        if wrong:
            lost += len(of_mail) < 2 and mail.message_id not in failed
            found.append(f"{mail.message_id} {wrong}")
    return lost, list(_told("I3", found, "mails are not in order"))


def _answers(history: History) -> Iterator[Violation]:
    by_mail = defaultdict(set)
    for answer in history.answered:
        if answer.kind in FINAL_KINDS:
            by_mail[answer.answers].add(answer.message_id)
    for mail, ids in by_mail.items():
        if len(ids) > 1:
            yield Violation("I5", f"{mail} was answered under {len(ids)} Message-IDs: {sorted(ids)}")


def _files(history: History) -> Iterator[Violation]:
    names, contents = defaultdict(set), defaultdict(set)
    for file in history.published:
        names[file.request_id].add(file.name)
        contents[file.request_id].add(file.sha256)
    for request, found in names.items():
        if len(found) > 1:
            yield Violation("I4", f"{request} has {len(found)} final files: {sorted(found)}")
        elif len(contents[request]) > 1:
            yield Violation("I4", f"the final file of {request} has {len(contents[request])} contents")


def _mailbox(history: History) -> Iterator[Violation]:
    done = Counter(history.done)
    sent = [mail.message_id for mail in history.mailed]
    left = [each for each in sent if each in set(history.inbox)]
    twice = [f"{each} {done[each]} times" for each in sent if done[each] > 1]
    missing = [each for each in sent if not done[each] and each not in set(history.inbox)]
    aside = [each for each in sent if each in set(history.aside)]
    yield from _told("I7", left, "mails are still in the inbox")
    yield from _told("I7", twice, "mails are in Done more than once")
    yield from _told("I7", missing, "mails are neither in the inbox nor in Done")
    yield from _told("I7", aside, "mails were put aside")


# -- calls -----------------------------------------------------------------------------------------
def _facts(history: History) -> tuple[list[str], list[str]]:
    """Facts that are lost, and those that are doubled."""
    ids, facts = defaultdict(set), defaultdict(set)
    for message in history.consumed:
        if message.call:
            ids[message.call, message.type].add(message.id)
            facts[message.id].add((message.call, message.type))
    lost = [
        f"{fact.type} of {fact.call} at {fact.at - history.began:.2f} s"
        for fact in history.emitted
        if (fact.call, fact.type) not in ids and seen(history, fact)
    ]
    doubled = [f"{kind} of {call} has {len(them)}" for (call, kind), them in ids.items() if len(them) > 1]
    doubled += [f"{id_} stands for {len(them)} facts" for id_, them in facts.items() if len(them) > 1]
    return lost, doubled


def seen(history: History, fact: Emitted) -> bool:
    """Whether a node was connected when the fact was told, and went on soundly for a while."""
    return any(_sound(history, listening, fact.at) for listening in history.listening)


def _sound(history: History, listening: Listening, at: float) -> bool:
    if not listening.at < at < listening.until - SOUND_BEFORE:
        return False
    return not any(
        listening.node in fault.blind and fault.at - SOUND_BEFORE < at < fault.until
        for fault in history.faults
    )


def _stale(history: History) -> Iterator[str]:
    all_of_them = reigns(history)
    seen: set[str] = set()
    for message in sorted(history.consumed, key=lambda message: message.at):
        if not message.call or message.id in seen:
            continue
        seen.add(message.id)
        holder = holder_at(all_of_them, message.at - WIRE)
        now = holder_at(all_of_them, message.at)
        if holder is not None and now is not None and message.node not in (holder.node, now.node):
            yield f"{message.type} of {message.call} from {message.node} under {holder.node}'s {holder.token}"


# -- the rest --------------------------------------------------------------------------------------
def _bounds(done: Figures, expect: Sequence[Expected]) -> Iterator[Violation]:
    for bound in expect:
        value = done.of(bound.what)
        wanted = f"{bound.what}{bound.relation}{bound.value:g}"
        if value is None:
            yield Violation("I9", f"{wanted} was expected, and it never came to that")
        elif not bound.holds(value):
            yield Violation("I9", f"{wanted} was expected: {value:.3f}")


def _afterwards(history: History) -> Iterator[Violation]:
    for after in (each for each in history.resources if each.when == "after"):
        # A master has more of everything: what is compared is what a node of the same role had.
        before = [each for each in history.resources if (each.when, each.role) == ("before", after.role)]
        for what in ("descriptors", "threads", "greenlets"):
            was = max((getattr(each, what) for each in before), default=0)
            if was and getattr(after, what) > was * 1.05 + _SPARE:
                yield Violation("I10", f"{after.node} has {getattr(after, what)} {what}, it had {was}")
        if after.outbox:
            yield Violation("I10", f"{after.outbox} messages still wait in the outbox of {after.node}")
        if after.queue:
            yield Violation("I10", f"{after.queue} requests still wait in the queue of {after.node}")
        if after.services_down:
            yield Violation("I10", f"on {after.node} these do not run: {', '.join(after.services_down)}")
    was, is_now = history.znodes
    if was and is_now > was * 1.05 + _SPARE:
        yield Violation("I10", f"there are {is_now} nodes in ZooKeeper besides the records, there were {was}")
    thrown = [
        f"{line.node}: {line.text} ({line.exception[-200:]})" for line in history.logged if line.exception
    ]
    yield from _told("I10", thrown, "exceptions are in the logs")
