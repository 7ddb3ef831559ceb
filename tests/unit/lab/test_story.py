"""Recordings as templates: what is replaced, and that nothing else is."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from daemon.errors import PermanentError
from daemon.lab.story import Story, read
from tests.unit.lab import cast

SLOTS = [
    ("1795223464.0", [("channel", "1795223464.0")]),
    ("PJSIP/1013010-0000001f", [("phone", "1013010"), ("sequence", "0000001f")]),
    ("Local/1013015@internal-00000002;1", [("phone", "1013015"), ("sequence", "00000002")]),
    ("Phone 1013010", [("person", "Phone 1013010")]),
    ("91013015", [("phone", "1013015")]),
    ("*81013015", [("phone", "1013015")]),
    ("771013015", []),
    ("10130155", []),
    ("2026-11-21T01:11:04.554+0000", [("moment", "2026-11-21T01:11:04.554+0000")]),
    (
        "2026/11/21/internal-1013010-700-20261121-011104-1795223464.0.wav",
        [
            ("day", "2026/11/21"),
            ("phone", "1013010"),
            ("stamp", "20261121-011104"),
            ("channel", "1795223464.0"),
        ],
    ),
    ("c4e301f9-2559-48f9-82b7-9dbc7ea32429", [("uuid", "c4e301f9-2559-48f9-82b7-9dbc7ea32429")]),
    ("d4fea849c7869c7705b939c3", [("key", "d4fea849c7869c7705b939c3")]),
    ("click-22-1", [("request", "click-22-1")]),
    ("+5511999990001", [("outside", "11999990001")]),
    ("sip:1013014@127.0.17.14:5060", [("contact", "1013014@127.0.17.14")]),
    ("5550000", []),
    ("internal", []),
]


def recording(*values: str) -> bytes:
    event = {"type": "X", "timestamp": "2026-11-21T01:11:04.554+0000", "values": values, "application": "a"}
    return gzip.compress(json.dumps({"t": 1.0, "event": event}).encode())


@pytest.mark.parametrize(("text", "slots"), SLOTS)
def test_what_is_replaced(text: str, slots: list[tuple[str, str]]) -> None:
    parts = read("x", recording(text)).lines[0].parts
    found = [part for part in parts if isinstance(part, tuple)]
    assert found == [("moment", "2026-11-21T01:11:04.554+0000"), *slots, ("application", "a")]


@pytest.mark.parametrize("story", cast.stories(), ids=lambda story: story.name)
def test_nothing_recorded_is_left(story: Story) -> None:
    """Literal text holds no time, id, phone or name of the recording any more."""
    for line in story.lines:
        left = "|".join(part for part in line.parts if isinstance(part, str))
        assert (
            re.findall(r"17952\d{5}|2026|10130\d\d|-0000[0-9a-f]{4}|11999990|127\.0\.17|first-", left) == []
        )


def test_times_never_go_back() -> None:
    for story in cast.stories():
        offsets = [line.at for line in story.lines]
        assert offsets == sorted(offsets)
        assert offsets[0] == 0


def test_the_talk_begins_where_two_are_connected() -> None:
    assert cast.story("busy").talk is None
    assert cast.story("answered").talk == pytest.approx(2008, abs=5)


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", gzip.compress(b"garbage"), gzip.compress(b"[]"), gzip.compress(b'{"t": 1}'),
     gzip.compress(b'{"event": 3}'), recording("x")[:-9], gzip.compress(b"\xff\xfe")],
)  # fmt: skip
def test_no_recording_is_said(data: bytes) -> None:
    with pytest.raises(PermanentError, match="the recorded call x can't be used"):
        read("x", data)
