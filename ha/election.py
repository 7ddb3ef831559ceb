"""Who is master: facts in, the next state, actions and one sentence out. Pure.

                     Ask                      won
        SLAVE ---------------> ASKING ------------------> MASTER
          ^  ^                   |  lost, or nothing          |  switchover, mode slave,
          |  +-------------------+  to be seen of it          |  the daemon steps down
          |                                                   v
          |   Lose: link, session, lease or epoch gone    RETIRING
          +---------------------------------------------- (its work ends)
          +------- Release: its work has ended ---------------+

Each phase has its rules in the order in which they are tried; the first that has something to say decides.
Nothing is remembered but `State`; what ZooKeeper says comes with `Facts`. So a decision that was interrupted
(an answer that never came, a process that was frozen) is taken again from what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ha.codec import Handover
from ha.facts import (
    Action,
    Ask,
    Facts,
    Forget,
    Lose,
    Outcome,
    Phase,
    Release,
    Retire,
    State,
    Step,
    Win,
)
from ha.lease import Timings, spelled
from ha.model import Member


@dataclass(frozen=True, slots=True)
class Moment:
    """What a rule looks at: `now` is the boot clock's."""

    state: State
    facts: Facts
    timings: Timings
    now: float

    def stay(self, sentence: str, again_at: float | None = None) -> Step:
        """Nothing changes."""
        return Step(self.state, (), sentence, again_at)

    def do(self, action: Action, sentence: str) -> Step:
        """The same state, and something to do."""
        return Step(self.state, (action,), sentence, self.now)

    def ask(self, sentence: str, *, over: bool = False) -> Step:
        """Ask for the lease."""
        asked = replace(self.state, phase=Phase.ASKING, epoch=self.facts.token, session=self.facts.session)
        return Step(asked, (Ask(over),), sentence)

    def won(self, epoch: int) -> Step:
        """This node is master."""
        won = replace(self.state, phase=Phase.MASTER, epoch=epoch, free_since=None)
        return Step(won, (Win(epoch),), f"this node is master, epoch {spelled(epoch)}")

    def lost(self, why: str) -> Step:
        """Not planned."""
        lost = State(losses=(*self.state.losses, self.now))
        return Step(lost, (Lose(why),), f"this node is master no more: {why}", self.now)

    def retire(self, reason: str, to: str = "", why: str = "") -> Step:
        """Planned: the daemon ends the master's work first. `why` is what the next master is told."""
        by = self.now + self.timings.retirement
        going = replace(self.state, phase=Phase.RETIRING, to=to, why=why or reason, retire_by=by)
        return Step(going, (Retire(reason),), f"the master ends its work: {reason}", by)

    def slave(self, *actions: Action, sentence: str) -> Step:
        """Slave again, nothing lost."""
        return Step(
            State(losses=self.state.losses, free_since=self.state.free_since), actions, sentence, self.now
        )


def rank(member: Member) -> tuple[bool, int, tuple[int, ...]]:
    """Who asks first: pinned masters, then the higher priority, then the name that comes first."""
    name = (*(-ord(letter) for letter in member.name), 1)  # the 1: a shorter name comes before a longer one
    return (member.mode == "master", member.priority, name)


def step(state: State, facts: Facts, timings: Timings, now: float) -> Step:
    """The decision of this moment."""
    moment = Moment(_noticed(state, facts, timings, now), facts, timings, now)
    for rule in RULES[state.phase]:
        decided = rule(moment)
        if decided is not None:
            return decided
    raise AssertionError(f"no rule for {moment}")  # the last rule of each phase always decides


def _noticed(state: State, facts: Facts, timings: Timings, now: float) -> State:
    """The state with what only has to be remembered."""
    losses = tuple(at for at in state.losses if now - at < timings.flapping)
    if not facts.connected or facts.holder is not None:
        return replace(state, free_since=None, losses=losses)
    return replace(state, free_since=now if state.free_since is None else state.free_since, losses=losses)


_NOT_KNOWN = "this node asked for the lease, and ZooKeeper did not answer: it is not known who has it"
_IN_VAIN = "this node asked for the lease, and did not get it"


# -- SLAVE -----------------------------------------------------------------
def _away(at: Moment) -> Step | None:
    if at.facts.connected:
        return None
    if at.facts.starting and not at.facts.trouble:
        return at.stay("this node connects to ZooKeeper")
    return at.stay(at.facts.trouble or "ZooKeeper does not answer: this node can't become master")


