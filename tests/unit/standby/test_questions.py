"""What a standby asks about, as bytes and back; which messages are worth handing over."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from daemon.calls.ids import fact_id
from daemon.outbox.message import Message
from daemon.outbox.rows import key_of
from daemon.standby.questions import (
    MAX_BYTES,
    MAX_IDS,
    Answer,
    Question,
    Unusable,
    batch,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
    found_late,
    namesakes,
    seen_as_it_happened,
)
from tests.unit.outbox.make import message


def told(kind: str = "dtmf", **operation: Any) -> Message:
    body = json.dumps({"operation": {"type": kind, **operation}, "data": {"digit": "5", "who": "condomínio"}})
    return replace(message("x", kind=kind), body=body.encode())


def test_bytes_and_back() -> None:
    question = Question(
        "t", 7, (b"\x00" * 16, b"own id"), (told(recovered=False), message("b", broker="main"))
    )
    assert decode_question(encode_question(question)) == question
    answer = Answer("t", "pwuu")
    assert decode_answer(encode_answer(answer)) == answer


def test_a_question_fits_where_it_is_written() -> None:
    ids = tuple(key_of(message(str(number)).id) for number in range(MAX_IDS))
    assert len(encode_question(Question("t", 7, ids))) < 40_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        zlib.compress(b"{}"),
        zlib.compress(b"[]"),
        zlib.compress(b'{"version": 2}'),
        zlib.compress(b'{"version": 1, "token": "t", "epoch": 7, "ids": ["zz"], "messages": []}'),
        zlib.compress(b'{"version": 1, "token": "t", "epoch": 7, "ids": [], "messages": [[1, 2]]}'),
        zlib.compress(b" " * 20_000_000),
        encode_question(Question("t", 7, (b"x",)))[:-6],
    ],
)
def test_what_is_no_question(data: bytes) -> None:
    with pytest.raises(Unusable):
        decode_question(data)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"version": 9}', b"\xff"])
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(Unusable):
        decode_answer(data)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (told(recovered=False), True),
        (told(), True),  # the v2.7 form has no such mark
        (told(recovered=True), False),
        (told("ended-call", recovered=True), False),
        (told("endpoint-status", recovered=False), False),
        (told("monitor-gap", recovered=False), False),
        (told("click-to-call-result"), True),
        (replace(message("x"), body=b"no json"), True),
        (replace(message("x"), body=b'{"operation": 7}'), True),
    ],
)
def test_seen_as_it_happened(what: Message, expected: bool) -> None:
    assert seen_as_it_happened(what) is expected


def test_what_is_found_late_says_so() -> None:
    late = found_late(told(recovered=False, seq=4))
    assert json.loads(late.body) == {
        "operation": {"type": "dtmf", "recovered": True, "seq": 4},
        "data": {"digit": "5", "who": "condomínio"},
    }
    assert replace(late, body=b"") == replace(told(), body=b"")
    for same in (told(), told(recovered=True), replace(message("x"), body=b"no json")):
        assert found_late(same) is same


@pytest.mark.parametrize(("created", "other"), [(1_761_562_800_000, 1_761_562_801_999), (5000, 4001)])
def test_a_call_that_began_a_second_earlier_or_later_has_a_namesake(created: int, other: int) -> None:
    def key(moment: int, call: str = "1761562800.7") -> bytes:
        return key_of(fact_id("voip3", call, "ended-call", moment))

    assert key(other) in namesakes(key(created))
    assert key(created) in namesakes(key(other))
    assert key(created) not in namesakes(key(created))
    assert key(other, "1761562800.8") not in namesakes(key(created))


def test_only_our_own_ids_have_namesakes() -> None:
    assert namesakes(b"order-4711") == ()
    assert namesakes(key_of(message("a random one").id)) == ()
    assert len(namesakes(key_of(fact_id("voip3", "1.1", "dtmf", 0)))) == 1


def test_a_batch_is_bounded_but_takes_one() -> None:
    large = replace(message("x"), body=b"x" * (MAX_BYTES + 1))
    small = replace(message("x"), body=b"x" * (MAX_BYTES // 4 - 300))
    assert batch([large, small]) == 1
    assert batch([small] * 10) == 4
    assert batch([small] * 3) == 3
    assert batch([]) == 0
