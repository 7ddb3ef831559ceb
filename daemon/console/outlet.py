"""What a session has to send, bounded, on its way out by a helper of its own.

Nobody who puts something in ever waits for a slow reader: not the command,
and above all not the monitor that publishes an event to its watchers. A
reader that falls too far behind a stream, or takes nothing for the sender's
deadline, loses the connection, and is the only one to notice.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

STREAM_LIMIT = 1024 * 1024
"""Bytes that may wait while a stream goes on."""

_PIECE = 64 * 1024


class Outlet:
    """A queue of bytes in front of `send`, which sends some of them and says how many.

    `send` has its own deadline and raises OSError (TimeoutError among them).
    `on_break` is called once, when nothing can be sent any more: it wakes the
    session, and neither waits nor raises.
    """

    def __init__(self, send: Callable[[bytes], int], on_break: Callable[[], None]) -> None:
        self._send = send
        self._on_break = on_break
        self._changed = Condition()
        self._waiting = bytearray()
        self._ending = False
        self.broken = False

    def put(self, data: bytes) -> None:
        """Queue an answer."""
        with self._changed:
            if not self.broken:
                self._waiting += data
                self._changed.notify_all()

    def offer(self, data: bytes) -> bool:
        """Queue a piece of a stream; False (and broken) when the reader is too far behind."""
        with self._changed:
            if len(self._waiting) + len(data) > STREAM_LIMIT:
                self._break()
            elif not self.broken:
                self._waiting += data
                self._changed.notify_all()
            return not self.broken

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all is sent; False when it can't be, or was not within `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.broken or not self._waiting, timeout)
            return not self.broken and not self._waiting

    def end(self) -> None:
        """Let `pump` return once nothing waits any more."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Let `pump` return now: nobody reads any more."""
        with self._changed:
            self._break()

    def pump(self) -> None:
        """Send what is queued until `end` or `abandon`; the helper's work."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending or self.broken)
                if self.broken or not self._waiting:
                    return
                piece = bytes(self._waiting[:_PIECE])
            try:
                sent = self._send(piece)
            except OSError:
                # The reader is gone or stuck; its session ends itself on `broken`.
                self.abandon()
                return
            with self._changed:
                if not self.broken:
                    del self._waiting[:sent]
                    self._changed.notify_all()

    def _break(self) -> None:
        if self.broken:
            return
        self.broken = True
        self._waiting.clear()
        self._changed.notify_all()
        self._on_break()
