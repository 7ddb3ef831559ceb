"""Text for people."""

from __future__ import annotations

from datetime import UTC

import pytest

from daemon.console.render import age, count, duration, iso, masked, moment, plain, printable, shown, table


def test_a_table() -> None:
    assert table([("NAME", "EVENTS"), ("voip3", "12"), ("a", "1,234")], right=(1,)) == (
        "NAME   EVENTS\nvoip3      12\na       1,234"
    )
    assert table([("a", ""), ("bbb", "c")], indent="  ") == "  a\n  bbb  c"
    assert table([]) == ""
    assert table([("a", "b"), ("c",)]) == "a  b\nc"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00"), (-3, "00:00:00"), (59.9, "00:00:59"), (3661, "01:01:01"), (90061, "1 d 01:01:01")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ages_and_numbers() -> None:
    assert [age(None), age(0.25), age(75)] == ["-", "0.2 s", "00:01:15"]
    assert [count(1234567), count(0.25)] == ["1,234,567", "0.2"]


def test_moments() -> None:
    assert moment(1761562800123, UTC) == "2025-10-27 11:00:00"
    assert iso(1761562800123, UTC) == "2025-10-27T11:00:00.123+00:00"
    assert (moment(None, UTC), iso(None, UTC)) == ("-", None)


def test_control_characters_are_made_visible() -> None:
    assert printable("a\x1b]0;x\x07\r\n\tb\x85é") == "a\\x1b]0;x\\x07\\x0d\n\tb\\x85é"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("amqp://user:pa:ss@192.0.2.1/x", "amqp://user:***@192.0.2.1/x"),
        ("http://192.0.2.1:8088/a@b", "http://192.0.2.1:8088/a@b"),
        ("ws://h/ari/events?api_key=monitor:secret&app=x", "ws://h/ari/events?api_key=***&app=x"),
    ],
)
def test_passwords_in_urls(text: str, safe: str) -> None:
    assert masked(text) == safe


def test_configuration_values() -> None:
    value = {"a": (1, True, None), "url": "http://u:p@h", "n": 0.5}
    assert shown(value) == {"a": [1, True, None], "url": "http://u:***@h", "n": 0.5}
    assert [plain(v) for v in (None, "", True, 1234, 0.5, [], ["a", 1], "x")] == [
        "-", "-", "true", "1234", "0.5", "-", "a, 1", "x",
    ]  # fmt: skip
