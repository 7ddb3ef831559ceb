"""A recorded call as a template: which parts of its text are new each time it is played. Pure.

    "channel":{"id":"1795223464.0","name":"PJSIP/1013010-00000000", ...
                    ^channel              ^phone  ^sequence

A recording is JSON Lines, `{"t": received, "event": {...}}`, as `arimonitor
replay` reads them. Only values are ever replaced, so what is played has
exactly the shape of what Asterisk sent.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, cast

from daemon.ari.events import millis
from daemon.errors import PermanentError

Kind = Literal[
    "application", "moment", "stamp", "day", "uuid", "key", "channel", "request", "sequence",
    "contact", "person", "phone", "outside",
]  # fmt: skip
Part = str | tuple[Kind, str]
"""Text that stays as it is, or what is replaced: its kind and the recorded value."""

_LONGEST: Final = 16 * 1024 * 1024
_SLOTS: Final = re.compile(
    "|".join(
        (
            r'(?<="application":")(?P<application>[^"]*)',
            r"(?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000)",
            r"(?P<stamp>\d{8}-\d{6})",
            r"(?P<day>\d{4}/\d\d/\d\d)",
            r"(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
            r"(?<![0-9a-f])(?P<key>[0-9a-f]{24})(?![0-9a-f])",
            r"(?P<channel>\d{10}\.\d+)",
            r"(?P<request>click-22-\d+)",
            r'(?<=-)(?P<sequence>[0-9a-f]{8})(?=[;"])',
            r"(?P<contact>10130\d\d@127\.0\.17\.\d+)",
            r"(?P<person>Phone 10130\d\d)",
            r"(?<!\d)[89]?(?P<phone>10130\d\d)(?!\d)",
            r"(?P<outside>1199999\d{4})(?!\d)",
        )
    )
)


@dataclass(frozen=True, slots=True)
class Line:
    """One event: `at` ms after the story's first, its type, its text in parts."""

    at: int
    type: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """A recorded call. `began` is the recorded time (ms since the epoch) of its first event.

    `phones`: the extensions in it, in the order in which they appear.
    `talk`: ms after which two people are connected, None where nobody is.
    """

    name: str
    began: int
    phones: tuple[str, ...]
    talk: int | None
    lines: tuple[Line, ...]


def read(name: str, data: bytes) -> Story:
    """A story of a recording (gzip). Raises PermanentError where it is none."""
    try:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        text = stream.decompress(data, _LONGEST).decode()
        if not stream.eof:
            raise ValueError("it is cut off, or too long")
        records = [json.loads(line) for line in text.splitlines() if line.strip()]
        events = [record["event"] for record in records if "event" in record]
        moments = [millis(event["timestamp"]) for event in events]
    except (zlib.error, ValueError, LookupError, TypeError) as error:
        raise PermanentError(f"the recorded call {name} can't be used: {error}") from error
    if not events:
        raise PermanentError(f"the recorded call {name} can't be used: it has no events")
    began, latest = moments[0], moments[0]
    lines, phones, talk = [], dict[str, None](), None
    for event, moment in zip(events, moments, strict=True):
        # Asterisk's threads write a millisecond out of order now and then: the order is what counts.
        latest = max(latest, moment)
        parts = _parts(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
        phones.update(dict.fromkeys(text for kind, text in _slots(parts) if kind == "phone"))
        if talk is None and event["type"] == "ChannelEnteredBridge":
            talk = latest - began
        lines.append(Line(latest - began, event["type"], parts))
    return Story(name, began, tuple(phones), talk, tuple(lines))


def stamp_millis(text: str) -> int:
    """`20261121-011104` of a recording's file name as milliseconds since the epoch."""
    return round(datetime.strptime(text, "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp() * 1000)


def _parts(text: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    at = 0
    for match in _SLOTS.finditer(text):
        kind = cast(Kind, match.lastgroup)
        begin, end = match.span(kind)
        parts += [text[at:begin], (kind, text[begin:end])]
        at = end
    return (*parts, text[at:])


def _slots(parts: tuple[Part, ...]) -> list[tuple[Kind, str]]:
    return [part for part in parts if isinstance(part, tuple)]
