"""Bugs put into the product on purpose, one at a time: each must be found, or the simulator proves nothing.

Each is a context in which the product is wrong in one way. What is wrong with
it is in the name; what finds it is in test_planted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from daemon.jobs import policy
from daemon.jobs.answering import Answering
from daemon.jobs.book import Book
from daemon.jobs.model import Record
from daemon.jobs.takeover import Takeover
from daemon.mail.imap import ImapMailbox
from daemon.mail.monitor import MailMonitor
from ha.operations import ANY
from tests.unit.simulator.zookeeper import Ensemble


@contextlib.contextmanager
def no_epoch_check() -> Iterator[None]:
    """A store that takes what an old master writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ensemble, "fenced", False)
        yield


@contextlib.contextmanager
def no_version_check() -> Iterator[None]:
    """A store in which the last writer wins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ensemble, "versioned", False)
        yield


@contextlib.contextmanager
def move_as_a_claim() -> Iterator[None]:
    """Whoever's MOVE was OK takes the mail as its own: away first, then the record."""
    decide = MailMonitor._decide

    def moved_first(self: Any, letter: Any, incoming: Any) -> None:
        self._mailbox.done(letter.uid)
        decide(self, letter, incoming)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MailMonitor, "_decide", moved_first)
        yield


@contextlib.contextmanager
def reply_before_the_record() -> Iterator[None]:
    """The answer goes out, then the record says that it goes out."""

    def answer(self: Any, record: Record) -> None:
        written = self._written(record)
        if written is not None and self._send(record, written):
            now = self._book.now
            record = self._book.advance(record, lambda r: policy.replying(r, now()))
            self._close(self._book.advance(record, lambda r: policy.replied(r, now())))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Answering, "_answer", answer)
        yield


@contextlib.contextmanager
def no_flag_on_the_mail() -> Iterator[None]:
    """Nothing on the mail says that it was accepted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImapMailbox, "accepted", lambda self, uid: None)
        yield


@contextlib.contextmanager
def takeover_without_compare_and_set() -> Iterator[None]:
    """Who takes over writes over whatever there is."""
    take, advance = Takeover._take, Book.advance

    def blind(self: Any, record: Record, step: Any, *, as_master: bool = False) -> Record:
        if not as_master:
            return advance(self, record, step)
        new = msgspec.structs.replace(step(record), epoch=self.mastership.epoch)
        claims, packed = self.store._claims, self.store._packed(new)
        stat = claims._tree.set(claims._path(record.request.request_id), packed, ANY)
        return msgspec.structs.replace(new, version=stat.version + 1)

    def taken(self: Any, *arguments: Any) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Book, "advance", blind)
            return take(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Takeover, "_take", taken)
        yield


BUGS = (
    no_epoch_check,
    no_version_check,
    move_as_a_claim,
    reply_before_the_record,
    no_flag_on_the_mail,
    takeover_without_compare_and_set,
)
