"""What outlives a process: the disk of one machine, the records of one that is alone."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from daemon.jobs.recordtable import Table

_names = itertools.count()


class MemoryTable(Table):
    """The SQLite file, in memory for as long as its host is there."""

    def __init__(self, name: str) -> None:
        super().__init__(Path(name))

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{self.path}?mode=memory&cache=shared",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )


@dataclass
class Host:
    """What outlives the process: the disk of one machine."""

    name: str
    folder: Path
    epoch: int = 0
    is_lost: bool = False
    """The machine itself is off, not only our process."""
    published: dict[str, str] = field(default_factory=dict)
    """What the web server of this machine gives, by name."""

    def __post_init__(self) -> None:
        self.database = f"{self.name}-{next(_names)}"
        self._keeper = sqlite3.connect(f"file:{self.database}?mode=memory&cache=shared", uri=True)

    @property
    def queue(self) -> Path:
        return self.folder / "queue"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def files(self) -> dict[str, list[str]]:
        """folder of the queue -> names of files."""
        found = {}
        for folder in sorted(self.queue.iterdir()):
            names = sorted(path.name for path in folder.iterdir())
            if names:
                found[folder.name] = names
        return found

    def pending(self) -> list[str]:
        """Names of files that wait."""
        folder = self.queue / "pending"
        return os.listdir(folder) if folder.exists() else []

    def left_work(self) -> list[str]:
        return sorted(path.name for path in self.work.iterdir()) if self.work.exists() else []

    def close(self) -> None:
        self._keeper.close()
        shutil.rmtree(self.folder, ignore_errors=True)
