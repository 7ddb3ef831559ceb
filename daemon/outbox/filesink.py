"""The file sink: JSON Lines in a folder, for sites and labs without a broker.

`messages-000001.jsonl`, then `-000002` and so on; the one with the highest number
is written to. One line per message:

    {"routing_key", "headers", "message_id", "type", "timestamp", "body": {...}}

A message counts as confirmed when its line is synced to the disk. A crash
between that and the outbox's note of it would write it twice: so the ids at the
end of the files are read when it opens, and what is there is only confirmed. A
last line that was cut off by a crash is cut away.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from daemon.outbox.entry import Entry
from daemon.outbox.sink import Outcome, SinkLost, Verdict

_NAME = re.compile(r"messages-(\d{6,})\.jsonl")
_REMEMBERED = 5000  # ids; more than any window of a publisher


class FileSink:
    """A `sink.Sink` on a folder. `max_bytes` per file, `keep` files; older ones are deleted."""

    blocked = ""
    # One fsync each.
    chunk = 500

    def __init__(
        self,
        folder: Path,
        offload: Callable[..., Any],
        *,
        max_bytes: int = 50_000_000,
        keep: int = 20,
        name: str = "file",
    ) -> None:
        self.name = name
        self.place = str(folder)
        self._folder = folder
        self._offload = offload
        self._max_bytes = max_bytes
        self._keep = keep
        self._number = 0
        self._recent: deque[str] = deque(maxlen=_REMEMBERED)
        self._known: set[str] = set()
        self._outcomes: list[Outcome] = []
        self._wake = Event()

    def open(self) -> None:
        """Find the current file, mend its end and learn the last ids. Raises SinkLost."""
        try:
            self._number, ids = self._offload(_survey, self._folder, _REMEMBERED)
        except OSError as error:
            raise SinkLost(f"the folder can't be used: {error.strerror or error}") from error
        self._outcomes.clear()
        self._recent.clear()
        self._recent.extend(ids)
        self._known = set(ids)

    def publish(self, entries: Sequence[Entry]) -> None:
        """Write and sync these; their outcomes are there at once. Raises SinkLost."""
        new = [entry for entry in entries if entry.message.id not in self._known]
        if new:
            data = b"".join(_line(entry) for entry in new)
            try:
                self._number = self._offload(
                    _append, self._folder, self._number, data, self._max_bytes, self._keep
                )
            except OSError as error:
                raise SinkLost(f"can't write: {error.strerror or error}") from error
        for entry in new:
            if len(self._recent) == self._recent.maxlen:
                self._known.discard(self._recent[0])
            self._recent.append(entry.message.id)
            self._known.add(entry.message.id)
        self._outcomes += [Outcome(entry.seq, Verdict.CONFIRMED) for entry in entries]

    def poll(self, timeout: float) -> list[Outcome]:
        """Outcomes since the last time; waits up to `timeout` seconds for `wake` where there are none."""
        if not self._outcomes and timeout > 0:
            self._wake.wait(timeout)
        self._wake.clear()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def wake(self) -> None:
        """Let a `poll` that waits return now."""
        self._wake.set()

    def close(self) -> None:
        """Nothing is open between two batches."""


def _line(entry: Entry) -> bytes:
    message = entry.message
    head = json.dumps(
        {
            "routing_key": message.routing_key,
            "headers": {**message.headers, "x-deduplication-header": message.id},
            "message_id": message.id,
            "type": message.type,
            "timestamp": message.timestamp,
        },
        ensure_ascii=False,
    )
    # The body is JSON already; a newline in it can only be white space.
    return (
        head[:-1].encode() + b', "body": ' + message.body.replace(b"\n", b" ").replace(b"\r", b" ") + b"}\n"
    )


# -- in the native thread: plain data only --------------------------------------------------


def _path(folder: Path, number: int) -> Path:
    return folder / f"messages-{number:06d}.jsonl"


def _numbers(folder: Path) -> list[int]:
    found = (_NAME.fullmatch(name) for name in os.listdir(folder))
    return sorted(int(match[1]) for match in found if match)


def _survey(folder: Path, count: int) -> tuple[int, list[str]]:
    """The current file's number, and the last `count` ids in the order they were written."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = _numbers(folder)
    if not numbers:
        return 1, []
    _cut_torn_line(_path(folder, numbers[-1]))
    newest_first: list[str] = []
    for number in reversed(numbers):
        for line in reversed(_last_lines(_path(folder, number), count - len(newest_first))):
            try:
                newest_first.append(str(json.loads(line)["message_id"]))
            except (ValueError, KeyError, TypeError):
                continue  # somebody else's line
        if len(newest_first) >= count:
            break
    return numbers[-1], newest_first[::-1]


def _cut_torn_line(path: Path) -> None:
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            block = file.read(position - start)
            newline = block.rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position != end:
            file.truncate(position)
            os.fsync(file.fileno())


def _last_lines(path: Path, count: int) -> list[bytes]:
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        data = b""
        while position > 0 and data.count(b"\n") <= count:
            start = max(0, position - 1_000_000)
            file.seek(start)
            data = file.read(position - start) + data
            position = start
    lines = data.splitlines()
    if position > 0:
        lines = lines[1:]
    return lines[-count:] if count > 0 else []


def _append(folder: Path, number: int, data: bytes, max_bytes: int, keep: int) -> int:
    """Append and sync; the number of the file that was written to."""
    path = _path(folder, number)
    size = path.stat().st_size if path.exists() else -1
    if size > 0 and size + len(data) > max_bytes:
        number += 1
        path = _path(folder, number)
        size = -1
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        before = os.fstat(fd).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        except OSError:
            # Half a batch must not stay: it would be written again after its own torn end.
            os.ftruncate(fd, before)
            raise
    finally:
        os.close(fd)
    if size < 0:
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        for old in _numbers(folder)[:-keep]:
            _path(folder, old).unlink(missing_ok=True)
    return number
