"""Reads EXPECTED.txt and holds a tracker's facts against it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.ari.events import parse
from daemon.calls.model import Answered, Dtmf, Ended, Fact, Received
from daemon.calls.tracker import Tracker

TRACES = Path(__file__).parents[2] / "data" / "traces"
REFERENCE = ("22", "16")
LINKEDID = ("22-linkedid", "16-linkedid")

Line = tuple[float, dict[str, Any] | str]


@dataclass
class ExpectedCall:
    """One call of a story: `lines` are the words of each line below its head."""

    origin: str
    destiny: str
    lines: list[list[str]] = field(default_factory=list)


def expectations(text: str) -> dict[tuple[str, str], list[ExpectedCall]]:
    """(name, "reference" or "linkedid") -> the calls that are expected."""
    table: dict[tuple[str, str], list[ExpectedCall]] = {}
    calls: list[ExpectedCall] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.rstrip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            words = line.strip("[]").split()
            kinds = [word.strip("()") for word in words if word.startswith("(")] or ["reference", "linkedid"]
            calls = []
            for name in words:
                for kind in kinds:
                    if not name.startswith("("):
                        assert (name, kind) not in table, f"line {number}: {name} stands there twice"
                        table[name, kind] = calls
        elif line.startswith("  "):
            calls[-1].lines.append(line.split())
        else:
            origin, arrow, destiny = line.split()
            assert arrow == ">", f"line {number}: {line!r}"
            calls.append(ExpectedCall(origin, destiny))
    return table


def recordings(folders: Sequence[str], suffix: str = "") -> list[Path]:
    """The recorded events of every story in these folders (`suffix` ".second": of the other socket)."""
    found = []
    for folder in folders:
        for path in sorted((TRACES / folder).iterdir()):
            if path.suffixes[-1] in (".gz", ".jsonl") and (".second" in path.name) == bool(suffix):
                found.append(path)
    return found


def story(path: Path) -> str:
    """The name of the story that a file records."""
    return path.name.partition(".")[0]


def read(path: Path, *, channelvars: bool = True) -> list[Line]:
    """(receive time, event or mark) of each line; without `channelvars`, as a site that has none set."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    lines: list[Line] = []
    for record in map(json.loads, text.decode().splitlines()):
        event = record.get("event")
        for value in () if event is None or channelvars else event.values():
            if isinstance(value, dict):
                value.pop("channelvars", None)
        lines.append((record["t"], event if event is not None else record["mark"]))
    return lines


def play(lines: Iterable[Line], tracker: Tracker | None = None) -> tuple[Tracker, list[Fact]]:
    """Everything that a tracker says about these lines, and about the time after them."""
    tracker = tracker or Tracker("voip3")
    facts: list[Fact] = []
    now = 0.0
    for at, event in lines:
        now = max(now, at)
        facts += until(tracker, now)
        if isinstance(event, str):
            if event == "closed":
                tracker.lost(now)
        else:
            facts += tracker.apply(parse(json.dumps(event)), now)
    facts += until(tracker, now + 3600)
    return tracker, facts


def until(tracker: Tracker, now: float) -> list[Fact]:
    """Let every wait that is over at `now` end in its own time."""
    facts: list[Fact] = []
    while (due := tracker.next_due()) is not None and due <= now:
        facts += tracker.tick(due)
    return facts


def differences(expected: list[ExpectedCall], facts: list[Fact], longer: int = 1) -> Iterator[str]:
    """What the facts say otherwise than the table; one sentence each.

    `longer`: seconds that a call may have lasted beyond it, where phones play it on a machine that is busy.
    """
    by_call: dict[str, list[Fact]] = {}
    for fact in facts:
        by_call.setdefault(fact.call, []).append(fact)
    order = sorted(by_call, key=lambda call: by_call[call][0].created)
    if len(order) != len(expected):
        yield f"{len(order)} calls {order}, expected {len(expected)}"
        return
    for call, wanted in zip(order, expected, strict=True):
        for difference in _of_one(wanted, by_call[call], order, longer):
            yield f"{call}: {difference}"


