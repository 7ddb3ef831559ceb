"""Traces read, replayed, compared: with a tracker that records, then with the real one."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.ari.events import Event
from daemon.calls.messages import Context, render
from daemon.calls.model import Fact, Received
from daemon.calls.replay import TraceLine, UnusableFile, read_messages, read_trace, replay, run_replay
from daemon.calls.tracker import Tracker
from daemon.directory.model import Client, Directory, EndpointEntry

TRACES = Path(__file__).parents[2] / "data" / "traces"
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
EVENT = {"type": "ChannelCreated", "timestamp": "2026-11-20T16:05:45.034+0000"}


def written(tmp_path: Path, *lines: object, zipped: bool = False, name: str = "trace.jsonl") -> Path:
    """A file of these lines: JSON of what is no bytes."""
    raw = b"".join((x if isinstance(x, bytes) else json.dumps(x).encode()) + b"\n" for x in lines)
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    return path


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


# -- the command -------------------------------------------------------------
def run(trace: Path, format_="v3", compare_with=None, **options):
    out, err = io.StringIO(), io.StringIO()
    options.setdefault("timezone", SAO_PAULO)
    status = run_replay(trace, format_, compare_with, out, err, **options)
    return status, out.getvalue().splitlines(), err.getvalue().splitlines()


ANSWERED = TRACES / "22" / "answered.jsonl"
# By hand from the trace: 1013010 dials 1013015, which answers after 2 s; 1013010 hangs up 5 s later.
BASE = {
    "call": "1795190745.0",
    "origin": "1013010",
    "destiny": "1013015",
    "creationtime": "2026-11-20T13:05:45.034-03:00",
    "client": "101",
    "origin_guid": "01900000-0000-7000-8000-000000000010",
    "destiny_guid": None,
}
EXPECTED = [
    ("received-call", {**BASE, "status": 1}),
    (
        "answered-call",
        {
            **BASE,
            "status": 2,
            "answertime": "2026-11-20T13:05:47.042-03:00",
            "answered_by": "1013015",
            "application": None,
        },
    ),
    (
        "ended-call",
        {
            **BASE,
            "status": 3,
            "endtime": "2026-11-20T13:05:52.052-03:00",
            "duration": 7,
            "billsec": 5,
            "disposition": "ANSWERED",
            "cause": 16,
            "cause_text": "Normal Clearing",
            "hangup_by": "1013010",
            "answertime": "2026-11-20T13:05:47.042-03:00",
            "answered_by": "1013015",
            "recordings": ["internal-1013010-1013015-20261120-160545-1795190745.0.wav"],
        },
    ),
]
DIRECTORY = Directory(
    clients={"101": Client("101")},
    endpoints={"1013010": EndpointEntry("1013010", "101", guid="01900000-0000-7000-8000-000000000010")},
)


def test_a_real_trace_whole():
    status, out, err = run(ANSWERED, server="voip3", directory=DIRECTORY)
    messages = [json.loads(text) for text in out]
    assert (status, err) == (0, [])
    assert [(m["operation"]["type"], m["data"]) for m in messages] == EXPECTED
    assert [m["operation"]["server"] for m in messages] == ["voip3"] * 3
    # The trace's own time: received at .035583, answered at 47.043926, both a moment after Asterisk's.
    assert messages[0]["operation"]["timestamp"] == "2026-11-20T13:05:45.036-03:00"
    assert messages[1]["operation"]["timestamp"] == "2026-11-20T13:05:47.044-03:00"


def test_a_real_trace_in_the_old_form():
    status, out, _ = run(ANSWERED, "v2.7")
    assert status == 0
    assert [json.loads(text)["payload"] for text in out] == [
        {
            "origin": "1013010",
            "destiny": "1013015",
            "status": status,
            "creationtime": "2026-11-20T13:05:45.034-03:00",
        }
        for status in (1, 2, 3)
    ]


def test_a_replay_says_the_same_each_time():
    assert run(ANSWERED) == run(ANSWERED)


def test_calls_that_run_when_the_trace_ends_are_not_ended(tmp_path):
    lines = ANSWERED.read_bytes().splitlines()
    cut = written(tmp_path, *lines[:60], {"t": 1795190760.0, "mark": "closed"})
    _, out, _ = run(cut)
    assert [json.loads(text)["operation"]["type"] for text in out] == ["received-call", "answered-call"]


def test_bare_events_give_the_same_facts(tmp_path):
    bare = written(tmp_path, *[json.loads(text)["event"] for text in ANSWERED.read_bytes().splitlines()])
    _, out, err = run(bare, server="voip3", directory=DIRECTORY)
    assert err == []
    assert [(m["operation"]["type"], m["data"]) for m in map(json.loads, out)] == EXPECTED


def test_compared_with_itself_it_is_the_same(tmp_path):
    _, golden, _ = run(ANSWERED, server="voip3", directory=DIRECTORY)
    path = written(tmp_path, *[text.encode() for text in golden])
    # The name of the golden messages' server is taken, so that even ids are compared.
    assert run(ANSWERED, compare_with=path) == (0, ["1 calls on both sides, 0 differences"], [])
    assert run(ANSWERED, "v2.7", compare_with=path)[0] == 0
    assert run(ANSWERED, compare_with=path, directory=DIRECTORY)[0] == 0
    assert run(ANSWERED, compare_with=path, directory=Directory())[0] == 1


def test_compared_with_the_old_form(tmp_path):
    _, golden, _ = run(ANSWERED, "v2.7", timezone=UTC)
    path = written(tmp_path, *[text.encode() for text in golden])
    assert run(ANSWERED, compare_with=path)[0] == 0


def test_differences_are_printed(tmp_path):
    _, golden, _ = run(ANSWERED, server="voip3")
    wrong = json.loads(golden[2])
    wrong["data"]["disposition"] = "NO ANSWER"
    path = written(tmp_path, golden[0].encode(), wrong)
    status, out, err = run(ANSWERED, compare_with=path)
    call = "call 1795190745.0 (1013010 -> 1013015, 2026-11-20T16:05:45.034+00:00)"
    assert (status, err) == (1, [])
    assert out == [
        f"{call}: ended-call: disposition: ours 'ANSWERED', theirs 'NO ANSWER'",
        f"{call}: extra answered-call: ours 1, theirs 0",
        "1 calls on both sides, 2 differences",
    ]


def test_lines_that_could_not_be_compared_are_no_sameness(tmp_path):
    _, golden, _ = run(ANSWERED, server="voip3")
    path = written(tmp_path, *[text.encode() for text in golden], b"no JSON")
    status, out, err = run(ANSWERED, compare_with=path)
    assert status == 1
    assert out == ["1 calls on both sides, 0 differences"]
    assert err[-1] == "not the same: 1 lines of the other system's could not be read"


def test_files_that_can_not_be_used(tmp_path):
    none = tmp_path / "none.jsonl"
    assert run(none) == (2, [], [f"{none}: No such file or directory"])
    assert run(ANSWERED, compare_with=none) == (2, [], [f"{none}: No such file or directory"])
    assert run(ANSWERED, compare_with=tmp_path)[0] == 2
    empty = written(tmp_path, name="empty")
    assert run(empty) == (2, [], [f"{empty}: no line of it is one of a trace"])
    bad = written(tmp_path, b"no JSON", name="bad")
    assert run(bad)[0] == 2
    status, out, err = run(ANSWERED, compare_with=bad)
    assert (status, out, err[-1]) == (2, [], f"{bad}: no line of it is a call message")


def test_nothing_of_the_other_system_is_all_different(tmp_path):
    status, out, _ = run(ANSWERED, compare_with=written(tmp_path, name="empty"))
    assert status == 1
    assert out[-1] == "0 calls on both sides, 1 differences"


@pytest.mark.parametrize("version", ["22", "16"])
def test_thirty_zipped_calls(version):
    status, out, err = run(TRACES / version / "thirty-calls.jsonl.gz")
    messages = [json.loads(text) for text in out]
    assert (status, err) == (0, [])
    assert len({m["data"]["call"] for m in messages}) == 30
    assert len({m["operation"]["id"] for m in messages}) == len(messages) == 90


def test_another_tracker_can_be_given():
    names: list[str] = []

    def make(server: str) -> Tracker:
        names.append(server)
        return Tracker(server)

    assert run(ANSWERED, tracker_factory=make)[0] == 0
    assert names == ["replay"]
