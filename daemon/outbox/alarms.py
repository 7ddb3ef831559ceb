"""Says once that messages are refused, and once that they go out again.

An alarm is per routing key and reason, not per message: a missing binding hits
every call. It is told when it begins, each ten minutes while it lasts, and when
a message with its routing key is delivered again.
"""

from __future__ import annotations

import logging

from daemon.outbox.entry import Entry

log = logging.getLogger("arimonitor.outbox")

_REPEAT = 600.0  # seconds
_LIMIT = 1000  # alarms kept at once; routing keys are few


class _Alarm:
    __slots__ = ("count", "said_at", "since")

    def __init__(self, now: float) -> None:
        self.since = self.said_at = now
        self.count = 0


class Alarms:
    """Of one sink. Times are seconds since the epoch."""

    def __init__(self, sink: str, retry: float) -> None:
        self._sink = sink
        self._retry = retry
        self._alarms: dict[tuple[str, str], _Alarm] = {}
        self._refused: dict[int, tuple[str, str]] = {}

    def refused(self, entry: Entry, reason: str, now: float, waiting: int) -> None:
        """This message was refused; `waiting` messages wait for the broker in all."""
        key = (entry.message.routing_key, reason)
        alarm = self._alarms.get(key)
        first = alarm is None
        if alarm is None:
            if len(self._alarms) >= _LIMIT:
                return
            alarm = self._alarms[key] = _Alarm(now)
        alarm.count += 1
        if len(self._refused) < _LIMIT * 100:
            self._refused[entry.seq] = key
        if first or now - alarm.said_at >= _REPEAT:
            alarm.said_at = now
            log.warning(
                "%s: %s: %s for routing key %s: the message %s stays and is tried again each %g s,"
                " refused %d times so far; %d messages wait",
                self._sink,
                entry.message.order,
                reason,
                entry.message.routing_key,
                entry.message.id,
                self._retry,
                alarm.count,
                waiting,
            )

    def delivered(self, seqs: list[int], now: float) -> None:
        """These went out: an alarm about one of them is over."""
        if not self._refused:
            return
        for seq in seqs:
            key = self._refused.pop(seq, None)
            alarm = self._alarms.pop(key, None) if key else None
            if alarm is not None and key is not None:
                log.info(
                    "%s: routing key %s is delivered again after %.0f s (%d refusals: %s)",
                    self._sink,
                    key[0],
                    now - alarm.since,
                    alarm.count,
                    key[1],
                )