def _of_one(wanted: ExpectedCall, facts: list[Fact], order: list[str], longer: int) -> Iterator[str]:
    kinds = [type(fact) for fact in facts]
    if kinds[0] is not Received or kinds.count(Received) != 1:
        yield f"begins with {kinds[0].__name__}"
    if kinds[-1] is not Ended or kinds.count(Ended) != 1:
        yield f"ends with {kinds[-1].__name__}, {kinds.count(Ended)} times ended"
        return
    if [fact.seq for fact in facts] != list(range(1, len(facts) + 1)):
        yield f"seq {[fact.seq for fact in facts]}"
    if {(fact.origin or "-", fact.destiny or "-") for fact in facts} != {(wanted.origin, wanted.destiny)}:
        yield f"{facts[-1].origin} > {facts[-1].destiny}"
    words = {line[0]: line[1:] for line in wanted.lines if line[0] != "dtmf"}
    answers = [fact for fact in facts if isinstance(fact, Answered)]
    if len(answers) != ("answered" in words):
        yield f"answered {len(answers)} times"
    elif answers:
        yield from _answer(words, answers[0])
    yield from _digits(wanted, [fact for fact in facts if isinstance(fact, Dtmf)])
    end = facts[-1]
    assert isinstance(end, Ended)
    yield from _end(words, end, order, longer)


def _answer(words: dict[str, list[str]], fact: Answered) -> Iterator[str]:
    at, how, who = words["answered"]
    if abs((fact.answertime - fact.created) / 1000 - float(at)) > 0.6:
        yield f"answered after {(fact.answertime - fact.created) / 1000} s, expected {at}"
    said = fact.answered_by if how == "by" else fact.application
    if said != who or (how == "app" and fact.answered_by is not None):
        yield f"answered by {fact.answered_by}, application {fact.application}; expected {how} {who}"
    agent = words.get("agent")
    if (agent is None) != (fact.agent_answertime is None):
        yield f"agent_answertime {fact.agent_answertime}"
    elif agent and abs(((fact.agent_answertime or 0) - fact.created) / 1000 - float(agent[0])) > 0.6:
        yield f"agent after {((fact.agent_answertime or 0) - fact.created) / 1000} s"


def _digits(wanted: ExpectedCall, facts: list[Dtmf]) -> Iterator[str]:
    lines = {line[1]: line[2] for line in wanted.lines if line[0] == "dtmf"}
    pressed: dict[str, str] = {}
    for fact in facts:
        pressed[fact.by or "-"] = pressed.get(fact.by or "-", "") + fact.digit
    if set(pressed) != set(lines):
        yield f"digits by {sorted(pressed)}, expected {sorted(lines)}"
    for who, digits in lines.items():
        if who in pressed and pressed[who] != digits and not (digits == "*" and len(pressed[who]) < 10):
            yield f"{who} pressed {pressed[who]}, expected {digits}"


def _end(words: dict[str, list[str]], fact: Ended, order: list[str], longer: int) -> Iterator[str]:
    disposition, lengths, *rest = words["ended"]
    recovered = "recovered" in rest
    if recovered:
        rest.remove("recovered")
    more = dict(zip(rest[::2], rest[1::2], strict=True))
    if fact.disposition.replace(" ", "-") not in disposition.split("|"):
        yield f"disposition {fact.disposition}, expected {disposition}"
    duration, billsec = map(int, lengths.split("/"))
    if not (-1 <= fact.duration - duration <= longer and -1 <= fact.billsec - billsec <= longer):
        yield f"{fact.duration} s, billed {fact.billsec} s, expected {lengths}"
    by = words["answered"][2] if "answered" in words and words["answered"][1] == "by" else None
    if fact.answered_by != more.get("by", by):
        yield f"ended: answered_by {fact.answered_by}"
    if (fact.hangup_by or "") not in more.get("hangup", "").split("|"):
        yield f"hung up by {fact.hangup_by}, expected {more.get('hangup')}"
    if str(fact.cause if fact.cause is not None else "") not in more.get("cause", "").split("|"):
        yield f"cause {fact.cause}, expected {more.get('cause')}"
    if "rec" in more and len(fact.recordings) != int(more["rec"]):
        yield f"recordings {fact.recordings}, expected {more['rec']}"
    into = order[int(more["into"]) - 1] if "into" in more else None
    if fact.merged_into != into:
        yield f"merged into {fact.merged_into}, expected {into}"
    if fact.recovered != recovered:
        yield f"recovered {fact.recovered}"
