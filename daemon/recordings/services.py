"""What goes on by itself: the index is kept fresh, and what has expired is deleted. Service."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Final

from daemon.errors import PermanentError, TransientError
from daemon.recordings.desk import Recordings
from daemon.recordings.sharing import Sharer
from daemon.runtime import process
from daemon.runtime.backoff import Backoff

log = logging.getLogger("arimonitor.recordings")

SWEEP_EVERY: Final = 300.0
PRUNE_EVERY: Final = 900.0
_SWEEP_DEADLINE: Final = 3600.0


class IndexService:
    """Sweeps the roots every SWEEP_EVERY seconds, in a child process: it is no work for the hub.

    A search does not depend on it: what has changed since is read by the search.
    """

    name = "recordings-index"

    def __init__(self, index: Path, roots: Sequence[Path], *, every: float = SWEEP_EVERY) -> None:
        self._index = index
        self._roots = tuple(str(root) for root in roots)
        self._every = every
        self._swept: Mapping[str, object] = {}
        self._at = 0.0
        self.problem = ""

    def run(self, stop: Event) -> None:
        """Sweep, wait, sweep."""
        pause = Backoff(first=10.0, cap=self._every)
        while not stop.is_set():
            wait = self._every
            if self._roots:
                try:
                    self.sweep()
                    pause.reset()
                except (TransientError, PermanentError) as error:
                    wait = pause.next()
                    if str(error) != self.problem:
                        log.warning("the index of recordings is not fresh: %s", error)
                    self.problem = str(error)
            stop.wait(wait)

    def sweep(self) -> Mapping[str, object]:
        """One sweep. Raises TransientError."""
        done = process.run(
            (sys.executable, "-m", "daemon.recordings.sweeper", str(self._index), *self._roots),
            timeout=_SWEEP_DEADLINE,
            log_stdout=False,
        )
        if not done.ok:
            raise TransientError(done.why())
        first = not self._swept
        self._swept = json.loads(done.stdout.splitlines()[-1])
        self._at, self.problem = time.time(), ""
        if first or self._swept["came"] or self._swept["went"]:
            log.info(
                "the index of recordings has %s files in %s folders: %s came, %s went, in %.2f s",
                *(self._swept[name] for name in ("files", "folders", "came", "went", "seconds")),
            )
        return self._swept

    def status(self) -> Mapping[str, object]:
        """What the last sweep found."""
        age = round(time.time() - self._at, 1) if self._at else None
        return {"files": self._swept.get("files", 0), "age_s": age, "problem": self.problem}


class PruneService:
    """Deletes publications that have expired."""

    name = "recordings-prune"

    def __init__(self, recordings: Recordings, *, every: float = PRUNE_EVERY) -> None:
        self._recordings = recordings
        self._every = every
        self._pruned = 0
        self._failed = 0

    def run(self, stop: Event) -> None:
        """Prune, wait, prune."""
        while not stop.is_set():
            try:
                self._pruned += self._recordings.prune()
            except (TransientError, PermanentError, OSError) as error:
                self._failed += 1
                log.warning("expired publications could not be deleted, tried again later: %s", error)
            stop.wait(self._every)

    def status(self) -> Mapping[str, object]:
        """Numbers."""
        return {"pruned": self._pruned, "failed": self._failed}


def services(recordings: Recordings) -> tuple[IndexService, PruneService, Sharer]:
    """All, for the root to add; each belongs on every node, whatever its role."""
    roots = recordings.settings.recordings.roots
    return IndexService(recordings.index, roots), PruneService(recordings), recordings.sharer
