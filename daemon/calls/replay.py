"""`arimonitor replay`: a captured trace through the call tracker, to messages.

A trace is JSON Lines, plain or gzip (told by its first bytes, not its name)::

    {"t": 1795190745.035, "event": {"type": "ChannelCreated", ...}}   t: received, seconds since the epoch
    {"t": 1795190894.175, "mark": "closed"}                           something about the socket
    {"type": "ChannelCreated", "timestamp": "...", ...}               a bare event: received when it happened

The trace's own time is the clock, so that a replay says the same each time.
Marks are read and pass no judgement: a socket that closed is no call's end,
and a call that still runs when the trace ends is not ended.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any, Protocol, TextIO

import msgspec

from daemon.ari.events import Event, MalformedEvent, millis, parse
from daemon.calls.compare import Comparison, NotAMessage, Said, compare, understand
from daemon.calls.messages import Context, MessageFormat, render
from daemon.calls.model import Fact
from daemon.calls.tracker import Tracker
from daemon.directory.model import Directory
from daemon.errors import PermanentError
from daemon.outbox.message import Message

Report = Callable[[str], None]
"""Takes one sentence about a file that is not as it should be."""


class UnusableFile(PermanentError):
    """A file can't be opened."""


DEFAULT_SERVER = "replay"
"""The Asterisk's name in a replay, unless the messages compared with name theirs."""

SETTLED = 3600.0
"""Seconds after the last line up to which what falls due still comes out."""

_LONGEST_LINE = 16 * 1024 * 1024
# 9999-12-31, so that no line moves the clock to where no date can be written.
_LAST_SECOND = 253_402_214_400.0


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One line: at `t` (seconds since the epoch) came an event, or there is a mark."""

    number: int
    t: float
    event: Event | None = None
    mark: str | None = None


class EventTracker(Protocol):
    """What a replay needs of the call tracker."""

    def apply(self, event: Event, now: float) -> list[Fact]:
        """What an event tells."""
        ...

    def tick(self, now: float) -> list[Fact]:
        """What has fallen due."""
        ...

    def lost(self, now: float) -> None:
        """The capture's own connection was lost: from here on events are missing."""
        ...

    def next_due(self) -> float | None:
        """When `tick` has something to do next, None if never."""
        ...


class _Line(msgspec.Struct):
    t: float | None = None
    event: msgspec.Raw = msgspec.Raw()
    mark: str | None = None
    type: str = ""


_decode_line = msgspec.json.Decoder(_Line).decode


def read_trace(path: Path, report: Report) -> Iterator[TraceLine]:
    """The lines of a trace, read as they are asked for.

    A line that can't be used is reported with its number and left out; of a
    file that breaks off (a truncated gzip) what could be read is used. Raises
    UnusableFile where it can't be opened.
    """
    bad = _BadLines(path, report)
    for number, line in _lines(path, bad):
        try:
            yield _trace_line(number, line)
        except ValueError as error:
            bad.leave_out(number, str(error))
    bad.sum_up()


def _trace_line(number: int, line: bytes) -> TraceLine:
    """Raises ValueError, which says what is wrong and holds nothing of the line."""
    try:
        head = _decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no line of a trace: {error}") from error
    wrapped = bytes(head.event) not in (b"", b"null")
    if not wrapped and head.mark is not None and head.t is not None:
        return TraceLine(number, _bounded(head.t), mark=head.mark)
    if not wrapped and not head.type:
        raise ValueError("neither an event nor a mark with a time")
    try:
        event = parse(bytes(head.event) if wrapped else line)
    except MalformedEvent as error:
        raise ValueError(f"no ARI event: {error}") from error
    if wrapped and head.t is not None:
        return TraceLine(number, _bounded(head.t), event)
    try:
        return TraceLine(number, _bounded(millis(event.timestamp) / 1000), event)
    except (ValueError, OverflowError) as error:
        raise ValueError("no time: the event has no usable timestamp, the line no t") from error


def _bounded(t: float) -> float:
    if not 0 <= t <= _LAST_SECOND:
        raise ValueError("t is no time in seconds since the epoch")
    return t


def read_messages(path: Path, report: Report, zone: tzinfo) -> tuple[list[Said], int]:
    """Another system's messages (JSON Lines, plain or gzip), and how many lines could not be used.

    Those are reported with their number. `zone` is that of times which name
    none. Raises UnusableFile where it can't be opened.
    """
    said: list[Said] = []
    bad = _BadLines(path, report)
    for number, line in _lines(path, bad):
        try:
            said.append(understand(msgspec.json.decode(line), zone))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, NotAMessage) as error:
            bad.leave_out(number, f"no call message: {error}")
    bad.sum_up()
    return said, bad.count


class _BadLines:
    """Names the first SPELLED_OUT bad lines of a file, and says how many more there were."""

    SPELLED_OUT = 20

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report
        self.count = 0

    def leave_out(self, number: int, why: str) -> None:
        self.count += 1
        if self.count <= self.SPELLED_OUT:
            self._report(f"{self._path}: line {number} is left out: {why}")

    def broken_off(self, number: int, why: str) -> None:
        """Behind line `number` nothing could be read."""
        self.count += 1
        self._report(f"{self._path}: can be read as far as line {number}, which is used: {why}")

    def sum_up(self) -> None:
        if self.count > self.SPELLED_OUT:
            self._report(f"{self._path}: {self.count} lines in all are left out")


