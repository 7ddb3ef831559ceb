"""Traces read and replayed, with a tracker that records."""

from __future__ import annotations

import gzip
import json
from datetime import UTC
from pathlib import Path

import pytest

from daemon.ari.events import Event
from daemon.calls.messages import Context, render
from daemon.calls.model import Fact, Received
from daemon.calls.replay import TraceLine, UnusableFile, read_messages, read_trace, replay
from daemon.directory.model import Directory
from tests.unit.calls.expectations import TRACES
from tests.unit.calls.replay_parts import written

EVENT = {"type": "ChannelCreated", "timestamp": "2026-11-20T16:05:45.034+0000"}


def read(path: Path) -> tuple[list[TraceLine], list[str]]:
    reports: list[str] = []
    return list(read_trace(path, reports.append)), [r.removeprefix(f"{path}: ") for r in reports]


# -- reading -----------------------------------------------------------------
@pytest.mark.parametrize("zipped", [False, True])
def test_reads_events_marks_and_bare_events(tmp_path, zipped):
    path = written(
        tmp_path,
        {"t": 1795190745.035, "event": EVENT},
        b"",
        {"t": 1795190746, "mark": "closed", "detail": "lost"},
        {"event": EVENT},
        EVENT,
        {"t": 1795190747.5, "event": None, "mark": "open", "detail": None},
        zipped=zipped,
        name="told-by-content.txt",
    )
    lines, reports = read(path)
    assert [(line.number, line.t, line.event and line.event.type, line.mark) for line in lines] == [
        (1, 1795190745.035, "ChannelCreated", None),
        (3, 1795190746.0, None, "closed"),
        (4, 1795190745.034, "ChannelCreated", None),
        (5, 1795190745.034, "ChannelCreated", None),
        (6, 1795190747.5, None, "open"),
    ]
    assert reports == []


def test_windows_files_are_read(tmp_path):
    path = tmp_path / "trace"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(EVENT).encode() + b"\r\n" + json.dumps(EVENT).encode())
    assert (len(read(path)[0]), read(path)[1]) == (2, [])


