"""Copies of what was sent, in a folder of the IMAP mailbox. Adapter, through imap_link.

They tell after a crash whether an answer was handed over already, and people
what was answered. Gmail keeps them by itself: there nothing is added.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from daemon.errors import TransientError
from daemon.mail.imap_link import Access, ImapLink
from daemon.runtime.deadline import deadline

log = logging.getLogger("arimonitor.mail")

STEP: Final = 60.0


class SentFolder:
    """One folder; a connection for each question, since there are few."""

    def __init__(self, access: Access, folder: str) -> None:
        self.access = access
        self._folder = folder
        self._lock = Lock()

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

    @contextmanager
    def _open(self) -> Iterator[ImapLink]:
        with self._lock, deadline(STEP, f"{self.access}, the folder {self._folder},"):
            link = ImapLink(self.access)
            try:
                yield link
            finally:
                link.close()


def kept(folder: SentFolder, message_id: str, data: bytes) -> None:
    """Keep a copy; where that fails the mail was sent nevertheless, and the log says so."""
    try:
        folder.keep(message_id, data)
    except TransientError as error:
        log.warning("no copy of %s is kept: %s", message_id, error)
