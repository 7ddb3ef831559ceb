"""AMI as bytes: real answers of Asterisk 22 and 16, in pieces of any size."""

from __future__ import annotations

import contextlib
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.directory.ami_parser import (
    MAX_MESSAGE,
    AmiGarbage,
    AmiParser,
    Message,
    contacts_of,
    encode,
    login_key,
)
from daemon.directory.contacts import Contact

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
CONTACTS_22 = """\
Response: Success
ActionID: 3
EventList: start
Message: A listing of Contacts follows, presented as ContactList events

Event: ContactList
ActionID: 3
ObjectType: contact
ObjectName: 1013010;@596a1889b3012a2fdf21e9226d92c071
ViaAddr: 192.0.2.10
QualifyTimeout: 3.000000
Qualify2xxOnly: false
CallId: 6ed027996f629353a6d602be
RegServer:\x20
PruneOnBoot: no
Path:\x20
Endpoint: 1013010
ViaPort: 5060
AuthenticateQualify: no
Uri: sip:1013010@192.0.2.10:5060
QualifyFrequency: 0
UserAgent: Fone Água: 1013010
ExpirationTime: 1795229507
OutboundProxy:\x20
Status: NonQualified
RoundtripUsec: N/A

Event: ContactList
ActionID: 3
ObjectType: contact
ObjectName: 1013011;@e20376985ee3f9d6f46889cac178b91a
Endpoint:\x20
Uri: sip:1013011@192.0.2.11:5060
Status: Unreachable

Event: ContactListComplete
ActionID: 3
EventList: Complete
ListItems: 2

""".replace("\n", "\r\n").encode()


def parse(*pieces: bytes) -> list[Message]:
    parser = AmiParser()
    return [message for piece in pieces for message in parser.feed(piece)]


def test_a_listing() -> None:
    parser = AmiParser()
    messages = parser.feed(GREETING + CONTACTS_22)
    assert parser.greeting == "Asterisk Call Manager/11.0.0"
    assert [message.get("Event", message.get("Response")) for message in messages] == [
        "Success",
        "ContactList",
        "ContactList",
        "ContactListComplete",
    ]
    assert messages[1]["UserAgent"] == "Fone Água: 1013010"
    assert messages[1]["Path"] == ""
    assert contacts_of(messages) == [
        Contact("1013010", "sip:1013010@192.0.2.10:5060"),
        Contact("1013011", "sip:1013011@192.0.2.11:5060", reachable=False),
    ]


@given(st.lists(st.integers(0, len(GREETING + CONTACTS_22)), max_size=12))
def test_in_pieces_of_any_size(cuts: list[int]) -> None:
    data = GREETING + CONTACTS_22
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    assert parse(*pieces) == parse(data)


def test_byte_by_byte() -> None:
    data = GREETING + CONTACTS_22
    assert parse(*(data[at : at + 1] for at in range(len(data)))) == parse(data)


def test_nothing_whole_is_nothing() -> None:
    assert parse(b"") == []
    assert parse(b"Asterisk Call") == []
    assert parse(GREETING, b"Response: Success\r\nActionID: 1\r\n") == []


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00",
        b"SSH-2.0-OpenSSH\r\n",
        b"Asterisk Call Manager\r\n",
        b"Asterisk Call Manager/" + b"1" * 100,
        GREETING + b"x" * (MAX_MESSAGE + 1),
    ],
)
def test_garbage(data: bytes) -> None:
    with pytest.raises(AmiGarbage):
        parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_garbage(data: bytes) -> None:
    for message in parse(GREETING, data):
        assert all(isinstance(value, str) for value in message.values())
    with contextlib.suppress(AmiGarbage):
        parse(data)


def test_an_action_as_it_is_sent() -> None:
    assert encode("Login", "7", {"Username": "monitor", "Events": "off"}) == (
        b"Action: Login\r\nActionID: 7\r\nUsername: monitor\r\nEvents: off\r\n\r\n"
    )


@pytest.mark.parametrize("value", ["x\r\nAction: Originate", "x\ny", "x\0"])
def test_no_value_begins_a_line_of_its_own(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        encode("Login", "1", {"Secret": value})


def test_the_answer_to_a_challenge() -> None:
    # md5sum of "161017623monitor-secret"
    assert login_key("161017623", "monitor-secret") == "5a7a841c5b5d63dfa2877cab7e2bc688"


def test_1378_contacts_and_ten_times_as_many_take_time_in_proportion() -> None:
    def seconds(count: int) -> float:
        one = (
            "Event: ContactList\r\nActionID: 3\r\nObjectType: contact\r\nObjectName: {0};@596a1889\r\n"
            "ViaAddr: 192.0.2.10\r\nCallId: 6ed027996f629353a6d602be\r\nEndpoint: {0}\r\n"
            "Uri: sip:{0}@192.0.2.10:5060\r\nUserAgent: phone\r\nStatus: Reachable\r\n\r\n"
        )
        data = GREETING + "".join(one.format(1013000 + number) for number in range(count)).encode()
        parser, messages = AmiParser(), []
        began = time.process_time()
        for at in range(0, len(data), 1460):
            messages += parser.feed(data[at : at + 1460])
        taken = time.process_time() - began
        assert len(contacts_of(messages)) == count
        return taken

    small = min(seconds(1378) for _ in range(3))
    assert small < 1.0
    assert seconds(13780) < 40 * small