BAD_LINES = [
    b"no JSON",
    b'{"t": 1795190745.0, "event": {"type": "Dial"',
    b"\xff\xfe\x00",
    b"[]",
    b"{}",
    b'{"t": 1795190745.0}',
    b'{"mark": "closed"}',
    b'{"t": "soon", "mark": "closed"}',
    b'{"t": -1, "mark": "closed"}',
    b'{"t": 1e18, "mark": "closed"}',
    b'{"t": 1795190745.0, "event": {"timestamp": "2026-11-20T16:05:45.034+0000"}}',
    b'{"t": 1795190745.0, "event": {"type": "Dial", "peer": 5}}',
    b'{"t": 1795190745.0, "event": ["Dial"]}',
    b'{"type": "Dial"}',
    b'{"type": "Dial", "timestamp": "yesterday"}',
    b'{"type": "Dial", "timestamp": "2026-11-20T16:05:45.034"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_named_and_left_out(tmp_path, line):
    lines, reports = read(written(tmp_path, EVENT, line, EVENT))
    assert [line.number for line in lines] == [1, 3]
    assert len(reports) == 1
    assert reports[0].startswith("line 2 is left out: ")


def test_a_flood_of_bad_lines_is_counted(tmp_path):
    lines, reports = read(written(tmp_path, *[b"bad"] * 50, EVENT))
    assert len(lines) == 1
    assert len(reports) == 21
    assert reports[-1] == "50 lines in all are left out"


def test_a_line_too_long_is_left_out(tmp_path):
    long = b'{"t": 1, "mark": "' + b"x" * (16 * 1024 * 1024) + b'"}'
    lines, reports = read(written(tmp_path, EVENT, long, EVENT, zipped=True))
    assert [line.number for line in lines] == [1, 3]
    assert reports == ["line 2 is left out: over 16777216 bytes long"]


def test_of_a_truncated_gzip_what_can_be_read_is_used(tmp_path):
    whole = (TRACES / "22" / "thirty-calls.jsonl.gz").read_bytes()
    path = tmp_path / "cut.gz"
    path.write_bytes(whole[: len(whole) // 2])
    lines, reports = read(path)
    assert len(lines) > 500
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert len(reports) == 1
    assert reports[0].startswith(f"can be read as far as line {len(lines)}, which is used: ")


def test_of_a_damaged_gzip_what_can_be_read_is_used(tmp_path):
    path = tmp_path / "damaged.gz"
    good = gzip.compress(json.dumps(EVENT).encode() + b"\n")
    path.write_bytes(good + good + b"garbage behind it")
    lines, reports = read(path)
    assert len(lines) == 2
    assert reports[0].startswith("can be read as far as line 2, which is used: ")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnusableFile, match="No such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(UnusableFile, match="Is a directory"):
        read(tmp_path)


def test_another_systems_messages_are_read(tmp_path):
    message = {"operation": {"type": "received-call"}, "payload": {"origin": "1121"}}
    path = written(tmp_path, message, b"no JSON", {"type": "Dial"}, message, zipped=True)
    reports: list[str] = []
    said, unusable = read_messages(path, reports.append, UTC)
    assert [s.origin for s in said] == ["1121", "1121"]
    assert unusable == 2
    assert [r.split(": ")[1] for r in reports] == ["line 2 is left out", "line 3 is left out"]


# -- replaying ---------------------------------------------------------------
class RecordingTracker:
    """Says what it was told, and a fact for each event and each of its due times."""

    def __init__(self, due: list[float]) -> None:
        self.due = due
        self.told: list[tuple[str, float]] = []

    def apply(self, event: Event, now: float) -> list[Fact]:
        self.told.append((event.type, now))
        return [self.fact(f"{event.type} at {now}")]

    def tick(self, now: float) -> list[Fact]:
        self.told.append(("tick", now))
        late = [due for due in self.due if due <= now]
        self.due = [due for due in self.due if due > now]
        return [self.fact(f"due at {due}") for due in late]

    def lost(self, now: float) -> None:
        self.told.append(("lost", now))

    def next_due(self) -> float | None:
        return min(self.due, default=None)

    @staticmethod
    def fact(name: str) -> Received:
        return Received(call=name, created=0, origin=None, destiny=None, seq=1, recovered=False)


def to_message(fact, now):
    return render(fact, Context("voip3", "AUDIO2", Directory(), UTC, "v3", round(now * 1000)))


def line(t: float, type_: str | None = "Dial") -> TraceLine:
    return TraceLine(1, t, Event(type_)) if type_ else TraceLine(1, t, mark="closed")


def replayed(tracker, *lines):
    documents = replay(lines, tracker, to_message)
    return [(d["data"]["call"], d["operation"]["timestamp"][17:23]) for d in documents]


def test_what_is_due_comes_out_when_it_is_due():
    tracker = RecordingTracker([2.5, 3.0, 11.0])
    assert replayed(tracker, line(1.0), line(3.0), line(10.0)) == [
        ("Dial at 1.0", "01.000"),
        ("due at 2.5", "02.500"),
        ("due at 3.0", "03.000"),
        ("Dial at 3.0", "03.000"),
        ("Dial at 10.0", "10.000"),
        ("due at 11.0", "11.000"),
    ]
    assert tracker.told == [
        ("tick", 1.0),
        ("Dial", 1.0),
        ("tick", 2.5),
        ("tick", 3.0),
        ("Dial", 3.0),
        ("tick", 10.0),
        ("Dial", 10.0),
        ("tick", 11.0),
    ]


def test_the_clock_never_goes_back():
    tracker = RecordingTracker([])
    replayed(tracker, line(5.0), line(4.0), line(6.0))
    assert [now for _, now in tracker.told] == [5.0, 5.0, 5.0, 5.0, 6.0, 6.0]


def test_a_closed_mark_is_a_gap_and_a_moment():
    tracker = RecordingTracker([2.0])
    assert replayed(tracker, line(1.0), line(3.0, None)) == [
        ("Dial at 1.0", "01.000"),
        ("due at 2.0", "02.000"),
    ]
    assert tracker.told[-2:] == [("tick", 3.0), ("lost", 3.0)]


def test_no_lines_no_messages():
    assert replayed(RecordingTracker([1.0])) == []


def test_a_tracker_with_always_something_due_ends():
    class Restless(RecordingTracker):
        def next_due(self):
            return 1.0

    assert replayed(Restless([]), line(1.0)) == [("Dial at 1.0", "01.000")]