def _impostor(at: Moment) -> Step | None:
    if not at.facts.impostor:
        return None
    return at.stay(
        f"another installation calls itself {at.facts.me.name}: this one does not ask for the lease"
        " (each node needs a node.name of its own)"
    )


def _lower(at: Moment) -> Step | None:
    facts = at.facts
    if facts.token >= facts.highest:
        return None
    found = f"epoch {spelled(facts.token)}" if facts.token else "no epoch"
    return at.stay(
        f"ZooKeeper has {found}, and this node has seen {spelled(facts.highest)}: ZooKeeper's data are lost"
        " or another's, so this node does not ask for the lease until `adopt` accepts them"
    )


def _own_lease(at: Moment) -> Step | None:
    facts, holder = at.facts, at.facts.holder
    if holder is None:
        return None
    if holder.session != facts.session and not (holder.name == facts.me.name and facts.ours):
        return None
    if facts.barred or facts.me.mode == "slave":
        why = facts.barred or "its mode is slave"
        return at.do(Forget(), f"this node gives back the lease that it still had: {why}")
    handover = facts.handed
    if handover and handover.giver == facts.me.name != handover.to:
        return at.do(Forget(), "this node gives back the lease that it still had: switchover")
    if len(at.state.losses) > 1 and facts.able:
        return at.do(
            Forget(),
            f"this node has lost the lease more than once within {at.timings.flapping:g} s:"
            " it leaves it to the others",
        )
    return at.ask("this node takes its own lease again, under a new epoch", over=True)


def _held(at: Moment) -> Step | None:
    return at.stay(f"{at.facts.holder.name} is master") if at.facts.holder is not None else None


def _never(at: Moment) -> Step | None:
    if at.facts.barred:
        return at.stay(f"nobody is master, and this node can't be: {at.facts.barred}")
    if at.facts.me.mode == "slave":
        return at.stay("nobody is master, and this node's mode is slave: it never asks for the lease")
    return None


def _handed(at: Moment) -> Step | None:
    """The last master gave the lease back: for whom?"""
    handover = at.facts.handed
    if handover is None:
        return None
    me, to = at.facts.me.name, handover.to
    if to == me:
        return at.ask(f"{handover.giver} hands over to this node{_because(handover)}: it asks for the lease")
    until = _free_since(at) + at.timings.handover
    meant = at.facts.named(to) is not None if to else handover.giver == me and bool(at.facts.able)
    if meant and at.now < until:
        return at.stay(f"the lease is left to {to or 'the others'}: switchover", until)
    return None


def _vain(at: Moment) -> Step | None:
    if at.now >= at.state.vain_until or at.facts.token != at.state.epoch:
        return None
    return at.stay(_IN_VAIN, at.state.vain_until)


def _hold_off(at: Moment) -> Step | None:
    until = max(at.state.losses, default=-at.timings.hold_off) + at.timings.hold_off
    if at.now >= until or not at.facts.able:
        return None
    return at.stay(
        f"this node has just lost the lease: for {at.timings.hold_off:g} s it leaves it to the others", until
    )


def _higher(at: Moment) -> Step | None:
    giver = at.facts.handed.giver if at.facts.handed is not None else ""
    mine = rank(at.facts.me)
    higher = [each for each in at.facts.able if rank(each) > mine and each.name != giver]
    until = _free_since(at) + at.timings.patience
    if not higher or at.now >= until:
        return None
    return at.stay(f"nobody is master: {max(higher, key=rank).name} may ask first", until)


def _free(at: Moment) -> Step | None:
    last, here = at.facts.leader, {each.name for each in at.facts.others}
    if last == at.facts.me.name:
        return at.ask("nobody is master: this node, which was it last, asks for the lease")
    why = _because(at.facts.handed)
    if last in here or why:
        return at.ask(f"{last} is master no more{why}: this node asks for the lease")
    if last:
        return at.ask(f"{last}, the last master, is away: this node asks for the lease")
    return at.ask("nobody is master: this node asks for the lease")


def _because(handover: Handover | None) -> str:
    return f" ({handover.why})" if handover is not None and handover.why else ""


def _free_since(at: Moment) -> float:
    return at.now if at.state.free_since is None else at.state.free_since