def _lines(path: Path, bad: _BadLines) -> Iterator[tuple[int, bytes]]:
    """Lines that hold something, with their number from 1. Raises UnusableFile."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnusableFile(f"{path}: {error.strerror}") from error
    with file:
        zipped = file.peek(2)[:2] == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=file) if zipped else file
        number = 0
        while True:
            number += 1
            try:
                line = stream.readline(_LONGEST_LINE)
                whole = line.endswith(b"\n")
                long = not whole and len(line) == _LONGEST_LINE
                while not whole and len(line) == _LONGEST_LINE:
                    line = stream.readline(_LONGEST_LINE)
                    whole = line.endswith(b"\n")
            except (EOFError, zlib.error, OSError) as error:
                bad.broken_off(number - 1, str(error))
                return
            if long:
                bad.leave_out(number, f"over {_LONGEST_LINE} bytes long")
            elif not line:
                return
            else:
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if line.strip():
                    yield number, line


def replay(
    lines: Iterable[TraceLine],
    tracker: EventTracker,
    to_message: Callable[[Fact, float], Message | None],
) -> Iterator[dict[str, Any]]:
    """The messages of a trace, decoded, as they come.

    The clock is the trace's and never goes back: a line with an older `t`
    comes at the time of the one before. A "closed" mark is a gap. What falls due between two lines comes
    out when it is due, and after the last line all that falls due within
    SETTLED seconds. `to_message` gets a fact and the time at which it came out.
    """
    now: float | None = None
    for line in lines:
        if now is not None:
            yield from _fallen_due(tracker, now, line.t, to_message)
        now = line.t if now is None else max(now, line.t)
        yield from _messages(tracker.tick(now), now, to_message)
        if line.event is not None:
            yield from _messages(tracker.apply(line.event, now), now, to_message)
        elif line.mark == "closed":
            tracker.lost(now)
    if now is not None:
        yield from _fallen_due(tracker, now, now + SETTLED, to_message)


def _fallen_due(
    tracker: EventTracker,
    after: float,
    before: float,
    to_message: Callable[[Fact, float], Message | None],
) -> Iterator[dict[str, Any]]:
    """What comes out between two moments; each due time is asked for once, so that this ends."""
    due = tracker.next_due()
    while due is not None and after < due < before:
        yield from _messages(tracker.tick(due), due, to_message)
        after, due = due, tracker.next_due()


def _messages(
    facts: list[Fact], now: float, to_message: Callable[[Fact, float], Message | None]
) -> Iterator[dict[str, Any]]:
    for fact in facts:
        message = to_message(fact, now)
        if message is not None:
            document: dict[str, Any] = msgspec.json.decode(message.body)
            yield document


def run_replay(
    trace: Path,
    format: MessageFormat,
    compare_with: Path | None,
    out: TextIO,
    err: TextIO,
    *,
    timezone: tzinfo,
    server: str = DEFAULT_SERVER,
    directory: Directory | None = None,
    tracker_factory: Callable[[str], EventTracker] = Tracker,
) -> int:
    """The command: prints one message a line, or with `compare_with` what differs from its messages.

    Returns the exit status: 0 done, and the same where compared; 1 different,
    or some of the other system's lines could not be read; 2 a file that can't
    be used at all. What is wrong with a file goes to `err`. Without a
    `directory` there are no clients and GUIDs, and they are not compared. With
    the default `server`, the other system's name for it is taken, if it has
    one, so that ids can be compared.
    """

    def report(sentence: str) -> None:
        print(sentence, file=err)

    theirs: list[Said] = []
    unusable = 0
    try:
        if compare_with is not None:
            theirs, unusable = read_messages(compare_with, report, timezone)
            if unusable and not theirs:
                report(f"{compare_with}: no line of it is a call message")
                return 2
            named = {said.server for said in theirs if said.server is not None}
            if server == DEFAULT_SERVER and len(named) == 1:
                server = named.pop()
        lines = _Counted(read_trace(trace, report))
        messages = replay(lines, tracker_factory(server), _renderer(server, format, timezone, directory))
        if compare_with is None:
            for document in messages:
                out.write(msgspec.json.encode(document).decode() + "\n")
        else:
            ours = [understand(document) for document in messages]
    except UnusableFile as error:
        report(str(error))
        return 2
    if not lines.count:
        report(f"{trace}: no line of it is one of a trace")
        return 2
    if compare_with is None:
        return 0
    return _say(compare(ours, theirs, ignore=_unknown_without(directory), zone=timezone), unusable, out, err)


class _Counted:
    """An iterable that knows how many it gave."""

    def __init__(self, lines: Iterator[TraceLine]) -> None:
        self._lines = lines
        self.count = 0

    def __iter__(self) -> Iterator[TraceLine]:
        for line in self._lines:
            self.count += 1
            yield line


def _renderer(
    server: str, format: MessageFormat, timezone: tzinfo, directory: Directory | None
) -> Callable[[Fact, float], Message | None]:
    tables = Directory() if directory is None else directory

    def to_message(fact: Fact, now: float) -> Message | None:
        context = Context(
            server=server,
            node=DEFAULT_SERVER,
            directory=tables,
            timezone=timezone,
            message_format=format,
            now_ms=round(now * 1000),
        )
        return render(fact, context)

    return to_message


def _unknown_without(directory: Directory | None) -> frozenset[str]:
    return frozenset({"client", "origin_guid", "destiny_guid"} if directory is None else ())


def _say(comparison: Comparison, unusable: int, out: TextIO, err: TextIO) -> int:
    for line in comparison.lines():
        print(line, file=out)
    if unusable:
        print(f"not the same: {unusable} lines of the other system's could not be read", file=err)
        return 1
    return comparison.exit_code
