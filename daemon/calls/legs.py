"""The legs that are known just now, and how they are joined into groups. Pure.

What joins legs: Dial, the halves of a Local channel, a shared bridge (not a
holding one), transfers, and CHANNEL(linkedid) where `channelvars` bring it.
Legs are only ever joined, never split.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.ari.events import Channel, millis
from daemon.calls.call import Call, Group, Leg
from daemon.calls.channel import INTERNAL, Name, parse_name

LINKEDID = "CHANNEL(linkedid)"
# Seconds for which ids of ended channels are remembered, so that a straggling event begins nothing.
_REMEMBER = 60.0


class Legs:
    """Every leg by its channel id, with the groups they form.

    `touched` collects the groups about which something new was learnt; the
    tracker empties it. `now` is the time of the input being handled. `strays`
    are channels made by Asterisk of which it is not known yet who dials them.
    `dropped` are keys of groups that are no more; whoever stores them empties it.
    """

    def __init__(self, patience: float) -> None:
        self.now = 0.0
        self.touched: list[Group] = []
        self.strays: set[str] = set()
        self.dropped: list[str] = []
        self._patience = patience
        self._legs: dict[str, Leg] = {}
        self._halves: dict[tuple[str, str], Leg] = {}
        self._by_linkedid: dict[str, Leg] = {}
        self._waiting_links: dict[str, list[tuple[Leg, int]]] = {}
        self._gone: dict[str, float] = {}

    def __iter__(self) -> Iterator[Leg]:
        return iter(self._legs.values())

    def __len__(self) -> int:
        """Everything that is kept but the ids of ended channels; 0 when all is over."""
        return len(self._legs) + len(self._halves) + len(self._by_linkedid) + len(self._waiting_links)

    def get(self, channel_id: str) -> Leg | None:
        """The leg of this channel, if it is known."""
        return self._legs.get(channel_id)

    def is_gone(self, channel_id: str) -> bool:
        """Did this channel's call end a short while ago?"""
        return channel_id in self._gone

    def groups(self) -> Iterator[Group]:
        """Each group once."""
        seen: set[int] = set()
        for leg in self._legs.values():
            if id(leg.group) not in seen:
                seen.add(id(leg.group))
                yield leg.group

    def take(self, channel: Channel | None, at: int) -> Leg | None:
        """The leg of a snapshot, begun if it is new.

        None for Asterisk's internal channels and for those that ended a short while ago.
        """
        if channel is None or not channel.id or channel.id in self._gone:
            return None
        leg = self._legs.get(channel.id)
        if leg is not None:
            self.see(leg, channel, at)
            return leg
        name = parse_name(channel.name)
        if name.technology in INTERNAL:
            return None
        try:
            created = millis(channel.creationtime)
        except ValueError:
            created = at
        leg = self._new(channel.id, name, created)
        self.see(leg, channel, at)
        self._find_twin(leg)
        for other, when in self._waiting_links.pop(leg.id, ()):
            leg.partners[other.id] = min(when, leg.partners.get(other.id, when))
            self.link(leg, other, when)
        return leg

    def unseen(self, id_: str, name: Name, created: int, gone_at: int) -> Leg:
        """A leg that was over before anything was heard of it."""
        leg = self._new(id_, name, created)
        leg.gone_at = max(created, gone_at)
        leg.reconciled = leg.ended_unseen = True
        self.touch(leg.group)
        return leg

    def _new(self, id_: str, name: Name, created: int) -> Leg:
        leg = self._legs[id_] = Leg(id_, name, created, Group(id_), self.now)
        leg.group.legs[id_] = leg
        return leg

    def known(self, channel: Channel | None, at: int) -> Leg | None:
        """The leg of a snapshot if it is known; a channel is not begun by its end."""
        leg = self._legs.get(channel.id) if channel is not None else None
        if leg is not None and channel is not None:
            self.see(leg, channel, at)
        return leg

    def see(self, leg: Leg, channel: Channel, at: int) -> None:
        """Take in a snapshot: its own evidence, and whom its linkedid joins it with."""
        leg.see(channel, at)
        self.touch(leg.group)
        linkedid = channel.channelvars.get(LINKEDID) if channel.channelvars else None
        if linkedid and linkedid not in leg.linkedids:
            self.relate(leg, linkedid, at)

    def relate(self, leg: Leg, linkedid: str, at: int) -> None:
        """`leg` has this linkedid: it is of one call with all that have it or had it."""
        if linkedid in leg.linkedids:
            return
        leg.linkedids.append(linkedid)
        other = self._by_linkedid.setdefault(linkedid, self._legs.get(linkedid, leg))
        if other is not leg:
            self.link(leg, other, at)

    def touch(self, group: Group) -> None:
        """Something new is known about this group."""
        group.changed = self.now
        self.touched.append(group)

    def meet(self, leg: Leg, other_id: str, at: int) -> None:
        """`leg` entered a bridge in which the channel `other_id` was."""
        if other_id == leg.id or other_id in self._gone:
            return
        leg.partners[other_id] = min(at, leg.partners.get(other_id, at))
        other = self._legs.get(other_id)
        if other is None:
            self._waiting_links.setdefault(other_id, []).append((leg, at))
            return
        other.partners[leg.id] = min(at, other.partners.get(leg.id, at))
        self.link(leg, other, at)

    def begin(self, leg: Leg, at: int, *, held: bool) -> None:
        """`leg` originates a call, unless it is held and already part of another one."""
        group = leg.group
        if leg.call is not None or (held and group.calls):
            return
        leg.call = Call(leg, held=held)
        group.calls.append(leg.call)
        self._joined(group, at)

    def link(self, one: Leg, two: Leg, at: int) -> None:
        """These two legs met at `at` (ms): they are of one call."""
        pair = (one.id, two.id) if one.id < two.id else (two.id, one.id)
        self.join(one, two, at)
        links = one.group.links
        links[pair] = min(at, links.get(pair, at))

    def join(self, one: Leg, two: Leg, at: int) -> None:
        """These two legs are of one call; known since `at` (ms)."""
        if one.group is two.group:
            return
        first, second = one.group, two.group
        if len(first.legs) < len(second.legs):
            first, second = second, first
        first.absorb(second)
        self.dropped.append(second.key)
        self.touched.append(first)
        self._joined(first, at)

    def restore(self, group: Group) -> None:
        """Take up a group that an earlier process knew. KeyError: a channel of it is known already."""
        for leg in group.legs.values():
            if leg.id in self._legs:
                raise KeyError(leg.id)
        for leg in group.legs.values():
            self._legs[leg.id] = leg
            if leg.name.half and leg.gone_at is None:
                self._halves.setdefault((leg.name.peer, leg.name.sequence), leg)
            for linkedid in leg.linkedids:
                self._by_linkedid.setdefault(linkedid, leg)
        for call in group.calls:
            call.merge_due = self.now + self._patience
        self.touch(group)

    def remove(self, group: Group) -> None:
        """Forget a group that is over; the ids of its channels are remembered for a while."""
        for leg in group.legs.values():
            del self._legs[leg.id]
            self.strays.discard(leg.id)
            self._gone[leg.id] = self.now + _REMEMBER
            self._waiting_links.pop(leg.id, None)
            key = (leg.name.peer, leg.name.sequence)
            if leg.name.half and self._halves.get(key) in (leg, leg.twin):
                del self._halves[key]
            for linkedid in (leg.id, *leg.linkedids):
                if self._by_linkedid.get(linkedid) is leg:
                    del self._by_linkedid[linkedid]
        for missing, links in tuple(self._waiting_links.items()):
            if any(leg.group is group for leg, _ in links):
                del self._waiting_links[missing]
        self.dropped.append(group.key)
        group.legs = {}
        group.calls = []
        group.links = {}

    def forget(self) -> None:
        """Drop remembered ids whose time is over."""
        while self._gone:
            first = next(iter(self._gone))
            if self._gone[first] > self.now:
                return
            del self._gone[first]

    def _find_twin(self, leg: Leg) -> None:
        if not leg.name.half:
            return
        key = (leg.name.peer, leg.name.sequence)
        twin = self._halves.setdefault(key, leg)
        if twin is not leg and twin.name.half != leg.name.half:
            leg.twin, twin.twin = twin, leg
            self.join(leg, twin, max(leg.created, twin.created))

    def _joined(self, group: Group, at: int) -> None:
        """Where a group has several calls the older goes on; held ones were none of their own."""
        for call in tuple(group.calls):
            if call.held and len(group.calls) > 1:
                group.calls.remove(call)
                call.origin.call = None
        if len(group.calls) < 2:
            return
        for call in group.calls:
            if call.joined_at is None:
                call.joined_at = at
                call.merge_due = self.now + self._patience
