"""After a gap: what happened meanwhile on one Asterisk, found out and told.

A gap begins with a lost connection, an overflow or the end of an earlier
process, and ends when Asterisk was asked what is alive (`gather`) and its CDR
file and its recordings' names were read for what is over. All of that happens in line with the events,
in the monitor's greenlet: events that came meanwhile wait on the inbox.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Final

from daemon.ari.gather import Rest, gather
from daemon.ari.inbox import Check, Inbox, Lost, Mark, Opened, Overflow, Wanted
from daemon.ari.monitor import Told
from daemon.ari.rest import AriRefused, AriUnavailable
from daemon.calls.cdr import Row, missed, read
from daemon.calls.model import Fact, Gap
from daemon.calls.outcome import IsEndpoint
from daemon.calls.recorded import Recorded, unheard
from daemon.calls.tracker import Tracker
from daemon.errors import TransientError

log = logging.getLogger("arimonitor.ari")

_TRIES: Final = 3
_CHECK_EVERY: Final = 10.0  # seconds between two looks whether something is left to be reconciled
_ROWS_LATE: Final = 20.0  # seconds after which the CDR is read once more: Asterisk writes it a little later
_ROWS_AGAIN: Final = 60.0  # seconds between two tries to read a CDR that could not be had
_LOOK_EVERY: Final = 300.0  # seconds between two looks whether all legs are still alive
_CDR_TAIL: Final = 8 * 1024 * 1024  # bytes at the end of the CDR file: some 30,000 rows
_MARGIN: Final = 5000  # ms before a gap in which calls are looked for too: clocks differ, rows come late


class Reconciler:
    """One Asterisk's gaps. `gaps` (those told) and `gap_seconds` are over the life of this process.

    `undone`: a reconciliation that Asterisk did not answer is still to be made.
    `untold` leaves out the facts that were told before, by this process or another.
    `recorded` finds the recordings of calls that began between two times (ms); may raise OSError.
    `cdr` says where the CDR file is now; it raises TransientError where that
    can't be told just now, and is asked again later.
    """

    def __init__(
        self,
        asterisk: str,
        tracker: Tracker,
        rest: Rest,
        cdr: Callable[[], Path] | None,
        recorded: Callable[[int, int], Sequence[Recorded]] | None,
        is_endpoint: IsEndpoint,
        untold: Callable[[Sequence[Fact]], Sequence[Fact]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.gaps = 0
        self.gap_seconds = 0.0
        self.rest = rest
        self._asterisk = asterisk
        self._tracker = tracker
        self._cdr = cdr
        self._recorded = recorded
        self._is_endpoint = is_endpoint
        self._untold = untold
        self._connected = False
        self.undone = False
        self._rows_since: float | None = None
        self._rows_due = 0.0
        self._unread = False
        self._silent: set[str] = set()
        self._looked_at = clock()
        self._clock = clock
        self._since: float | None = None
        self._reason = ""

    @property
    def since(self) -> float | None:
        """From when events may have been missed (s since the epoch); None: there is no gap now."""
        return self._since

    def restore(self, records: Iterable[bytes], heard: float | None) -> None:
        """Take up what an earlier process knew, and until when it saw events (s since the epoch)."""
        useless = self._tracker.restore(records, self._clock())
        if useless:
            log.warning("%d stored calls of %s are of no use: another version's", useless, self._asterisk)
        if heard is not None:
            self._begin(heard, "this node was not running")
        if self._tracker.size:
            log.info("%s: %d calls are known from before", self._asterisk, self._tracker.active)

    def on_mark(self, mark: Mark) -> Sequence[Told]:
        """What the monitor meets in line with the events."""
        if isinstance(mark, Opened | Lost):
            self._connected = isinstance(mark, Opened)
        if isinstance(mark, Lost):
            self._begin(mark.since, f"the connection was lost: {mark.reason}")
            self._tracker.lost(mark.at)
            return ()
        if isinstance(mark, Overflow):
            self._begin(mark.since, f"{mark.count} events came faster than they could be used")
            self._tracker.lost(mark.since)
        elif isinstance(mark, Opened) and mark.complete and not self.undone:
            self._since = None  # Asterisk kept everything for us
            self._tracker.unbroken()
            return ()
        elif isinstance(mark, Opened) and self._since is None and mark.generation > 1:
            return ()
        elif isinstance(mark, Wanted):
            if not self._connected:  # what comes until it is connected would be missed
                mark.result = f"{self._asterisk} is not connected: it will be reconciled when it is"
                mark.done.set()
                return ()
            told = self._reconcile(self._since if mark.since is None else mark.since, mark)
            mark.done.set()
            return told
        elif isinstance(mark, Check):
            return self._check()
        return self._reconcile(self._since)

    def _check(self) -> Sequence[Told]:
        if not self._connected:
            return ()
        if self.undone:
            return self._reconcile(self._since)
        if self._rows_since is not None and self._clock() >= self._rows_due:
            since, self._rows_since = self._rows_since, None
            rows = self._rows()
            told = self._missed(rows, since, complete=not self._unread)
            if self._unread:
                self._rows_since, self._rows_due = since, self._clock() + _ROWS_AGAIN
            return told
        if self._clock() - self._looked_at < _LOOK_EVERY:
            return ()
        self._looked_at = self._clock()
        return self._look()

    def _look(self) -> Sequence[Told]:
        """Legs that Asterisk has no more, twice in a row: their end never came, and would never be told."""
        known = set(self._tracker.open_legs())
        try:
            alive = {str(each["id"]) for each in self.rest.channels()} if known else set()
        except (AriUnavailable, AriRefused) as error:
            log.debug("%s can't be asked which channels exist: %s", self._asterisk, error)
            return ()
        before, self._silent = self._silent, known - alive
        stuck = before & self._silent
        if not stuck:
            return ()
        log.warning(
            "%d channels of %s went without a word, such as %s", len(stuck), self._asterisk, min(stuck)
        )
        return self._reconcile(self._clock() - 3 * _LOOK_EVERY)

    def _begin(self, since: float, reason: str) -> None:
        if self._since is None:
            self._since, self._reason = since, reason

    def _reconcile(self, since: float | None, wanted: Wanted | None = None) -> Sequence[Told]:
        for attempt in range(1, _TRIES + 1):
            try:
                live = gather(self.rest, round(self._clock() * 1000))
                break
            except (AriUnavailable, AriRefused) as error:
                log.warning(
                    "%s can't be asked which channels exist (try %d of %d): %s",
                    self._asterisk, attempt, _TRIES, error,
                )  # fmt: skip
        else:
            log.error("calls of %s that ended unseen stay open; asking again in a while", self._asterisk)
            self.undone = True
            if wanted is not None:
                wanted.result = f"{self._asterisk} can't be asked which channels exist: see the log"
            return ()
        self.undone = False
        rows = self._rows() if since is not None else []
        live = replace(live, ended=_by_channel(rows))
        now = self._clock()
        told: list[Told] = list(self._tracker.resync(live, now))
        found: set[str] = set()
        if since is not None:
            news = self._missed(rows, since, complete=self._cdr is None)
            found = {fact.call for fact in news}
            told += news
            overdue = self._rows_since if self._unread else None
            self._rows_since = since if overdue is None else min(since, overdue)
            self._rows_due = now + _ROWS_LATE
        reconciled = self._tracker.reconciled + len(found)
        sentence = (
            f"{self._asterisk} was reconciled: {len(live.channels)} channels are alive,"
            f" {self._tracker.reconciled} calls changed unseen, {len(found)} were missed entirely"
        )
        log.info("%s", sentence)
        if wanted is not None:
            wanted.result = sentence
        if self._since is not None:
            self.gaps += 1
            self.gap_seconds += max(0.0, now - self._since)
            told.append(Gap(round(self._since * 1000), round(now * 1000), self._reason, reconciled))
            self._since = None
        return told

    def _missed(self, rows: Sequence[Row], since: float, *, complete: bool) -> Sequence[Fact]:
        """The facts of calls from then on that only the CDR, or once it is `complete` a recording, knows."""
        begun = round(since * 1000) - _MARGIN
        files = self._files(begun)
        calls = missed(rows, self._tracker.knows, begun, self._is_endpoint, files)
        if complete:
            in_rows = {row.uniqueid for row in rows}
            calls |= unheard(files, lambda id_: id_ in in_rows or self._tracker.knows(id_), begun)
        return self._untold([fact for facts in calls.values() for fact in facts])

    def _files(self, begun: int) -> Sequence[Recorded]:
        if self._recorded is None:
            return ()
        try:
            return self._recorded(begun, round(self._clock() * 1000))
        except (OSError, TransientError) as error:
            log.warning("the recordings of %s can't be looked up: %s", self._asterisk, error)
            return ()

    def _rows(self) -> list[Row]:
        if self._cdr is None:
            return []
        known, self._unread = self._unread, False
        try:
            return list(read(_tail(self._cdr()).decode("utf-8", "replace").splitlines()))
        except TransientError as error:
            self._unread = True
            if not known:
                log.warning(
                    "calls of %s missed entirely are looked up when its CDR can be had: %s",
                    self._asterisk, error,
                )  # fmt: skip
            return []
        except OSError as error:
            log.warning(
                "calls of %s missed entirely can't be looked up: %s: %s",
                self._asterisk, error.filename, error.strerror,
            )  # fmt: skip
            return []


class Checker:
    """The service that has a Reconciler look now and then."""

    def __init__(self, name: str, inbox: Inbox, every: float = _CHECK_EVERY) -> None:
        self.name = f"checks-{name}"
        self._inbox = inbox
        self._every = every

    def run(self, stop: Event) -> None:
        """Hand in a Check every so often until `stop`."""
        while not stop.wait(self._every):
            self._inbox.hand(Check())

    def status(self) -> Mapping[str, object]:
        """Seconds between two checks."""
        return {"every": self._every}


def ask(inbox: Inbox, since: float | None, patience: float) -> str:
    """Have a reconciliation made in line with the events; what came of it. Raises TransientError."""
    wanted = Wanted(since)
    inbox.hand(wanted)
    if not wanted.done.wait(patience):
        raise TransientError(f"no answer within {patience:.0f} s: it will be made when the events allow")
    return wanted.result


def _tail(path: Path) -> bytes:
    """The end of the file, from the beginning of a line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _CDR_TAIL))
        data = file.read(_CDR_TAIL)
    return data if size <= _CDR_TAIL else data.partition(b"\n")[2]


def _by_channel(rows: Iterable[Row]) -> dict[str, Row]:
    """Each channel's row: the answered one, else the longest; it ended with its last."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.get(row.uniqueid)
        if known is None:
            found[row.uniqueid] = row
            continue
        better = max(known, row, key=lambda each: (each.answered is not None, each.duration))
        found[row.uniqueid] = replace(better, ended=max(known.ended, row.ended))
    return found
