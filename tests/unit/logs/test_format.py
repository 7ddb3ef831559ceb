"""Lines of the log."""

import json
import logging
import sys
from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.logs import format as logs_format

BRT = timezone(timedelta(hours=-3))
TS = "2025-10-27T08:00:00.123-03:00"


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("arimonitor.ari", logging.INFO, "x.py", 1, message, args, None)
    made.__dict__.update(extra)
    return made


def test_timestamp_has_milliseconds_and_zone() -> None:
    assert logs_format.timestamp(1761562800.1234, BRT) == TS


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (("connected to voip3", "", ""), 'message="connected to voip3"'),
        (('a "b" \\ c\nd\te\x00', "", ""), r'message="a \"b\" \\ c\nd\te\x00"'),
        (("José \u2028 \udcff", "", ""), r'message="José \u2028 \udcff"'),
        (("died", "Traceback:\n  x", ""), r'message="died" exception="Traceback:\n  x"'),
        (("event", "", '{"type": "Dial",\n"a": "b"}'), 'message="event" data={"type": "Dial", "a": "b"}'),
    ],
)
def test_key_value(body: tuple[str, str, str], line: str) -> None:
    got = logs_format.logfmt(TS, "INFO", "arimonitor.ari", body)
    assert got == f"ts={TS} level=INFO logger=arimonitor.ari {line}"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (("a\nb", "", ""), {"message": "a\nb"}),
        (
            ("a", "trace\n", '{"type": "Dial"}'),
            {"message": "a", "exception": "trace\n", "data": {"type": "Dial"}},
        ),
        (("a", "", "no json"), {"message": "a", "data": "no json"}),
        (("\u2028\x85\udcff", "", ""), {"message": "\u2028\x85\udcff"}),
    ],
)
def test_json(body: tuple[str, str, str], fields: dict[str, object]) -> None:
    line = logs_format.json_line(TS, "INFO", "arimonitor.ari", body)
    assert json.loads(line) == {"ts": TS, "level": "INFO", "logger": "arimonitor.ari", **fields}


def test_a_wrong_log_call_is_shown_as_it_was_written() -> None:
    message, _, _ = logs_format.parts(record("%d of %d", 1))
    assert message == "%d of %d (the arguments (1,) do not fit: TypeError)"


def test_traceback_and_data_are_parts() -> None:
    made = record("failed %s", "now", data=b'{"a": 1}')
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    message, trace, data = logs_format.parts(made)
    assert message == "failed now"
    assert trace.startswith("Traceback (most recent call last):")
    assert trace.endswith("ValueError: why")
    assert data == '{"a": 1}'


@pytest.mark.parametrize(
    ("level", "priority"), [(50, 2), (40, 3), (35, 4), (30, 4), (20, 6), (15, 7), (10, 7), (0, 7)]
)
def test_journal_priority(level: int, priority: int) -> None:
    assert logs_format.journal_priority(level) == priority


def test_a_huge_message_is_cut_and_says_so() -> None:
    body = ("x" * 1_000_000, "", "")
    assert len(logs_format.logfmt(TS, "INFO", "a", body)) < 300_000
    assert json.loads(logs_format.json_line(TS, "INFO", "a", body))["cut"] > 1_000_000
    assert "characters cut" in logs_format.logfmt(TS, "INFO", "a", body)


texts = st.text(st.characters(exclude_categories=()))


@given(texts, texts, texts)
def test_any_record_is_one_line_of_utf8(message: str, trace: str, data: str) -> None:
    for form in (logs_format.logfmt, logs_format.json_line):
        line = form(TS, "INFO", "arimonitor.x", (message, trace, data))
        assert len(line.splitlines()) == 1
        assert line.encode().decode() == line
