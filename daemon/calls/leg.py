"""A leg: one channel of a call, and everything the events said about it. Pure.

A leg keeps *evidence*, each piece with Asterisk's own timestamp, and reduces
it by that timestamp, never by arrival: what is concluded from it does not
depend on how the events of different channels were interleaved on the wire.

Channel names follow Asterisk's grammar `TECH/PEER-SEQUENCE`, and
`Local/EXTEN@CONTEXT-SEQUENCE;1` and `;2` for the two halves of a Local channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daemon.ari.events import Channel
    from daemon.calls.call import Call, Group

# Made by Asterisk for its own use (announcers, recorders, spies, masquerades): nobody's leg.
INTERNAL = frozenset(
    "CBAnn CBRec Announcer Recorder Snoop Surrogate Message MulticastRTP UnicastRTP WebSocket "
    "AsyncGoto Parked Transfered Bridge Consultation".split()
)
# Applications that connect a caller to somebody: the answer is that somebody's.
CONNECTING = frozenset(
    "Dial Queue FollowMe RetryDial Page AppDial AppDial2 AppQueue Pickup PickupChan".split()
)


@dataclass(frozen=True, slots=True)
class Name:
    """A channel's name, taken apart. `half` is "1" or "2" in a Local channel, else ""."""

    technology: str
    peer: str
    sequence: str
    half: str

    @property
    def is_local(self) -> bool:
        """One half of a Local channel: a hinge between two legs, no endpoint."""
        return self.technology == "Local"


def parse_name(name: str) -> Name:
    """Take a channel's name apart; parts that are missing are empty.

    >>> parse_name("PJSIP/1013010-0000001e")
    Name(technology='PJSIP', peer='1013010', sequence='0000001e', half='')
    """
    technology, _, rest = name.partition("/")
    rest, _, half = rest.partition(";")
    peer, _, sequence = rest.rpartition("-")
    return Name(technology, peer or sequence, sequence if peer else "", half)


@dataclass(slots=True)
class Attempt:
    """One leg dialling another: the Dial events of one (caller, peer) pair."""

    peer: Leg
    began: int
    answered: int | None = None
    ended: int | None = None
    status: str = ""

    def see(self, status: str, at: int) -> None:
        """Take in one Dial event. The first final status is the attempt's."""
        self.began = min(self.began, at)
        if status == "ANSWER":
            self.answered = at if self.answered is None else min(self.answered, at)
        elif status in _FINAL and (self.ended is None or (at, status) < (self.ended, self.status)):
            self.ended, self.status = at, status

    @property
    def is_open(self) -> bool:
        """Nothing final was said about it yet."""
        return self.answered is None and self.ended is None


_FINAL = frozenset(("BUSY", "NOANSWER", "CANCEL", "CONGESTION", "CHANUNAVAIL", "DONTCALL", "TORTURE"))


@dataclass(slots=True, eq=False)
class Digit:
    """A DTMF digit that is still to be told."""

    digit: str
    at: int
    duration_ms: int


@dataclass(slots=True, eq=False)
class Leg:
    """One channel. Times are milliseconds since the epoch, None = not seen.

    `born` is the state in ChannelCreated: Ring came in from a phone, Down was
    made by Asterisk; None where the creation was not seen. `seen_at` is by
    `now` (s): when the first event about it was received.
    """

    id: str
    name: Name
    created: int
    group: Group
    seen_at: float = 0.0
    number: str = ""
    born: str | None = None
    exten: str = ""
    exten_at: int = 0
    up_at: int | None = None
    up_application: str = ""
    served_by: str = ""
    served_at: int = 0
    gone_at: int | None = None
    cause: int | None = None
    cause_text: str = ""
    hung_up_at: int | None = None
    originated_at: int | None = None
    parent: Leg | None = None
    parent_at: int = 0
    twin: Leg | None = None
    linkedids: list[str] = field(default_factory=list)
    call: Call | None = None
    reconciled: bool = False
    redirected: bool = False
    attempts: dict[str, Attempt] = field(default_factory=dict)
    partners: dict[str, int] = field(default_factory=dict)
    recordings: dict[str, int] = field(default_factory=dict)

    @property
    def is_its_own(self) -> bool:
        """No other call's linkedid was seen on it."""
        return self.linkedids in ([], [self.id])

    @property
    def may_hang_up(self) -> bool:
        """Somebody sits at it: no half of a Local channel, no phone that only forwarded the call."""
        return not self.name.is_local and not self.redirected

    @property
    def counter(self) -> int | None:
        """The counter in a uniqueid `EPOCH.COUNTER`, which restarts with Asterisk."""
        _, dot, counter = self.id.rpartition(".")
        return int(counter) if dot and counter.isdecimal() else None

    def see(self, channel: Channel, at: int) -> None:
        """Take in what a snapshot of this channel says at `at`."""
        dialplan = channel.dialplan
        exten = dialplan.exten
        if exten and not self._is_no_number(exten) and (not self.exten or at < self.exten_at):
            self.exten, self.exten_at = exten, at
        application = dialplan.app_name
        if (
            application
            and channel.state == "Up"
            and application not in _PREPARING
            and (not self.served_by or at < self.served_at)
        ):
            self.served_by, self.served_at = application, at
        if not self.number:
            self.number = channel.caller.number
        if channel.channelvars:
            self.record(channel.channelvars.get("MIXMONITOR_FILENAME", ""), at)

    def _is_no_number(self, exten: str) -> bool:
        """A Local channel that Asterisk originates begins at its own extension: nobody dialled that."""
        return exten in _NO_NUMBER or (self.name.half == "1" and exten == self.name.peer.partition("@")[0])

    def record(self, path: str, at: int) -> None:
        """A recording of this leg was begun under `path`."""
        if path:
            file = path.rpartition("/")[2]
            self.recordings[file] = min(at, self.recordings.get(file, at))

    def dialled(self, peer: Leg, status: str, at: int) -> None:
        """This leg dials `peer` and hears `status`."""
        attempt = self.attempts.get(peer.id)
        if attempt is None:
            attempt = self.attempts[peer.id] = Attempt(peer, at)
        attempt.see(status, at)
        if peer.parent is None or at < peer.parent_at:
            peer.parent, peer.parent_at = self, at

    def root(self) -> Leg:
        """The leg that began it: up through who dialled whom and Local channels."""
        seen: set[str] = set()
        leg = self
        while leg.id not in seen:
            seen.add(leg.id)
            if leg.call is not None:
                return leg
            if leg.parent is not None:
                leg = leg.parent
            elif leg.twin is not None and leg.name.half == "2":
                leg = leg.twin
            else:
                return leg
        return leg


# Extensions that are no number anybody dialled.
_NO_NUMBER = frozenset(("s", "h", "i", "t", "T", "e", "failed"))
# What a dialplan does on its way; none of these serves a caller.
_PREPARING = CONNECTING | frozenset(
    "Set NoOp MixMonitor StopMixMonitor Goto GotoIf GotoIfTime Gosub GosubIf Return Macro MSet "
    "ExecIf Hangup While EndWhile Verbose Log Ringing Progress Answer Monitor SetMusicOnHold UserEvent "
    "ChannelRedirect Busy Congestion AGI".split()
)
