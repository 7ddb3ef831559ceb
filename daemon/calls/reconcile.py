"""What an Asterisk's REST interface says is going on, taken into the tracker's evidence. Pure.

After a gap (a lost connection, a restart of this daemon, an overflow) the
events do not tell what happened meanwhile. `GET /channels` and `/bridges` do,
but not when a call was answered and what was recorded: channel variables and
the creation of the bridge fill that in, as far as they can.

Source: docs.asterisk.org, "Channels REST API", "Bridges REST API".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.ari.events import Channel
from daemon.calls.call import Leg
from daemon.calls.cdr import Row
from daemon.calls.channel import CONNECTING, RECORDING, is_a_talk, parse_name, second_of
from daemon.calls.legs import LINKEDID, Legs

CDR_ANSWER = "CDR(answer,u)"
"""The CDR's answer as seconds since the epoch (option u), empty while unanswered."""


@dataclass(frozen=True, slots=True)
class LiveBridge:
    """A bridge there is now. `created` in ms, by Asterisk's clock."""

    id: str
    bridge_type: str
    creator: str
    created: int
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """Everything that is alive at `at` (ms). `variables` by channel id, then by name.

    `ended` has the CDR's row of channels that are gone, by their id.
    """

    at: int
    channels: tuple[Channel, ...] = ()
    bridges: tuple[LiveBridge, ...] = ()
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ended: Mapping[str, Row] = field(default_factory=dict)


def missing_variables(channels: tuple[Channel, ...]) -> dict[str, tuple[str, ...]]:
    """Which variables must be asked for, by channel id: those that the snapshots do not bring."""
    wanted: dict[str, tuple[str, ...]] = {}
    for channel in channels:
        brought = channel.channelvars or {}
        names = [name for name in (LINKEDID, RECORDING) if name not in brought]
        if channel.state == "Up" and channel.dialplan.app_name not in ("AppDial", "AppQueue"):
            names.append(CDR_ANSWER)
        if names:
            wanted[channel.id] = tuple(names)
    return wanted


def take_in(legs: Legs, live: Live) -> set[str]:
    """Make evidence of it; the channels that were not known before."""
    talks = [bridge for bridge in live.bridges if is_a_talk(bridge.bridge_type, bridge.creator)]
    bridged_since = {channel: bridge.created for bridge in talks for channel in bridge.channels}
    found: set[str] = set()
    for channel in live.channels:
        known = legs.get(channel.id) is not None
        leg = legs.take(channel, live.at)
        if leg is None:
            continue
        variables = live.variables.get(channel.id, {})
        if not known:
            found.add(leg.id)
            leg.reconciled = True
        if variables.get(LINKEDID):
            legs.relate(leg, variables[LINKEDID], live.at)
        leg.record(variables.get(RECORDING, ""), live.at)
        if channel.state == "Up" and leg.up_at is None:
            leg.up_at = _answered_at(variables, bridged_since.get(leg.id), live.at)
            leg.up_application = channel.dialplan.app_name
            leg.reconciled = True
    for bridge in talks:
        for one, two in zip(bridge.channels, bridge.channels[1:], strict=False):
            leg = legs.get(one)
            if leg is not None and two not in leg.partners:
                # Who was known before has met since; who was not may have been there from the first.
                legs.meet(leg, two, bridge.created if {one, two} & found else live.at)
    for channel in live.channels:
        leg = legs.get(channel.id)
        if leg is not None and leg.id in found and _originates(leg, channel):
            legs.begin(leg, live.at, held=channel.dialplan.exten.startswith("*"))
        elif leg is not None and leg.id in found:
            for linkedid in leg.linkedids:
                if legs.get(linkedid) is None and not legs.is_gone(linkedid):
                    _begin_unseen(legs, linkedid, leg, channel, live)
    return found


def _begin_unseen(legs: Legs, linkedid: str, leg: Leg, channel: Channel, live: Live) -> None:
    """The call of a living leg whose caller is over: by the CDR, else by the id and what the leg shows."""
    row = live.ended.get(linkedid)
    if row is not None:
        origin = legs.unseen(linkedid, parse_name(row.channel), row.created, row.ended)
        origin.number, origin.exten = row.source, row.destination
    else:
        made = second_of(linkedid)
        created = leg.created if made is None else made * 1000
        origin = legs.unseen(linkedid, parse_name(""), created, live.at)
        origin.number, origin.exten = channel.connected.number, leg.number
        origin.up_at = leg.up_at
        origin.dialled(leg, "NOANSWER" if leg.up_at is None else "ANSWER", leg.up_at or live.at)
    legs.begin(origin, live.at, held=False)
    legs.link(origin, leg, live.at)


def end_unseen(leg: Leg, row: Row | None, lost_at: int) -> None:
    """A leg is gone and nobody saw how: when the CDR says, else when the connection was lost (ms)."""
    leg.ended_unseen = True
    if row is None:
        leg.gone_at = max(leg.created, lost_at)
        return
    leg.gone_at = max(leg.created, row.ended)


def answer_unseen(legs: Legs, leg: Leg, row: Row) -> None:
    """The CDR may know of an answer to a leg that is over, which nobody saw: the leg has it then."""
    if row.answered is None or leg.up_at is not None:
        return
    leg.reconciled = True
    leg.up_at, leg.up_application = max(leg.created, row.answered), row.application
    legs.touch(leg.group)
    if not row.peer:
        return
    peer = next((other for other in leg.group.legs.values() if str(other.name) == row.peer), None)
    peer = peer or legs.get(row.peer)  # of another row with this peer: a transfer
    if peer is None:  # it is over too; its name serves as its id
        peer = legs.unseen(row.peer, parse_name(row.peer), leg.up_at, leg.gone_at or leg.up_at)
        peer.up_at = leg.up_at
    legs.join(leg, peer, leg.up_at)
    leg.dialled(peer, "ANSWER", leg.up_at)


def _originates(leg: Leg, channel: Channel) -> bool:
    """Whose call is it? Its linkedid is its own, or it runs a dialplan that nobody dialled."""
    if leg.group.calls or leg.name.is_local or leg.parent is not None:
        return False
    if leg.linkedids:
        return leg.is_its_own
    application = channel.dialplan.app_name
    return channel.state in ("Ring", "Up") and (
        application not in CONNECTING or application in ("Dial", "Queue")
    )


def _answered_at(variables: Mapping[str, str], bridged_since: int | None, now: int) -> int:
    """When it was answered: the bridge knows it to the millisecond, the CDR to the second."""
    if bridged_since is not None:
        return bridged_since
    text = variables.get(CDR_ANSWER, "").partition(".")[0]
    return int(text) * 1000 if text.isdecimal() and int(text) else now
