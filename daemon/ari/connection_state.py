"""When a connection counts as dead, and what is worth saying about it. Pure.

Times are seconds of one monotonic clock, given by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

CHANNEL_EVIDENCE = b'"channel":{'
RECORDING_EVIDENCE = b'"MIXMONITOR_FILENAME":'
"""As a key it is in `channelvars`; a ChannelVarset has the name as a value, and text in values has \\"."""

_LOCKED_OUT: Final = 30.0  # seconds
_STARTING: Final = 0.25  # of the planned pause, so that it keeps its jitter


class Step(Enum):
    """What to do about a silent websocket."""

    READ = "read on"
    PING = "send a ping"
    GIVE_UP = "give up"


def liveness(now: float, heard_at: float, pinged_at: float, *, ping_after: float, pong_within: float) -> Step:
    """A quiet PBX is silent for hours, a dead one too: after `ping_after` seconds ask.

    `heard_at`: when any byte came last; `pinged_at`: when the last ping went out.
    """
    if now - heard_at < ping_after:
        return Step.READ
    if pinged_at <= heard_at:
        return Step.PING
    return Step.GIVE_UP if now - pinged_at >= pong_within else Step.READ


def pause(planned: float, status: int | None, *, refused: bool) -> float:
    """Seconds until the next try to connect, after `planned` ones that grew with each failure.

    A closed port (`refused`), 404 and 503 are what a starting Asterisk shows, soon no more, and such a
    try costs nobody anything: a quarter. 401 and 403 do not mend themselves, and fail2ban counts them.
    """
    if status in (401, 403):
        return _LOCKED_OUT
    return planned * _STARTING if refused or status in (404, 503) else planned


def names_recording(frame: bytes) -> bool | None:
    """Does this event's channel snapshot bring the recording's name? None: it has no channel.

    It does where ari.conf has `channelvars = ...,MIXMONITOR_FILENAME`; then
    no ChannelVarset is needed, which is half of all events.
    """
    if RECORDING_EVIDENCE in frame:
        return True
    return False if CHANNEL_EVIDENCE in frame else None


@dataclass(slots=True)
class Outage:
    """What of a series of failures is said: the first, each new reason, then one line in `every` seconds."""

    every: float = 300.0
    attempts: int = 0
    began: float = 0.0
    _reason: str = ""
    _said: float = 0.0

    def failed(self, reason: str, now: float) -> str | None:
        """Count a failure; the sentence to log, None when it would only repeat."""
        if self.attempts == 0:
            self.began = now
        self.attempts += 1
        if reason != self._reason:
            self._reason, self._said = reason, now
            return reason
        if now - self._said < self.every:
            return None
        self._said = now
        return f"{reason} (attempt {self.attempts}, for {now - self.began:.0f} s)"

    def over(self) -> None:
        """It works again."""
        self.attempts, self._reason = 0, ""


@dataclass(slots=True)
class Replaced:
    """How long to leave the name to another client that took it: each time twice as long."""

    first: float = 60.0
    cap: float = 600.0
    times: int = 0

    def pause(self) -> float:
        """Seconds to wait before taking the name back, if it is not free before."""
        seconds = min(self.cap, self.first * 2.0**self.times)
        self.times = min(self.times + 1, 16)
        return seconds
