"""Publications are put on the other node too, so that a link works on whichever is asked. Service.

    note written --> share_now: within SHARE_WITHIN, before the answer --> on the peer
                 \\-> later, by the service: retried with backoff until it is there, or pruned here

On the peer the ZIP comes first, then its note, as here; a note that is there is
never replaced while its links hold. A peer that has the note answers a request
that it takes over from it, and does no work again. Both prune what they have.
The list of what is not shared yet is in files beside the notes (`published`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any, Final

import msgspec

from daemon.errors import PermanentError, TransientError
from daemon.machines.reach import place_of, reached
from daemon.recordings import links
from daemon.recordings.published import KEY_CHECK, Note, Shelf
from daemon.runtime.backoff import Backoff
from daemon.settings import PeerSettings, Settings
from ssh.errors import AlreadyThere
from ssh.traffic import Traffic
from ssh.transfer import Files

log = logging.getLogger("arimonitor.sharing")

SHARE_WITHIN: Final = 15.0
"""Seconds that an answer waits for its publication to be on the peer."""
NOW_AT_MOST: Final = 100_000_000
"""Bytes of a ZIP that is put there before the answer; a larger one follows later."""
RESERVE: Final = 64 << 20
"""Bytes that stay free on the peer's disk."""
_TIMEOUT: Final = 5.0
_QUICK: Final = 3.0  # seconds for each step before an answer: what hangs is given up within SHARE_WITHIN
_SLOWEST: Final = 20_000  # bytes a second that a link without a bound moves at least
_EVERY: Final = 300.0


class Sharer:
    """One for the node; `share_now` from any greenlet."""

    name = "recordings-share"

    def __init__(
        self,
        settings: Settings,
        shelf: Shelf,
        key: Callable[[], bytes],
        offload: Callable[..., Any],
        traffic: Traffic,
        *,
        clock: Callable[[], float] = time.time,
        first: float = 5.0,
        now_at_most: int = NOW_AT_MOST,
    ) -> None:
        """`first`: seconds before the first repetition."""
        self._now_at_most = now_at_most
        self._folders = {peer.name: _folders(peer, settings) for peer in settings.peer}
        self._peers = {peer.name: _Peer(peer, first) for peer in settings.peer if peer.name in shelf.peers}
        self._keyless = bool(settings.peer) and settings.recordings.link_key is None
        self._shelf = shelf
        self._key = key
        self._offload = offload
        self._traffic = traffic
        self._clock = clock
        self._wake = Event()
        self._waiting = 0
        self._tried: dict[tuple[str, str], float] = {}
        self.shared = 0
        self.problem = ""

    def open(self) -> None:
        """Make the folders that the other node puts things into. What is wrong is only logged."""
        if self._keyless:
            log.warning(KEYLESS)
        if not self._peers:
            return
        try:
            self._offload(self._shelf.prepare, links.check(self._key()))
            self._waiting = len(self._offload(self._shelf.unshared))
        except OSError as error:
            log.warning("the other node can't put its publications here: %s", error)

    def run(self, stop: Event) -> None:
        """Until `stop`: whatever is on the list, one after another."""
        while not stop.is_set():
            self._wake.clear()
            pause = _EVERY
            try:
                pause = self._round(stop)
            except OSError as error:
                self._say(f"the list in {self._shelf.notes} can't be read: {error.strerror or error}")
            until = time.monotonic() + pause
            while not stop.is_set() and not self._wake.is_set() and (rest := until - time.monotonic()) > 0:
                self._wake.wait(min(0.1, rest))

    def status(self) -> Mapping[str, object]:
        """How many are not on the other node yet, how many were put there, and what does not work."""
        return {"waiting": self._waiting, "shared": self.shared, "problem": self.problem}

    def share_now(self, publication: str, note: Note) -> bool:
        """Put it on every peer, within SHARE_WITHIN; whether it is there. What is not, comes later."""
        until = time.monotonic() + SHARE_WITHIN
        well = True
        for name, peer in self._peers.items():
            reason = self._not_now(peer, note)
            if not reason:
                reason = self._try(publication, name, until - time.monotonic())
            if reason:
                log.info("publication %s... goes to %s later: %s", publication[:8], name, reason)
                well = False
        if not well:
            self._waiting += 1  # as it is until the next round counts
            self._wake.set()
        return well

    def _not_now(self, peer: _Peer, note: Note) -> str:
        """Why an answer does not wait for it; "": it may."""
        size = note.bytes if note.place == "folder" else 0
        bandwidth = peer.settings.bandwidth
        if size > self._now_at_most:
            return f"it has {size / 1e6:.1f} MB"
        if bandwidth and size * 8 / (bandwidth * 1000) > SHARE_WITHIN / 2:
            return f"it has {size / 1e6:.1f} MB, and the bandwidth is {bandwidth} kbit/s"
        if time.monotonic() < peer.not_before:
            return "that node was away a moment ago"
        return ""

    # -- one after another -------------------------------------------------------
    def _round(self, stop: Event) -> float:
        """Seconds until the next one may be due."""
        todo: list[tuple[str, str]] = self._offload(self._shelf.unshared)
        # One that fails again and again does not stand before the others.
        self._tried = {each: self._tried[each] for each in todo if each in self._tried}
        todo.sort(key=lambda each: self._tried.get(each, 0.0))
        self._waiting = len(todo)
        for publication, name in todo:
            peer = self._peers[name]
            if stop.is_set() or time.monotonic() < peer.not_before:
                continue
            if not self._try(publication, name, None):
                self._waiting -= 1
        if self._waiting == 0:
            self._say("")
            return _EVERY
        due = min((self._peers[name].not_before for _, name in todo), default=0.0)
        return max(0.5, min(_EVERY, due - time.monotonic()))

    def _try(self, publication: str, name: str, seconds: float | None) -> str:
        """Why it is not there; "" if it is. Whoever comes second does not wait for the first."""
        peer = self._peers[name]
        if publication in peer.busy:
            return "it is on its way"
        peer.busy.add(publication)
        self._tried[publication, name] = time.monotonic()
        try:
            note = self._offload(self._shelf.note, publication)
            if note is not None and note.expires > self._clock():
                self._put(publication, note, peer, seconds)
                self.shared += 1
                log.info("publication %s... is on %s too", publication[:8], name)
            self._offload(self._shelf.shared, publication, name)
        except (TransientError, PermanentError, OSError) as error:
            peer.failed()
            self._say(f"publications can't be put on {name}, tried again: {error}")
            return str(error)
        finally:
            peer.busy.discard(publication)
        peer.worked()
        return ""

    def _say(self, problem: str) -> None:
        if problem and not self.problem:
            log.warning("%s", problem)
        elif self.problem and not problem:
            log.info("publications can be put on the other node again")
        self.problem = problem

    # -- one ---------------------------------------------------------------------
    def _put(self, publication: str, note: Note, peer: _Peer, seconds: float | None) -> None:
        """Raises TransientError, PermanentError; OSError: the disk here."""
        folder, notes = self._folders[peer.settings.name]
        there = str(notes / f"{publication}.json")
        until = time.monotonic() + (seconds if seconds is not None else _patience(peer.settings, note.bytes))
        timeout = _TIMEOUT if seconds is None else _QUICK
        with reached(place_of(peer.settings, timeout)) as connection:
            files = Files(connection, self._traffic)
            self._same_key(files, notes)
            known, archive = _note(files, there), str(folder / f"{publication}.zip")
            holds = known is not None and known.expires > self._clock()
            if holds and (note.place != "folder" or files.stat(archive) is not None):
                return
            if note.place == "folder":
                _room(files, str(folder), note.bytes)
                files.put(self._shelf.path(publication), archive, deadline=_left(until), replace=True)
            try:
                files.put(
                    self._shelf.note_path(publication), there,
                    deadline=_left(until), mode=0o600, replace=known is not None,
                )  # fmt: skip
            except AlreadyThere:  # the peer has made the same meanwhile
                log.info("publication %s... was made on %s too", publication[:8], peer.settings.name)

    def _same_key(self, files: Files, notes: Path) -> None:
        path = str(notes / KEY_CHECK)
        if files.stat(path) is None:
            raise TransientError(
                f"{files.place}: {path} is not there: has its arimonitor been started, with a [[peer]]?"
            )
        if files.read(path, most=1024) != links.check(self._key()).encode():
            raise PermanentError(
                f"{files.place}: its recordings.link_key is not ours: give both nodes the same, or no link"
                " works on the other"
            )


