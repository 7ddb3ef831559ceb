"""What a place with recordings answers: the one protocol of disk and S3. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from daemon.recordings.model import Found, LeftOut, Near, Recording
from daemon.recordings.names import stem


class Store(Protocol):
    """Where recordings are. Raises TransientError (try again) or PermanentError (somebody must mend it)."""

    source: str

    def find(self, extensions: Sequence[str], begin: datetime, end: datetime) -> Found:
        """Recordings in which one of `extensions` took part, from `begin` to `end` inclusive."""

    def near(
        self, extensions: Sequence[str], begin: datetime, end: datetime, colleagues: Sequence[str]
    ) -> Near:
        """What there is instead; counts are as good as the index."""

    def fetch(self, recordings: Sequence[Recording], folder: Path) -> list[Path | LeftOut]:
        """A readable file for each, in `folder` or where it lies; what can't be had is LeftOut."""


def one_of_each(recordings: Iterable[Recording]) -> tuple[Recording, ...]:
    """A WAV and its MP3, or two copies, are one recording: the MP3 that is not empty. Oldest first."""
    best: dict[str, Recording] = {}
    for recording in recordings:
        key = stem(recording.key)
        known = best.get(key)
        if known is None or _worth(recording) > _worth(known):
            best[key] = recording
    return tuple(sorted(best.values(), key=lambda each: (each.started, stem(each.key), each.key)))


def _worth(recording: Recording) -> tuple[bool, bool, int]:
    return recording.bytes > 0, recording.format == "mp3", -recording.root


def ranked(days: dict[date, int], extensions: dict[str, int], begin: date, end: date) -> Near:
    """The days nearest to a range, and the extensions with most recordings in it."""
    most = sorted(extensions.items(), key=lambda each: (-each[1], each[0]))
    return Near(_nearest(days, begin, end), tuple(most[:10]))


def _nearest(days: dict[date, int], begin: date, end: date, limit: int = 6) -> tuple[tuple[date, int], ...]:
    """That range itself left out."""
    outside = [(day, count) for day, count in days.items() if not begin <= day <= end]
    outside.sort(key=lambda each: (min(abs((each[0] - begin).days), abs((each[0] - end).days)), each[0]))
    return tuple(outside[:limit])
