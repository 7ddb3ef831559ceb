"""Disposition, duration and billsec agree with Asterisk's own CDR of the same recording.

By the rule of the contract: the same word, but CANCEL is the CDR's NO ANSWER; compared with the answered
row of the first channel's uniqueid, else its longest; within 1 s. Calls that span several uniqueids are
compared leg by leg, here by the row of their first leg alone.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.calls.model import Answered, Ended
from tests.unit.calls import expectations as ex
from tests.unit.calls.test_tracker_stories import name

# One word why the whole call's length is not that of its first row: it went on without its first leg,
# or under another row; or the call is a click to call, whose answer is the callee's.
LENGTH_DIFFERS = {
    "attended-transfer": "goes on",
    "attended-transfer-ringing": "goes on",
    "attended-transfer-feature-code": "goes on",
    "attended-transfer-ami": "goes on",
    "attended-transfer-by-callee": "second row",
    "blind-transfer": "goes on",
    "blind-transfer-by-callee": "second row",
    "blind-transfer-feature-code": "goes on",
    "blind-transfer-unanswered": "goes on",
    "hold-then-transfer": "goes on",
    "ami-redirect-called": "goes on",
    "ami-bridge": "second row",
    "park-and-fetch": "goes on",
    "park-timeout": "goes on",
    "pickup": "second row",
    "pickup-directed": "second row",
    "pickup-from-queue": "second row",
    "follow-me": "second row",
    "dial-option-g": "second row",
    "queue-timeout": "last row is 0 s",
    "queue-rings-twice": "second row",
    "local-forward-chain": "Local channels that optimise themselves away",
    "confbridge": "a row for each pair",
    "confbridge-alone": "the CDR says 0 s",
    "click-to-call": "callee",
    "click-to-call-no-callerid": "callee",
    "click-to-call-through-local": "callee",
    "click-to-call-callee-silent": "callee",
    "click-to-call-callee-busy": "callee",
    "ami-originate": "callee",
}
# A second row says ANSWERED for the agent alone.
WORD_DIFFERS = {"click-to-call-callee-silent", "click-to-call-callee-busy"}


def rows(path: Path) -> list[dict[str, str]]:
    names = (
        "accountcode src dst dcontext clid channel dstchannel lastapp lastdata start answer end "
        "duration billsec disposition amaflags uniqueid userfield"
    ).split()
    with path.open(encoding="utf-8", newline="") as file:
        return [dict(zip(names, row, strict=True)) for row in csv.reader(file)]


PATHS = [p for p in ex.recordings(ex.LINKEDID) if p.with_name(ex.story(p) + ".cdr.csv").exists()]


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_agrees_with_the_cdr(path: Path) -> None:
    story = ex.story(path)
    _, facts = ex.play(ex.read(path))
    by_uniqueid: dict[str, list[dict[str, str]]] = {}
    for row in rows(path.with_name(story + ".cdr.csv")):
        by_uniqueid.setdefault(row["uniqueid"], []).append(row)
    compared = 0
    for fact in facts:
        if not isinstance(fact, Ended) or fact.recovered:
            continue  # of calls that Asterisk's death ended there is no CDR
        found = by_uniqueid[fact.call]
        answered = [row for row in found if row["disposition"] == "ANSWERED"]
        row = max(answered or found, key=lambda row: int(row["duration"]))
        compared += 1
        if story not in WORD_DIFFERS:
            assert fact.disposition.replace("CANCEL", "NO ANSWER") == row["disposition"]
        if story not in LENGTH_DIFFERS:
            assert abs(fact.duration - int(row["duration"])) <= 1
            assert abs(fact.billsec - int(row["billsec"])) <= 1
    assert compared == sum(isinstance(fact, Ended) and not fact.recovered for fact in facts)
    assert compared or story == "register-expire"


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_the_first_answer_is_the_cdrs(path: Path) -> None:
    """The earliest answer among the rows of the first channel is our answertime."""
    story = ex.story(path)
    _, facts = ex.play(ex.read(path))
    table = rows(path.with_name(story + ".cdr.csv"))
    for fact in facts:
        if isinstance(fact, Answered) and fact.agent_answertime is None and not fact.recovered:
            times = [row["answer"] for row in table if row["uniqueid"] == fact.call and row["answer"]]
            if not times:
                continue  # killed: no row was written
            first = datetime.strptime(min(times), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            assert abs(fact.answertime / 1000 - first.timestamp()) <= 1.1