KEYLESS: Final = (
    "recordings.link_key is not set, so links made here do not work on the other node, and it does a"
    " request again that it takes over: set the same on both (openssl rand -hex 32)"
)


class _Peer:
    """How it goes with one peer."""

    def __init__(self, settings: PeerSettings, first: float) -> None:
        self.settings = settings
        self.not_before = 0.0
        self.busy: set[str] = set()
        self._backoff = Backoff(first=first, cap=_EVERY)

    def failed(self) -> None:
        """Leave it alone for a while."""
        self.not_before = time.monotonic() + self._backoff.next()

    def worked(self) -> None:
        """The next one may go at once."""
        self.not_before = 0.0
        self._backoff.reset()


def shelf_of(settings: Settings, clock: Callable[[], float] = time.time) -> Shelf:
    """The node's shelf; other nodes are known to it where links are signed alike."""
    keyed = settings.recordings.link_key is not None
    peers = [peer.name for peer in settings.peer] if keyed else []
    return Shelf(settings.recordings.publish_dir, settings.node.data_dir, peers=peers, clock=clock)


def _folders(peer: PeerSettings, settings: Settings) -> tuple[Path, Path]:
    """Its publish_dir and its notes."""
    data_dir = peer.data_dir or settings.node.data_dir
    return peer.publish_dir or settings.recordings.publish_dir, data_dir / "published"


def _note(files: Files, path: str) -> Note | None:
    """The peer's own note of it; one that can't be read is none."""
    if files.stat(path) is None:
        return None
    try:
        return msgspec.json.decode(files.read(path, most=64 << 20), type=Note)
    except msgspec.DecodeError as error:
        raise TransientError(f"{files.place}: {path} is no note: take it away") from error


def _room(files: Files, folder: str, size: int) -> None:
    free = files.free(folder)
    if free is not None and free < size + RESERVE:
        needed = (size + RESERVE) >> 20
        raise TransientError(
            f"{files.place}: the disk of {folder} has {free >> 20} MB free, and {needed} MB are needed:"
            " make room there"
        )


def _patience(peer: PeerSettings, size: int) -> float:
    bound = peer.bandwidth * 125 / 8  # it may be shared with other transfers
    return 60.0 + size / (min(bound, _SLOWEST) if bound else _SLOWEST)


def _left(until: float) -> float:
    return max(0.1, until - time.monotonic())
