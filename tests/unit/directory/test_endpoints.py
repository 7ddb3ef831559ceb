"""The table of endpoints: events in, changes out; every expectation is written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ari.events import Event, millis, parse
from daemon.directory.endpoints import MAX_ADDRESSES, EndpointChange, EndpointTable, SeenAddress
from tests.unit.directory.endpoint_news import NOW, T0, at, contact, look, peer, run, use

TRACES = Path(__file__).parents[2] / "data" / "traces"


# -- real events -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            "16",
            [
                ("1013013", "online", "127.0.16.13", "2026-11-20T16:07:26.778+0000", 1),
                ("1013014", "online", "127.0.16.14", "2026-11-20T16:07:26.893+0000", 1),
                ("1013014", "offline", "127.0.16.14", "2026-11-20T16:07:29.132+0000", 2),
                ("1013013", "offline", "127.0.16.13", "2026-11-20T16:07:31.955+0000", 2),
            ],
        ),
        (
            "22",
            [
                ("1013013", "online", "127.0.10.13", "2026-11-20T16:07:26.779+0000", 1),
                ("1013014", "online", "127.0.10.14", "2026-11-20T16:07:26.892+0000", 1),
                ("1013014", "offline", "127.0.10.14", "2026-11-20T16:07:29.127+0000", 2),
                ("1013013", "offline", "127.0.10.13", "2026-11-20T16:07:31.492+0000", 2),
            ],
        ),
    ],
)
def test_two_phones_of_a_real_asterisk_come_and_go(version: str, expected: list[tuple[object, ...]]) -> None:
    table = EndpointTable("voip3")
    changes: list[EndpointChange] = []
    for line in (TRACES / version / "register-expire.jsonl").read_bytes().splitlines():
        record = json.loads(line)
        changes += table.apply(parse(json.dumps(record["event"])), record["t"])
        changes += table.tick(record["t"])
    changes += table.tick(record["t"] + 5)
    assert changes == [
        EndpointChange(name, state, ip, millis(when), seq, False) for name, state, ip, when, seq in expected
    ]
    assert table.view("1013013").address is None


# -- one change, told twice ------------------------------------------------------------------------
COMES = ("online", "192.0.2.10", 2)


@pytest.mark.parametrize(
    "events",
    [
        (peer(1, "online"), contact(2, "online", "NonQualified")),
        (contact(2, "online", "NonQualified"), peer(1, "online")),
        (contact(2, "online", "NonQualified"), peer(3, "online")),
        # With `qualify` on, as Asterisk 22 and 16 were seen to tell it.
        (contact(1, "offline", "NonQualified"), peer(2, "online"), contact(2, "online", "Reachable")),
        (peer(2, "online"), contact(2, "online", "NonQualified"), contact(3, "online", "Reachable")),
        (contact(2, "online", "NonQualified"), peer(2, "online"), contact(2, "online", "Reachable")),
        (peer(1, "online", kind="EndpointStateChange"), contact(2, "online", "NonQualified")),
        (peer(1, "online"), peer(1, "online", kind="EndpointStateChange"), contact(2, "online", "Reachable")),
    ],
)
def test_a_registration_is_one_change_at_its_contacts_time(events: tuple[Event, ...]) -> None:
    assert run(EndpointTable("voip3"), *events) == [COMES]
    # Nor is it another one where the endpoint was known to be offline.
    table = EndpointTable("voip3")
    assert use(table, look(-100, "offline")) == []
    assert run(table, *events) == [COMES]


_CONTACTS = [
    contact(2, "online", "NonQualified"),
    contact(10, "offline", "Removed"),
    contact(20, "online", "NonQualified", "192.0.2.11"),
    contact(30, "online", "NonQualified", "192.0.2.12"),
    contact(31, "online", "Removed", "192.0.2.11"),
    contact(40, "offline", "Unreachable", "192.0.2.12"),
]
_PEERS = [peer(1, "online"), peer(11, "offline"), peer(20, "online"), peer(39, "offline")]


@given(st.lists(st.booleans(), min_size=10, max_size=10))
def test_however_the_two_kinds_are_mixed_the_changes_are_the_same(which: list[bool]) -> None:
    contacts, peers, mixed = list(_CONTACTS), list(_PEERS), []
    for take_contact in which:
        source = contacts if (take_contact and contacts) or not peers else peers
        mixed.append(source.pop(0))
    assert run(EndpointTable("voip3"), *mixed) == [
        ("online", "192.0.2.10", 2),
        ("offline", "192.0.2.10", 10),
        ("online", "192.0.2.11", 20),
        ("online", "192.0.2.12", 30),
        ("offline", "192.0.2.12", 40),
    ]


def test_a_peer_event_that_no_contact_confirms_counts_after_a_while() -> None:
    table = EndpointTable("voip3")
    assert run(table, peer(5, "online", kind="EndpointStateChange"), peer(4, "online"), settle=False) == []
    assert table.tick(NOW + 0.99) == []
    assert table.tick(NOW + 1.0) == [EndpointChange("1013010", "online", None, T0 + 4, 1, False)]


def test_what_flaps_back_unconfirmed_is_nothing() -> None:
    table = EndpointTable("voip3")
    assert run(table, contact(1, "online", "NonQualified")) == [("online", "192.0.2.10", 1)]
    assert run(table, peer(5, "offline"), peer(6, "online")) == []


def test_where_there_are_no_contacts_the_peer_event_counts_at_once() -> None:
    table = EndpointTable("voip3")
    assert run(table, peer(5, "online", "IAX2"), settle=False) == [("online", None, 5)]
    assert table.view("IAX2/1013010").state == "online"
    assert table.view("1013010") is None


def test_events_of_something_else_are_nothing() -> None:
    table = EndpointTable("voip3")
    device = {"type": "DeviceStateChanged", "timestamp": at(1)}
    assert (
        run(table, parse(json.dumps(device)), parse('{"type":"ChannelCreated","channel":{"id":"1"}}')) == []
    )
    assert table.views() == ()


# -- moves and refreshes ---------------------------------------------------------------------------
def test_a_move_is_one_change_in_either_order() -> None:
    for events in (
        (
            contact(5, "online", "NonQualified", "192.0.2.77"),
            contact(6, "online", "Removed"),
        ),
        (
            contact(4, "online", "Removed"),
            contact(5, "online", "NonQualified", "192.0.2.77"),
        ),
        (
            contact(5, "online", "NonQualified", "192.0.2.77"),
            contact(5, "online", "Reachable", "192.0.2.77"),
            contact(6, "online", "Removed"),
        ),
    ):
        table = EndpointTable("voip3")
        run(table, contact(1, "online", "NonQualified"))
        assert run(table, *events) == [("online", "192.0.2.77", 5)]
        assert table.view("1013010").address == "192.0.2.77:5060"
        assert table.view("1013010").since == T0 + 1


def test_another_port_of_the_same_address_is_no_move() -> None:
    table = EndpointTable("voip3")
    run(table, contact(1, "online", "NonQualified"))
    assert run(table, contact(5, "online", "NonQualified", "192.0.2.10:1024")) == []
    assert table.view("1013010").address == "192.0.2.10:1024"


def test_a_second_phone_on_one_endpoint() -> None:
    table = EndpointTable("voip3")
    run(table, contact(1, "online", "NonQualified"))
    assert run(table, contact(2, "online", "NonQualified", "192.0.2.20")) == [("online", "192.0.2.20", 2)]
    assert run(table, contact(3, "online", "Unreachable", "192.0.2.20")) == [("online", "192.0.2.10", 3)]
    assert run(table, contact(4, "online", "Removed", "192.0.2.20")) == []
    assert run(table, contact(5, "offline", "Removed")) == [("offline", "192.0.2.10", 5)]


def test_the_same_news_twice_is_no_change() -> None:
    table = EndpointTable("voip3")
    event = contact(1, "online", "NonQualified")
    assert run(table, event, event, contact(9, "online", "Reachable")) == [("online", "192.0.2.10", 1)]


def test_a_contact_to_be_qualified_is_no_going_away() -> None:
    table = EndpointTable("voip3")
    assert run(table, contact(1, "offline", "NonQualified")) == []
    assert table.view("1013010").state == "offline"
    assert run(EndpointTable("voip3"), contact(1, "offline", "Removed")) == [("offline", "192.0.2.10", 1)]


def test_a_timestamp_that_is_none_is_the_receive_time() -> None:
    broken = parse(
        '{"type":"PeerStatusChange","timestamp":"x","endpoint":{"technology":"IAX2","resource":"1","state":"online"}}'
    )
    assert EndpointTable("voip3").apply(broken, 12.5) == [
        EndpointChange("IAX2/1", "online", None, 12500, 1, False)
    ]


# -- addresses seen, and a restart of ours -----------------------------------------------------------
def test_addresses_seen_are_kept_with_when_and_how() -> None:
    table = EndpointTable("voip3")
    use(table, look(10, "online", "192.0.2.10"))
    run(
        table,
        contact(20, "online", "NonQualified", "192.0.2.77"),
        contact(30, "online", "Removed", "192.0.2.10"),
    )
    assert table.view("1013010").addresses == (
        SeenAddress("192.0.2.10", T0 + 10, T0 + 30, "ami"),
        SeenAddress("192.0.2.77", T0 + 20, T0 + 30, "event"),
    )


def test_only_so_many_are_kept() -> None:
    table = EndpointTable("voip3")
    for number in range(MAX_ADDRESSES + 4):
        run(table, contact(number, "online", "NonQualified", f"192.0.2.{number + 1}"))
    kept = [seen.ip for seen in table.view("1013010").addresses]
    assert kept == [f"192.0.2.{number + 1}" for number in range(4, MAX_ADDRESSES + 4)]


def test_what_is_known_survives_a_restart() -> None:
    table = EndpointTable("voip3")
    run(table, contact(10, "online", "NonQualified"), contact(20, "online", "NonQualified", "[2001:db8::7]"))
    again = EndpointTable("voip3", known=table.views())
    assert again.views() == table.views()
    assert use(again, look(50, "online", "[2001:db8::7]")) == []
    assert use(again, look(60, "offline"))[0].ip == "2001:db8::7"
    gone = EndpointTable("voip3", known=again.views())
    assert gone.views() == again.views()
