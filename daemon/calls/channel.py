"""Asterisk's words about channels: the grammar of their names, kinds of applications. Pure.

Names follow `TECH/PEER-SEQUENCE`, and `Local/EXTEN@CONTEXT-SEQUENCE;1` and
`;2` for the two halves of a Local channel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Made by Asterisk for its own use (announcers, recorders, spies, masquerades): nobody's leg.
INTERNAL = frozenset(
    "CBAnn CBRec Announcer Recorder Snoop Surrogate Message MulticastRTP UnicastRTP WebSocket "
    "AsyncGoto Parked Transfered Bridge Consultation".split()
)
# Applications that connect a caller to somebody: the answer is that somebody's.
CONNECTING = frozenset(
    "Dial Queue FollowMe RetryDial Page AppDial AppDial2 AppQueue Pickup PickupChan".split()
)


RECORDING = "MIXMONITOR_FILENAME"
"""The channel variable that names the file of a running recording."""
# Extensions that are no number anybody dialled.
NO_NUMBER = frozenset(("s", "h", "i", "t", "T", "e", "failed"))
# What a dialplan does on its way; none of these serves a caller.
PREPARING = CONNECTING | frozenset(
    "Set NoOp MixMonitor StopMixMonitor Goto GotoIf GotoIfTime Gosub GosubIf Return Macro MSet "
    "ExecIf Hangup While EndWhile Verbose Log Ringing Progress Answer Monitor SetMusicOnHold UserEvent "
    "ChannelRedirect Busy Congestion AGI".split()
)


_UNIQUEID = re.compile(r"(?:.*-)?(\d{9,11})\.\d+")


def second_of(uniqueid: str) -> int | None:
    """When a channel `[SYSTEM-]EPOCH.COUNTER` was made (s since 1970); None: a program chose its id."""
    match = _UNIQUEID.fullmatch(uniqueid)
    return int(match[1]) if match is not None else None


def is_a_talk(bridge_type: str, creator: str) -> bool:
    """Those in such a bridge talk with one another: no waiting room, and no conference.

    Who waits in one place, or talks in one conference, still made calls of their own.
    """
    return bridge_type != "holding" and creator != "ConfBridge"


@dataclass(frozen=True, slots=True)
class Name:
    """A channel's name, taken apart. `half` is "1" or "2" in a Local channel, else ""."""

    technology: str
    peer: str
    sequence: str
    half: str

    def __str__(self) -> str:
        """The name as Asterisk writes it."""
        half = f";{self.half}" if self.half else ""
        return f"{self.technology}/{self.peer}{'-' if self.sequence else ''}{self.sequence}{half}"

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
