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
from daemon.calls.channel import CONNECTING, RECORDING, is_a_talk
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
    return found


def end_unseen(leg: Leg, row: Row | None, lost_at: int) -> None:
    """A leg is gone and nobody saw how: when the CDR says, else when the connection was lost (ms)."""
    leg.reconciled = leg.ended_unseen = True
    if row is None:
        leg.gone_at = max(leg.created, lost_at)
        return
    leg.gone_at = max(leg.created, row.ended)
    answer_unseen(leg, row)


def answer_unseen(leg: Leg, row: Row) -> bool:
    """Does the CDR know of an answer that nobody saw? The leg has it then."""
    if row.answered is None or leg.up_at is not None:
        return False
    leg.reconciled = True
    leg.up_at, leg.up_application = max(leg.created, row.answered), row.application
    for other in leg.group.legs.values():
        if row.peer and str(other.name) == row.peer:
            leg.dialled(other, "ANSWER", leg.up_at)
    return True


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
