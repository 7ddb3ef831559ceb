"""The command replay on real traces: what it prints, and what it is compared with."""

from __future__ import annotations

import io
import json
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.calls.replay import run_replay
from daemon.calls.tracker import Tracker
from daemon.directory.model import Client, Directory, EndpointEntry
from tests.unit.calls.expectations import TRACES
from tests.unit.calls.replay_parts import written

SAO_PAULO = ZoneInfo("America/Sao_Paulo")


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
