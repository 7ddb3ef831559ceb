"""Group commit: callers that come while a transaction is being made share the next one.

The first who comes leads: it commits what waits and, when that is done, hands
over to the first of those who came meanwhile. The others wait for their own
event, not for a lock: its waiters come through one by one, and each of them would
commit for itself alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event

from daemon.outbox.message import Message
from daemon.outbox.rows import StateKey, check_text, row_of


class Ticket:
    """One caller's messages and what became of them: `stored` new ones, or `error`."""

    __slots__ = ("error", "leads", "messages", "rows", "state", "stored", "wake")

    def __init__(
        self, messages: Sequence[Message], state: Mapping[StateKey, bytes | None] | None = None
    ) -> None:
        self.messages = messages
        self.state = state or {}
        check_text(*(text for key in self.state for text in key))
        # Without their numbers, which are given in the order of the commits. Made here, so that
        # a message which can't be written fails its own caller only.
        self.rows = [row_of(0, message) for message in messages]
        self.stored: int | None = None
        self.error: Exception | None = None
        self.leads = False
        self.wake = Event()

    @property
    def done(self) -> bool:
        """It has a result."""
        return self.stored is not None or self.error is not None


class Line:
    """Those who wait for a transaction, first come first."""

    def __init__(self) -> None:
        self._waiting: list[Ticket] = []
        self._led = False  # somebody commits, or was woken to

    def take(self, limit: int) -> list[Ticket]:
        """The first ones, up to `limit` messages in all; one at least where any waits."""
        taken: list[Ticket] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0].messages) <= limit):
            taken.append(self._waiting.pop(0))
            size += len(taken[-1].messages)
        return taken

    def pass_through(self, ticket: Ticket, commit: Callable[[Ticket], None]) -> None:
        """Return when the ticket is done, by `commit(ticket)` of this caller or of another."""
        self._waiting.append(ticket)
        ticket.leads = not self._led
        self._led = True
        try:
            if not ticket.leads:
                ticket.wake.wait()
            if ticket.leads:
                commit(ticket)
        finally:
            if ticket in self._waiting:  # killed at the end of the process
                self._waiting.remove(ticket)
            if ticket.leads:
                self._hand_over()

    def _hand_over(self) -> None:
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].wake.set()
        else:
            self._led = False
