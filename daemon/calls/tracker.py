"""The call tracker: ARI events in, facts about calls out. Pure.

    event --> evidence on legs --> groups of legs --> facts
              (call.py)            (legs.py)          (outcome.py, telling.py)

`apply` takes one event, `tick` lets time pass; both return the facts that
became certain. `now` is when the event was received (seconds since the
epoch); it only drives the short waits, never the content of a fact: that
comes from Asterisk's own timestamps, so two nodes that see the events
interleaved differently say the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from daemon.ari.events import Event, millis
from daemon.calls import memory, reconcile, telling
from daemon.calls.call import Digit, Group, Leg
from daemon.calls.cdr import Row
from daemon.calls.channel import RECORDING, is_a_talk
from daemon.calls.legs import Legs
from daemon.calls.model import Fact
from daemon.calls.outcome import IsEndpoint
from daemon.calls.reconcile import Live

# A counter that falls back while the clock went on so many ms: Asterisk was restarted.
_RESTART = 2000


@dataclass(frozen=True, slots=True)
class CallView:
    """One running call as the console and the web page show it. `since` in ms."""

    call: str
    origin: str | None
    destiny: str | None
    status: int
    since: int
    legs: tuple[str, ...]


def all_digits(name: str) -> bool:
    """The default notion of an endpoint: a name that is a plain extension."""
    return name.isdecimal()


class Tracker:
    """The calls of one Asterisk.

    `reconciled` is how many calls the last `resync` was news about.
    `settle` is how long (s) an ended call waits for legs that may still show
    up; `patience` how long where something is known to be missing.
    """

    def __init__(
        self,
        server: str,
        *,
        settle: float = 2.2,
        patience: float = 4.5,
        is_endpoint: IsEndpoint = all_digits,
    ) -> None:
        self.server = server
        self._telling = telling.Rules(settle, patience, is_endpoint)
        self._legs = Legs(patience)
        self._timers: list[tuple[float, int, Group]] = []
        self._timer_count = 0
        self._last_at = 0
        self._newest: tuple[int, int] | None = None
        self.reconciled = 0
        self._changed: dict[str, Group] = {}
        self._lost_at: int | None = None
        self._handlers: dict[str, Callable[[Event, int], None]] = {
            "ChannelCreated": self._created,
            "ChannelStateChange": self._state,
            "ChannelDestroyed": self._destroyed,
            "ChannelHangupRequest": self._hangup,
            "Dial": self._dial,
            "ChannelVarset": self._varset,
            "ChannelEnteredBridge": self._entered,
            "ChannelLeftBridge": self._snapshot,
            "BridgeBlindTransfer": self._transfer,
            "BridgeAttendedTransfer": self._transfer,
            "ChannelDtmfReceived": self._digit,
            "ChannelDialplan": self._snapshot,
            "ChannelConnectedLine": self._snapshot,
            "ChannelCallerId": self._snapshot,
            "ChannelHold": self._snapshot,
            "ChannelUnhold": self._snapshot,
        }

    # -- inputs ------------------------------------------------------------
    def apply(self, event: Event, now: float) -> list[Fact]:
        """Take in one event, received at `now`. Events of no interest give nothing.

        What only waited is told by `tick`, not here: after a standstill of this
        process there may be more to read before anything is concluded.
        """
        handler = self._handlers.get(event.type)
        if handler is None:
            return []
        try:
            at = millis(event.timestamp)
        except ValueError:
            at = round(now * 1000)
        if now > self._legs.now:
            self._legs.now = now
        handler(event, at)
        self._last_at = max(self._last_at, at)
        return self._tell()

    def tick(self, now: float) -> list[Fact]:
        """Let time pass: tell what only had to wait."""
        if now > self._legs.now:
            self._legs.now = now
        if not self._timers or self._timers[0][0] > self._legs.now:
            return []
        while self._timers and self._timers[0][0] <= self._legs.now:
            due, _, group = heapq.heappop(self._timers)
            if group.due == due:
                group.due = None
                self._legs.touched.append(group)
        self._legs.forget()
        return self._tell()

    def next_due(self) -> float | None:
        """When `tick` has something to do next (same clock as `now`), None if never."""
        return self._timers[0][0] if self._timers else None

    def lost(self, now: float) -> None:
        """Events may be missing since `now`: legs alive now may end unseen."""
        if self._lost_at is None:
            self._lost_at = round(now * 1000)

    def unbroken(self) -> None:
        """Nothing was missed after all: Asterisk kept it and sends it now."""
        self._lost_at = None

    def knows(self, channel_id: str) -> bool:
        """Is this channel followed, or was it until a short while ago?"""
        return self._legs.get(channel_id) is not None or self._legs.is_gone(channel_id)

    def open_legs(self) -> list[str]:
        """The channels whose end has not come."""
        return [leg.id for leg in self._legs if leg.gone_at is None]

    def resync(self, live: Live, now: float) -> list[Fact]:
        """Reconcile, in line with the events, with what Asterisk says is alive now.

        It must have been asked after every event that was applied. A leg that is
        gone unseen ended when the connection was lost.
        """
        facts = self.tick(now)
        alive = {channel.id for channel in live.channels}
        gone = [id_ for id_ in self.open_legs() if id_ not in alive]
        self._end_unseen(gone, live.ended)
        found = reconcile.take_in(self._legs, live)
        for id_, row in live.ended.items():
            leg = self._legs.get(id_)
            if leg is not None and leg.gone_at is not None:
                reconcile.answer_unseen(self._legs, leg, row)
        self.reconciled = len({id(leg.group) for leg in self._legs if leg.id in found or leg.id in gone})
        self._last_at = max(self._last_at, live.at)
        self._lost_at = None
        return facts + self._tell()

    # -- memory ------------------------------------------------------------
    def changes(self) -> dict[str, bytes | None]:
        """What is to be stored since the last call: records by key, None where one is to be deleted."""
        found: dict[str, bytes | None] = dict.fromkeys(self._legs.dropped)
        self._legs.dropped.clear()
        for group in self._changed.values():
            if group.legs:
                found[group.key] = memory.dump(group, self._last_at)
        self._changed.clear()
        return found

    def restore(self, records: Iterable[bytes], now: float) -> int:
        """Take up what an earlier process stored; how many records were of no use.

        Afterwards the tracker is as after `lost`: the next step is `resync`.
        """
        useless = 0
        self._legs.now = max(self._legs.now, now)
        for record in records:
            try:
                group, last_at = memory.load(record, now)
                self._legs.restore(group)
            except (memory.Unreadable, KeyError):
                useless += 1
                continue
            self._last_at = max(self._last_at, last_at)
        self._lost_at = self._last_at or None
        return useless

    # -- views -------------------------------------------------------------
    @property
    def active(self) -> int:
        """How many calls have a leg that is not gone."""
        return sum(1 for group in self._legs.groups() if not group.is_over)

    @property
    def size(self) -> int:
        """Everything that is kept but the ids of ended channels; 0 when all is over."""
        return len(self._legs)

    def calls(self) -> list[CallView]:
        """The running calls, oldest first."""
        views = []
        for group in self._legs.groups():
            call = group.winner()
            if call is None or group.is_over:
                continue
            views.append(
                CallView(
                    call.origin.id,
                    self._telling.name_of(call.origin),
                    call.origin.exten or None,
                    2 if call.answer_told else 1,
                    call.origin.created,
                    tuple(leg.id for leg in group.legs.values() if leg.gone_at is None),
                )
            )
        return sorted(views, key=lambda view: (view.since, view.call))

    # -- events ------------------------------------------------------------
    def _created(self, event: Event, at: int) -> None:
        channel = event.channel
        leg = self._legs.take(channel, at)
        if channel is None or leg is None:
            return
        self._notice_restart(leg)
        leg.born = channel.state
        made = leg.born == "Down" and not leg.name.is_local
        if made and leg.parent is None and leg.originated_at is None and not leg.linkedids:
            self._legs.strays.add(leg.id)
        if leg.born != "Down" and leg.is_its_own and not leg.name.is_local:
            self._legs.begin(leg, at, held=channel.dialplan.exten.startswith("*"))

    def _state(self, event: Event, at: int) -> None:
        channel = event.channel
        leg = self._legs.take(channel, at)
        if channel is None or leg is None:
            return
        if channel.state == "Up" and (leg.up_at is None or at < leg.up_at):
            leg.up_at, leg.up_application = at, channel.dialplan.app_name

    def _destroyed(self, event: Event, at: int) -> None:
        leg = self._legs.known(event.channel, at)
        if leg is not None and (leg.gone_at is None or leg.ended_unseen):
            leg.ended_unseen = False
            leg.gone_at, leg.cause, leg.cause_text = at, event.cause, event.cause_txt

    def _hangup(self, event: Event, at: int) -> None:
        leg = self._legs.known(event.channel, at)
        # A `soft` request is Asterisk's own.
        if leg is not None and not event.soft and (leg.hung_up_at is None or at < leg.hung_up_at):
            leg.hung_up_at = at

    def _dial(self, event: Event, at: int) -> None:
        peer = self._legs.take(event.peer, at)
        if peer is not None:
            self._legs.strays.discard(peer.id)
        if event.caller is None:
            if peer is not None:
                self._originated(peer, at)
            return
        caller = self._legs.take(event.caller, at)
        if peer is None or caller is None or peer is caller:
            return
        caller.dialled(peer, event.dialstatus, at)
        peer.redirected = peer.redirected or bool(event.forward)
        self._legs.join(caller, peer, at)
        forwarded = self._legs.known(event.forwarded, at)
        if forwarded is not None:
            self._legs.join(caller, forwarded, at)

    def _originated(self, leg: Leg, at: int) -> None:
        """A Dial without caller: Asterisk itself calls `leg` (ARI or AMI originate)."""
        if leg.parent is None and leg.is_its_own:
            leg.originated_at = at if leg.originated_at is None else min(at, leg.originated_at)
            if leg.call is None:
                self._legs.begin(leg, at, held=leg.name.is_local)

    def _varset(self, event: Event, at: int) -> None:
        leg = self._legs.get(event.channel.id) if event.channel is not None else None
        if leg is None or event.channel is None:
            return
        if event.variable == RECORDING:
            self._legs.see(leg, event.channel, at)
            leg.record(event.value, at)
        elif leg.originated_at is not None and not leg.served_by:
            # The only events that name the application which ARI originated a channel into.
            self._legs.see(leg, event.channel, at)

    def _entered(self, event: Event, at: int) -> None:
        leg = self._legs.take(event.channel, at)
        bridge = event.bridge
        if leg is None or bridge is None or not is_a_talk(bridge.bridge_type, bridge.creator):
            return
        for other_id in bridge.channels:
            self._legs.meet(leg, other_id, at)

    def _transfer(self, event: Event, at: int) -> None:
        named = (
            event.channel,
            event.transferer_first_leg,
            event.transferee,
            event.transferer_second_leg,
            event.transfer_target,
            event.replace_channel,
        )
        legs = [leg for leg in (self._legs.take(channel, at) for channel in named) if leg is not None]
        for leg in legs[1:]:
            self._legs.link(legs[0], leg, at)

    def _digit(self, event: Event, at: int) -> None:
        leg = self._legs.known(event.channel, at)
        if leg is not None and event.digit:
            due = self._legs.now + self._telling.patience
            leg.group.digits.append((due, leg, Digit(event.digit, at, event.duration_ms)))

    def _snapshot(self, event: Event, at: int) -> None:
        self._legs.known(event.channel, at)

    # -- ends --------------------------------------------------------------
    def _notice_restart(self, leg: Leg) -> None:
        """A counter that began again: Asterisk was restarted, older channels are gone."""
        counter = leg.counter
        if counter is None:
            return
        newest = self._newest
        if newest is not None and counter < newest[1] and leg.created >= newest[0] + _RESTART:
            self._end_unseen([old.id for old in self._legs if old.created <= newest[0]])
            self._newest = (leg.created, counter)
        elif newest is None or counter > newest[1]:
            self._newest = (leg.created, counter)

    def _end_unseen(self, ids: Collection[str], rows: Mapping[str, Row] = MappingProxyType({})) -> None:
        """These channels are gone, and nobody saw how. A called leg has no row but its caller's."""
        as_peer = {row.peer: row for row in rows.values() if row.peer}
        for id_ in ids:
            leg = self._legs.get(id_)
            if leg is not None and leg.gone_at is None:
                row = rows.get(id_) or as_peer.get(str(leg.name))
                reconcile.end_unseen(leg, row, self._lost_at or self._last_at)
                self._legs.touch(leg.group)

    def _tell(self) -> list[Fact]:
        """Tell what is certain now about every group that was touched."""
        facts: list[Fact] = []
        while self._legs.touched:
            touched, self._legs.touched = self._legs.touched, []
            for group in {id(group): group for group in touched}.values():
                if not group.legs:
                    continue
                self._changed[group.key] = group
                told, due, over = self._telling.tell(group, self._legs.now, bool(self._legs.strays))
                facts += told
                if over:
                    self._legs.remove(group)
                elif due is not None and (group.due is None or due < group.due):
                    group.due = due
                    self._timer_count += 1
                    heapq.heappush(self._timers, (due, self._timer_count, group))
        return facts
