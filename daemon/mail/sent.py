"""Copies of what was sent, in a folder of the IMAP mailbox. Adapter, through imap_link.

They tell after a crash whether an answer was handed over already, and people
what was answered. Gmail keeps them by itself: there nothing is added.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from daemon.errors import TransientError
from daemon.mail.imap_link import Access, ImapLink
from daemon.runtime.deadline import deadline

log = logging.getLogger("arimonitor.mail")

STEP: Final = 60.0
IDLE: Final = 30.0
"""Seconds a connection is kept for the next question."""


class SentFolder:
    """One folder, over a connection of its own. Greenlets may share it."""

    def __init__(self, access: Access, folder: str) -> None:
        self.access = access
        self._folder = folder
        self._lock = Lock()
        self._link: ImapLink | None = None
        self._used = 0.0

    def has(self, message_id: str) -> bool:
        """Whether a copy is there. TransientError: it can't be known now."""
        with self._open() as link:
            return self._has(link, message_id)

    def keep(self, message_id: str, data: bytes) -> None:
        """A copy, if none is there. TransientError."""
        with self._open() as link:
            if not link.has("X-GM-EXT-1") and not self._has(link, message_id):
                link.append(self._folder, data)

    def _has(self, link: ImapLink, message_id: str) -> bool:
        folder = link.special(rb"\Sent") if link.has("X-GM-EXT-1") else ""
        if not folder:
            link.make(self._folder)
        link.select(folder or self._folder, readonly=True)
        return bool(link.search(["HEADER", "Message-ID", message_id]))

    def close(self) -> None:
        """End the connection; the next question opens another."""
        with self._lock:
            self._drop()

    @contextmanager
    def _open(self) -> Iterator[ImapLink]:
        """The connection, kept for the next question of a burst; whatever goes wrong closes it."""
        with self._lock, deadline(STEP, f"{self.access}, the folder {self._folder},"):
            try:
                yield self._connected()
                self._used = time.monotonic()
            except BaseException:
                self._drop()
                raise

    def _connected(self) -> ImapLink:
        if self._link is not None and time.monotonic() - self._used < IDLE:
            try:
                self._link.noop()
            except TransientError:
                self._drop()
        else:
            self._drop()
        if self._link is None:
            self._link = ImapLink(self.access)
        return self._link

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


def kept(folder: SentFolder, message_id: str, data: bytes) -> None:
    """Keep a copy; where that fails the mail was sent nevertheless, and the log says so."""
    try:
        folder.keep(message_id, data)
    except TransientError as error:
        log.warning("no copy of %s is kept: %s", message_id, error)
