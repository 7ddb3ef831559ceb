"""The conversation as tables: bytes in, requests and bytes out."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.console.registry import CommandError, Item, Result
from daemon.console.session import AuthFailed, Request, Session

OK = Result({"fine": True}, "Fine.")


def talk(session: Session, *pieces: bytes, result: Result = OK) -> list[Request | AuthFailed]:
    """Feed the pieces; every request is answered with `result`."""
    found: list[Request | AuthFailed] = []
    for piece in pieces:
        session.feed(piece)
        while (request := session.next()) is not None:
            found.append(request)
            if isinstance(request, Request):
                session.answer(request, result)
    return found


def words(found: list[Request | AuthFailed]) -> list[tuple[str, ...]]:
    return [request.words for request in found if isinstance(request, Request)]


def greeted(**options: object) -> Session:
    session = Session("Hello.", **options)  # type: ignore[arg-type]
    session.greet()
    session.take()
    return session


def test_greeting_then_prompt() -> None:
    session = Session("Hello.\nLAB")
    session.greet()
    session.greet()
    assert session.take() == b"Hello.\r\nLAB\r\nARIMONITOR> "


def test_text_and_prompt_after_each_command() -> None:
    session = greeted()
    assert words(talk(session, b"status\r\nlist 101\r\n")) == [("status",), ("list", "101")]
    assert session.take() == b"Fine.\r\nARIMONITOR> Fine.\r\nARIMONITOR> "


def test_a_script_gets_its_own_line_ends() -> None:
    session = greeted()
    talk(session, b"status\n", result=Result({}, "a\nb"))
    assert session.take() == b"a\nb\nARIMONITOR> "


def test_who_types_at_once_is_greeted_first() -> None:
    session = Session("Hello.")
    talk(session, b"status\n")
    assert session.take() == b"Hello.\r\nARIMONITOR> Fine.\nARIMONITOR> "


def test_json_only_gets_one_line_for_each_line() -> None:
    session = Session("Hello.")
    talk(session, b'{"command": "status", "args": []}\n', b'{"command": "version"}\r\n')
    assert session.take() == b'{"ok": true, "result": {"fine": true}}\n' * 2


def test_json_after_the_prompt_and_text_after_json() -> None:
    session = greeted()
    talk(session, b'{"command": "status"}\n')
    assert session.take() == b'{"ok": true, "result": {"fine": true}}\n'
    talk(session, b"status\n")
    assert session.take() == b"Fine.\nARIMONITOR> "


def test_json_with_text_for_people() -> None:
    session = Session("Hello.")
    talk(session, b'{"command": "status", "text": true}\n')
    assert json.loads(session.take()) == {"ok": True, "result": {"fine": True}, "text": "Fine."}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"command": "list", "args": [101]}', ("list", "101")),
        ('{"command": "set", "args": ["x", 1.5]}', ("set", "x", "1.5")),
        ('{"command": "set", "args": ["x", true]}', ("set", "x", "true")),
        ('{"command": "events follow", "args": ["Dial"]}', ("events", "follow", "Dial")),
        ('  {"command": "list", "args": ["a b"], "other": {}}', ("list", "a b")),
    ],
)
def test_json_requests(line: str, expected: tuple[str, ...]) -> None:
    assert words(talk(Session("Hello."), line.encode() + b"\n")) == [expected]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"{}",
        b'{"command": 5}',
        b'{"command": " "}',
        b'{"command": "list", "args": "101"}',
        b'{"command": "list", "args": {"a": 1}}',
        b'{"command": "list", "args": [null]}',
        b'{"command": "list", "args": [["x"]]}',
        b"{'command': 'status'}",
        b'{"command": "\xff"',
        b'{"a": ' + b"[" * 60_000,
        b'{"a": ' + b"9" * 60_000 + b"}",
    ],
)
def test_bad_json_is_answered_in_json(line: bytes) -> None:
    session = Session("Hello.")
    assert talk(session, line + b"\n") == []
    answer = json.loads(session.take())
    assert answer["ok"] is False
    assert answer["error"]["code"] == "bad-json"
    assert not session.closing


def test_failures_in_both_forms() -> None:
    session = greeted()
    session.feed(b'nope\n{"command": "nope"}\n')
    for _ in range(2):
        request = session.next()
        assert isinstance(request, Request)
        session.fail(request, CommandError("unknown-command", "there is no command 'nope'"))
    assert session.take() == (
        b"Error: there is no command 'nope' (unknown-command)\nARIMONITOR> "
        b'{"ok": false, "error": {"code": "unknown-command", "message": "there is no command \'nope\'"}}\n'
    )


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (b"status\r\0", ("status",)),
        (b"status\r", ("status",)),
        (b"statux\x7fs\n", ("status",)),
        (b"caf\xc3\xa9\x08e\n", ("cafe",)),
        (b"\x08\x7fstatus\n", ("status",)),
        (b"junk\x15status\n", ("status",)),
        (b"junk\x03status\n", ("status",)),
        (b"junk\xff\xf8status\n", ("status",)),
        (b"st\x1b[Aatus\x1bOB\n", ("status",)),
        (b"a\x00b\x07c\n", ("abc",)),
        (b"bad \xc3\x28\n", ("bad", "\ufffd(")),
        (b"set a 'b c' \"d\"\n", ("set", "a", "b c", "d")),
        (rb"get C:\x" + b"\n", ("get", r"C:\x")),
        (b"get a#b\n", ("get", "a#b")),
    ],
)
def test_lines_as_typed(typed: bytes, expected: tuple[str, ...]) -> None:
    assert words(talk(greeted(), typed)) == [expected]
    assert words(talk(greeted(), *(typed[at : at + 1] for at in range(len(typed))))) == [expected]


def test_cr_lf_cut_in_the_middle_is_one_line_end() -> None:
    session = greeted()
    talk(session, b"\r", b"\n", b"\r", b"\0", b"\n")
    assert session.take() == b"ARIMONITOR> " * 3


def test_a_quote_that_is_not_closed() -> None:
    session = greeted()
    assert talk(session, b"get 'a\n") == []
    assert session.take() == b"Error: a quote is not closed (usage)\nARIMONITOR> "


def test_nothing_typed_can_drive_the_terminal() -> None:
    session = greeted()
    session.feed(b"x\n")
    request = session.next()
    assert isinstance(request, Request)
    session.answer(request, Result({}, "a\x1b[2Jb\x07\x9b\u2028c\td"))
    assert session.take() == b"a\\x1b[2Jb\\x07\\x9b\\x2028c\td\nARIMONITOR> "


@pytest.mark.parametrize("typed", [b"\x03", b"\x04", b"\xff\xf4", b"\xff\xec"])
def test_ctrl_c_and_ctrl_d_end_an_idle_session(typed: bytes) -> None:
    session = greeted()
    talk(session, typed)
    assert session.closing
    assert b"Bye." in session.take()


@pytest.mark.parametrize(
    ("start", "code"), [(b"", "(too-long)"), (b'{"command": "', '"code": "too-long"'), (b"  {", "too-long")]
)
def test_a_line_over_64_kib_is_refused(start: bytes, code: str) -> None:
    session = greeted()
    line = start + b"x" * (64 * 1024 - len(start))
    session.feed(line)
    assert session.next() is None
    assert not session.closing
    session.feed(b"x")
    assert session.next() is None
    assert session.closing
    assert code in session.take().decode()


def test_64_kib_are_taken() -> None:
    assert words(talk(greeted(), b"x" * (64 * 1024) + b"\n")) == [("x" * (64 * 1024),)]


def test_nothing_is_read_after_the_end() -> None:
    session = greeted()
    found = talk(session, b"quit\nstatus\n", result=Result({}, "Bye.", close=True))
    assert words(found) == [("quit",)]
    assert session.take() == b"Bye.\n"


# -- streams


STREAM = Result({"following": True}, "Following.", stream=lambda _sink: lambda: None)
ITEM = Item({"type": "Dial"}, "Dial ...")


def test_a_stream_goes_on_until_a_line_comes() -> None:
    session = greeted()
    talk(session, b"events follow\n", result=STREAM)
    assert session.following
    session.push(ITEM)
    assert session.take() == b"Following.\nDial ...\n"
    assert words(talk(session, b"\n")) == []
    assert not session.following
    session.push(ITEM)
    assert session.take() == b"Stopped after 1 events.\nARIMONITOR> "


def test_the_line_that_ends_a_stream_is_carried_out() -> None:
    session = greeted()
    talk(session, b"events follow\n", result=STREAM)
    assert words(talk(session, b"status\n")) == [("status",)]


def test_ctrl_c_ends_the_stream_only() -> None:
    session = greeted()
    talk(session, b"events follow\r\n", result=STREAM)
    session.take()
    talk(session, b"\xff\xf4\xff\xfd\x06")
    assert not session.following
    assert not session.closing
    assert session.take() == b"\xff\xfb\x06Stopped after 0 events.\r\nARIMONITOR> "


def test_a_stream_in_json() -> None:
    session = Session("Hello.")
    talk(session, b'{"command": "events", "args": ["follow"]}\n', result=STREAM)
    session.push(ITEM)
    assert session.take() == (b'{"ok": true, "result": {"following": true}}\n{"event": {"type": "Dial"}}\n')
    talk(session, b"\n")
    assert not session.following
    assert session.take() == b""


# -- the password


def test_the_password_in_text() -> None:
    session = Session("Hello.", password="s3cret")
    session.greet()
    assert session.take() == b"\xff\xfb\x01Password: "
    # Debian's telnet agrees to our echo, then sends the line.
    assert talk(session, b"\xff\xfd\x01s3cret\r\n") == []
    assert session.authorised
    assert session.take() == b"\xff\xfc\x01\r\nHello.\r\nARIMONITOR> "
    assert words(talk(session, b"\xff\xfe\x01status\r\n")) == [("status",)]


def test_three_tries_and_never_an_echo() -> None:
    session = Session("Hello.", password="s3cret")
    session.greet()
    assert talk(session, b"status\n", b"wrong1\n", b"wrong2\n", b"s3cret\n") == [
        AuthFailed(1),
        AuthFailed(2),
        AuthFailed(3),
    ]
    assert session.closing
    out = session.take()
    assert b"wrong1" not in out
    assert b"ARIMONITOR> " not in out
    assert out.count(b"Error: wrong password (not-authorised)") == 3


def test_the_password_in_json() -> None:
    session = Session("Hello.", password="s3cret")
    found = talk(
        session,
        b'{"command": "status"}\n',
        b'{"command": "auth", "args": ["no"]}\n',
        b'{"command": "auth", "args": ["s3cret"]}\n',
        b'{"command": "status"}\n',
    )
    assert found == [AuthFailed(1), Request(("status",), json=True, text=False)]
    lines = [json.loads(line) for line in session.take().splitlines()]
    assert [line["ok"] for line in lines] == [False, False, True, True]
    assert [line["error"]["code"] for line in lines[:2]] == ["not-authorised", "not-authorised"]
    assert lines[2] == {"ok": True, "result": {"authorised": True}}


def test_auth_where_none_is_needed() -> None:
    session = Session("Hello.")
    talk(session, b'{"command": "auth", "args": ["any"]}\n')
    assert session.take() == b'{"ok": true, "result": {"authorised": true}}\n'


def test_a_broken_line_with_a_password_is_not_quoted() -> None:
    session = Session("Hello.", password="s3cret")
    talk(session, b'{"command": "auth", "args": ["s3cret"\n')
    assert b"s3cret" not in session.take()


# -- the terminal


def test_on_a_terminal_byte_255_is_a_byte() -> None:
    session = Session("Hello.", telnet=False)
    session.greet()
    assert session.take() == b"Hello.\nARIMONITOR> "
    assert words(talk(session, b"get \xff\xfd\x01x\n")) == [("get", "\ufffd\ufffdx")]


def test_ended_from_our_side() -> None:
    session = greeted()
    session.end("The daemon stops.")
    assert session.take() == b"\r\nThe daemon stops.\r\n"
    program = Session("Hello.")
    talk(program, b'{"command": "status"}\n')
    program.take()
    program.end("The daemon stops.")
    assert program.take() == b""


# -- anything at all

TELNETISH = st.sampled_from(
    [
        b"\xff",
        b"\xfa",
        b"\xf0",
        b"\xfb",
        b"\xfd",
        b"\xf4",
        b"\r",
        b"\n",
        b"\0",
        b"{",
        b"\x7f",
        b"status",
        b'"',
    ]
)


@given(st.lists(st.one_of(st.binary(max_size=60), TELNETISH), max_size=40), st.booleans())
def test_random_bytes(pieces: list[bytes], guarded: bool) -> None:
    session = Session("Hello.", password="s3cret" if guarded else None)
    found = talk(session, *pieces)
    assert all(request.words for request in found if isinstance(request, Request))
    if guarded:
        assert not words(found)
    whole = Session("Hello.", password="s3cret" if guarded else None)
    assert talk(whole, b"".join(pieces)) == found


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
def test_cuts_do_not_matter(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    one, many = Session("Hello."), Session("Hello.")
    assert talk(one, data) == talk(many, *pieces)
    assert one.closing == many.closing


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES, JSON_VALUES)
def test_any_json_gets_one_line(command: object, args: object) -> None:
    session = Session("Hello.")
    talk(session, json.dumps({"command": command, "args": args}).encode() + b"\n")
    lines = session.take().splitlines()
    assert len(lines) == 1
    assert isinstance(json.loads(lines[0])["ok"], bool)
