"""Recordings' names read for calls that neither an event nor the CDR told of. Pure.

A site's dialplan writes `KIND-ORIGIN-DESTINY-YYYYMMDD-HHMMSS-UNIQUEID.wav`.
The uniqueid is the call's channel and says when it began; the file's last
change is when it ended, and its length how long they talked (MixMonitor's
option b: it records only while the channel is in a bridge).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from daemon.calls.afterwards import facts_of
from daemon.calls.model import Fact

_NAME = re.compile(
    r"[A-Za-z]+-(?P<origin>[^-]+)-(?P<destiny>[^-]+)-\d{8}-\d{6}-"
    r"(?P<uniqueid>(?:.*-)?(?P<created>\d{9,11})\.\d+)\.(?P<format>\w+)"
)
_WAV_HEADER: Final = 44  # bytes
_WAV_BYTES: Final = 16  # a millisecond of format wav: 8 kHz, 16 bit, mono


@dataclass(frozen=True, slots=True)
class Recorded:
    """One file. Times in ms; `talked` is 0 in an empty file, None where its format does not tell."""

    name: str
    uniqueid: str
    origin: str
    destiny: str
    created: int
    modified: int
    talked: int | None


def parse(name: str, size: int, modified: int) -> Recorded | None:
    """What a file of `size` bytes, last changed at `modified` (ms), says; None: no such name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    talked: int | None = None
    if match["format"] == "wav" or size <= _WAV_HEADER:
        talked = max(0, size - _WAV_HEADER) // _WAV_BYTES
    created = int(match["created"]) * 1000
    return Recorded(
        name, match["uniqueid"], match["origin"], match["destiny"], created, max(created, modified), talked
    )


def unheard(files: Iterable[Recorded], known: Callable[[str], bool], since: int) -> dict[str, list[Fact]]:
    """The facts of calls that began at or after `since` (ms) and of which no channel is `known`, by call."""
    by_call: dict[str, list[Recorded]] = {}
    for file in files:
        if file.created >= since and not known(file.uniqueid):
            by_call.setdefault(file.uniqueid, []).append(file)
    return {call: _facts(found) for call, found in by_call.items()}


def _facts(files: list[Recorded]) -> list[Fact]:
    first = min(files, key=lambda file: file.name)
    end = max(file.modified for file in files)
    # Of a format without a length it is known that they talked, not how long.
    talked = sum(end - file.created if file.talked is None else file.talked for file in files)
    answer = max(first.created, end - talked) if talked else None
    return facts_of(
        (first.uniqueid, first.created, first.origin, first.destiny),
        answer=answer,
        answered_by=None,
        application=None,
        end=end,
        duration=(end - first.created) // 1000,
        billsec=0 if answer is None else (end - answer) // 1000,
        disposition="NO ANSWER" if answer is None else "ANSWERED",
        recordings=[file.name for file in files],
    )
