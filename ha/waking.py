"""A loop's alarm clock: it waits for news, for its stop, or for a time, whichever is first."""

from __future__ import annotations

import threading
from threading import Event


class Wake:
    """`set` may be called from anywhere, also from a callback that must not block."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """There is news."""
        self._event.set()

    def follow(self, stop: Event) -> None:
        """From now on the loop's stop wakes it, too."""

        def pass_on() -> None:
            stop.wait()
            self._event.set()

        threading.Thread(target=pass_on, name="ha stop", daemon=True).start()

    def wait(self, timeout: float) -> None:
        """Return when there was news since the last return, or after `timeout` seconds."""
        self._event.wait(max(0.0, timeout))
        self._event.clear()
