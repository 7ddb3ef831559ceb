"""Tells the other nodes what this one can do and what it is connected to. Service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

_EVERY = 0.5  # seconds between two looks; what did not change is not written


class MemberFacts:
    """Service: `facts` are looked at, and `say` is told when they change."""

    name = "member"

    def __init__(
        self, facts: Callable[[], Mapping[str, Any]], say: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._facts = facts
        self._say = say
        self._said: Mapping[str, Any] | None = None

    def run(self, stop: Event) -> None:
        """Until `stop`."""
        self._said = None
        while not stop.is_set():
            now = self._facts()
            if now != self._said:
                self._say(now)
                self._said = now
            stop.wait(_EVERY)

    def status(self) -> Mapping[str, object]:
        """What was said last."""
        return dict(self._said or {})