# -- ASKING ----------------------------------------------------------------
def _answered(at: Moment) -> Step | None:
    answer = at.facts.answer
    if answer is None:
        return None
    if answer.outcome == Outcome.WON:
        return at.won(answer.epoch)
    if answer.outcome == Outcome.UNKNOWN:
        return at.stay(_NOT_KNOWN)  # the next look tells
    # Whoever was faster has begun another epoch; if nobody has, the reason is one that lasts.
    refused = State(epoch=at.state.epoch, losses=at.state.losses, vain_until=at.now + at.timings.hold_off)
    return Step(refused, (), _IN_VAIN)


def _unanswered(at: Moment) -> Step | None:
    if not at.facts.connected:
        return at.stay(_NOT_KNOWN)
    if at.facts.session != at.state.session:
        return at.slave(sentence="the session in which this node asked for the lease has expired")
    return None


def _identified(at: Moment) -> Step | None:
    """No answer came: whose the lease is now shows whether it was won."""
    facts, holder = at.facts, at.facts.holder
    if (
        holder is not None
        and holder.session == at.state.session
        and facts.ours
        and facts.token > at.state.epoch
    ):
        return at.won(facts.token)
    return at.slave(sentence="this node asked for the lease, and it is not known to have it")


# -- MASTER and RETIRING ---------------------------------------------------
def _expired(at: Moment) -> Step | None:
    return at.lost("the lease was not renewed in time") if at.now >= at.facts.lease_until else None


def _suspended(at: Moment) -> Step | None:
    if at.facts.connected:
        return None
    return at.stay(
        at.facts.trouble
        or "ZooKeeper does not answer: the master begins nothing new, and is master no more if that lasts",
        at.facts.lease_until,
    )


def _taken(at: Moment) -> Step | None:
    state, facts = at.state, at.facts
    if facts.session != state.session:
        return at.lost("the session with ZooKeeper has expired")
    if facts.holder is None:
        return at.lost("the lease is gone from ZooKeeper")
    if facts.holder.session != state.session:
        return at.lost(f"{facts.holder.name} has the lease")
    if facts.token != state.epoch:
        return at.lost(f"ZooKeeper's epoch is {spelled(facts.token)} and not {spelled(state.epoch)}")
    return None


def _barred(at: Moment) -> Step | None:
    return at.retire(at.facts.barred) if at.facts.barred else None


def _demoted(at: Moment) -> Step | None:
    return at.retire("its mode is slave now") if at.facts.me.mode == "slave" else None


def _switched(at: Moment) -> Step | None:
    handover = at.facts.handover
    if handover is None or handover.token != at.state.epoch or handover.to == at.facts.me.name:
        return None
    if not (at.facts.named(handover.to) if handover.to else at.facts.able):
        return None  # it has gone meanwhile: there is nobody to hand over to
    return at.retire(f"switchover to {handover.to or 'another node'}", handover.to, handover.why)


def _stepping_down(at: Moment) -> Step | None:
    return at.retire(at.facts.wish) if at.facts.wish and at.facts.able else None


def _leads(at: Moment) -> Step | None:
    return at.stay(f"this node is master, epoch {spelled(at.state.epoch)}")


def _ended(at: Moment) -> Step | None:
    if at.facts.retired:
        return at.slave(Release(at.state.to, at.state.why), sentence="this node has given the lease back")
    if at.now < at.state.retire_by:
        return None
    limit = f"{at.timings.retirement:g} s"
    return at.slave(
        Release(at.state.to, at.state.why, late=True),
        sentence=f"this node has given the lease back: its work had not ended within {limit}",
    )


def _retiring(at: Moment) -> Step | None:
    return at.stay("the master ends its work, to give the lease back", at.state.retire_by)


Rule = Callable[[Moment], Step | None]

RULES: dict[Phase, tuple[Rule, ...]] = {
    Phase.SLAVE: (
        *(_away, _impostor, _lower),
        *(_own_lease, _held),
        *(_never, _vain, _handed, _hold_off, _higher, _free),
    ),
    Phase.ASKING: (_answered, _unanswered, _identified),
    Phase.MASTER: (_expired, _suspended, _taken, _barred, _demoted, _switched, _stepping_down, _leads),
    Phase.RETIRING: (_expired, _suspended, _taken, _ended, _retiring),
}
