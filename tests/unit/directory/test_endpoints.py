"""The table of endpoints: tables of events in, changes out; every expectation is written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ari.events import Event, millis, parse
from daemon.directory.contacts import Contact, Place, parse_cli_contacts, place_of
from daemon.directory.endpoints import (
    LONGEST_WAIT,
    MAX_ADDRESSES,
    EndpointChange,
    EndpointTable,
    Look,
    SeenAddress,
)

TRACES = Path(__file__).parents[2] / "data" / "traces"
T0 = millis("2026-11-20T16:00:00.000+0000")
NOW = T0 / 1000 + 0.004


def at(ms: int) -> str:
    return f"2026-11-20T16:00:{ms // 1000:02}.{ms % 1000:03}+0000"


def contact(ms: int, state: str, status: str, ip: str = "192.0.2.10", name: str = "1013010") -> Event:
    return parse(
        json.dumps(
            {
                "type": "ContactStatusChange",
                "timestamp": at(ms),
                "endpoint": {"technology": "PJSIP", "resource": name, "state": state},
                "contact_info": {
                    "uri": f"sip:{name}@{ip}" if ":" in ip else f"sip:{name}@{ip}:5060",
                    "contact_status": status,
                    "aor": name,
                },
            }
        )
    )


def peer(ms: int, state: str, technology: str = "PJSIP", kind: str = "PeerStatusChange") -> Event:
    return parse(
        json.dumps(
            {
                "type": kind,
                "timestamp": at(ms),
                "endpoint": {"technology": technology, "resource": "1013010", "state": state},
                "peer": {"peer_status": "Reachable" if state == "online" else "Unreachable"},
            }
        )
    )


def run(table: EndpointTable, *events: Event, settle: bool = True) -> list[tuple[str, str | None, int]]:
    """State, address, milliseconds after T0 of what the events make, in a row and then a second of quiet."""
    changes: list[EndpointChange] = []
    for event in events:
        changes += table.apply(event, NOW)
        changes += table.tick(NOW)
    if settle:
        changes += table.tick(NOW + 1.0)
    assert all(not change.recovered for change in changes)
    return [(change.state, change.ip, change.at - T0) for change in changes]


def look(ms: int, state: str = "online", *ips: str, started: int | None = None, **others: str) -> Look:
    """1013010 in `state`, at `ips` (none given: nobody knows)."""
    contacts = tuple(Contact("1013010", f"sip:1013010@{ip}:5060") for ip in ips) or None
    begun = None if started is None else T0 + started
    return Look(T0 + ms, {"1013010": state, **others}, contacts, started=begun)


def use(table: EndpointTable, seen: Look, now: float = NOW) -> list[EndpointChange]:
    table.take(seen, now)
    assert table.tick(now + 0.9) == []
    return table.tick(now + 1.0)


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


# -- looks -----------------------------------------------------------------------------------------
def test_the_first_look_only_learns() -> None:
    table = EndpointTable("voip3")
    assert use(table, look(50, "online", "192.0.2.10", **{"1013011": "offline"})) == []
    view = table.view("1013010")
    assert (view.state, view.since, view.address, view.how, view.learnt_at) == (
        "online",
        T0 + 50,
        "192.0.2.10:5060",
        "ami",
        T0 + 50,
    )
    assert table.view("1013011").state == "offline"
    assert not table.looking


def test_a_look_finds_what_was_missed() -> None:
    table = EndpointTable("voip3")
    run(table, contact(1, "online", "NonQualified"))
    assert use(table, look(50, "offline", "192.0.2.10")) == [
        EndpointChange("1013010", "offline", "192.0.2.10", T0 + 50, 2, True)
    ]
    assert use(table, look(60, "online", "192.0.2.77")) == [
        EndpointChange("1013010", "online", "192.0.2.77", T0 + 60, 3, True)
    ]
    assert use(table, look(70, "online", "192.0.2.78")) == [
        EndpointChange("1013010", "online", "192.0.2.78", T0 + 70, 4, True)
    ]
    assert use(table, look(80, "online", "192.0.2.78")) == []


def test_after_a_restart_of_asterisk_two_nodes_say_the_same_time() -> None:
    found = []
    for moment in (5000, 5700):
        table = EndpointTable("voip3")
        run(table, contact(1, "online", "NonQualified"))
        found.append(use(table, look(moment, "offline", started=4000)))
    assert found[0] == found[1] == [EndpointChange("1013010", "offline", "192.0.2.10", T0 + 4000, 2, True)]


def test_a_restart_before_the_last_news_says_nothing_about_when() -> None:
    table = EndpointTable("voip3")
    run(table, contact(4500, "online", "NonQualified"))
    assert use(table, look(5000, "offline", started=4000))[0].at == T0 + 5000


def test_a_look_waits_for_the_events_that_are_older_than_it() -> None:
    table = EndpointTable("voip3")
    use(table, look(0, "offline"))
    table.take(look(500, "online", "192.0.2.10"), NOW)
    assert table.looking
    ringing = '{"type":"ChannelCreated","timestamp":"%s","channel":{"id":"1"}}'
    for step in range(4):  # Asterisk queued them while we were away
        now = NOW + 0.9 * (step + 1)
        assert table.apply(parse(ringing % at(10 * step)), now) == []
        assert table.tick(now) == []
    assert [c.at - T0 for c in table.apply(contact(300, "online", "NonQualified"), NOW + 4)] == [300]
    assert table.tick(NOW + 4.9) == []
    assert table.tick(NOW + 5.0) == []
    assert not table.looking


def test_it_does_not_wait_for_ever() -> None:
    table = EndpointTable("voip3")
    table.take(look(500, "online"), NOW)
    now = NOW
    while now < NOW + LONGEST_WAIT:
        now += 0.5
        table.apply(contact(1, "offline", "NonQualified"), now)
    table.tick(now)
    assert table.view("1013010").state == "online"


def test_an_event_newer_than_the_look_counts_more() -> None:
    table = EndpointTable("voip3")
    use(table, look(0, "offline"))
    table.take(look(500, "offline"), NOW)
    assert len(table.apply(contact(501, "online", "NonQualified"), NOW)) == 1
    assert table.tick(NOW + 2) == []
    assert table.view("1013010").state == "online"


def test_a_look_without_addresses_leaves_those_that_are_known() -> None:
    table = EndpointTable("voip3")
    run(table, contact(1, "online", "NonQualified"))
    assert use(table, look(50, "online")) == []
    assert table.view("1013010").address == "192.0.2.10:5060"
    use(table, look(60, "offline"))
    assert table.view("1013010").address is None
    # AMI does not list contacts of the configuration: an online endpoint without any keeps its own.
    run(table, contact(100, "online", "NonQualified"))
    seen = look(200, "online", "192.0.2.99")
    others = Look(seen.begun, seen.states, (Contact("1013011", "sip:1013011@192.0.2.11:5060"),))
    assert use(table, others) == []
    assert table.view("1013010").address == "192.0.2.10:5060"


def test_what_asterisk_has_no_more_goes() -> None:
    table = EndpointTable("voip3")
    use(table, look(1, "online", "192.0.2.10", **{"1013011": "offline"}))
    assert use(table, Look(T0 + 50, {"1013012": "offline"})) == [
        EndpointChange("1013010", "unknown", "192.0.2.10", T0 + 50, 1, True)
    ]
    assert [view.endpoint for view in table.views()] == ["1013012"]


def test_a_look_at_nothing_says_nothing() -> None:
    table = EndpointTable("voip3")
    use(table, look(1, "online"))
    assert use(table, Look(T0 + 50, {})) == []
    assert table.view("1013010").state == "online"


def test_one_look_at_1378() -> None:
    names = [str(1013000 + number) for number in range(1378)]
    contacts = tuple(Contact(n, f"sip:{n}@198.51.{int(n) % 200}.{int(n) % 250 + 1}:5060") for n in names[::2])
    table = EndpointTable("voip3")
    states = {name: "online" if number % 2 == 0 else "offline" for number, name in enumerate(names)}
    assert use(table, Look(T0, states, contacts)) == []
    assert sum(view.state == "online" for view in table.views()) == 689
    assert sum(view.address is not None for view in table.views()) == 689
    assert len(use(table, Look(T0 + 10, dict.fromkeys(names, "offline"), ()))) == 689


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


# -- contacts --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("uri", "host", "port", "ip"),
    [
        ("sip:1013015@127.0.10.15:5060", "127.0.10.15", 5060, "127.0.10.15"),
        ("sip:1013015@192.0.2.15", "192.0.2.15", None, "192.0.2.15"),
        ("sip:192.0.2.100:5060", "192.0.2.100", 5060, "192.0.2.100"),
        (
            "sip:a@192.0.2.15:1024;transport=tcp;x-ast-orig-host=10.0.0.9:5060",
            "192.0.2.15",
            1024,
            "192.0.2.15",
        ),
        ("SIPS:a%40b@192.0.2.15;ob", "192.0.2.15", None, "192.0.2.15"),
        ("<sip:a@192.0.2.15:5060>", "192.0.2.15", 5060, "192.0.2.15"),
        ("sip:a;x=y@[2001:DB8::1]:5060", "2001:DB8::1", 5060, "2001:db8::1"),
        ("sip:a@[::ffff:192.0.2.1]", "::ffff:192.0.2.1", None, "192.0.2.1"),
        ("sip:a@phone.example.com:5060", "phone.example.com", 5060, None),
    ],
)
def test_the_place_in_a_contacts_uri(uri: str, host: str, port: int | None, ip: str | None) -> None:
    place = place_of(uri)
    assert place == Place(host, port)
    assert place.ip == ip


@pytest.mark.parametrize(
    "uri", ["", "tel:1013010", "sip:", "sip:a@", "sip:a@192.0.2.1:99999", "sip:a@192.0.2.1:x", "1013010"]
)
def test_no_place(uri: str) -> None:
    assert place_of(uri) is None


def test_a_place_as_text() -> None:
    assert [str(Place("192.0.2.1", 5060)), str(Place("2001:db8::1", 5060)), str(Place("2001:db8::1"))] == [
        "192.0.2.1:5060",
        "[2001:db8::1]:5060",
        "[2001:db8::1]",
    ]


CLI = """
  Contact:  <Aor/ContactUri..............................> <Hash....> <Status> <RTT(ms)..>
==========================================================================================

  Contact:  1013010/sip:uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu-101 85f09eebaf NonQual        -nan
  Contact:  1013011/sip:1013011@192.0.2.11:5060            e20376985e NonQual        -nan
  Contact:  1013012/sip:1013012@192.0.2.12:5060            e20376985e Avail         0.528
  Contact:  1013013/sip:1013013@192.0.2.13:5060            e20376985e Unavail         nan
  Contact:  1013014/sip:1013014-long-user@198.51.100.140:5 e20376985e Avail         0.528
  Contact:  1013015/sip:1013015@198.51.100.15:5060;ob;tran e20376985e Avail         0.528
  Contact:  trunk/sip:192.0.2.100:5060                     d4ad78c588 NonQual        -nan

Objects found: 7

"""


def test_the_command_lines_list() -> None:
    """What is cut off within the address is left out: half an address is another one."""
    assert parse_cli_contacts(CLI) == [
        Contact("1013011", "sip:1013011@192.0.2.11:5060"),
        Contact("1013012", "sip:1013012@192.0.2.12:5060"),
        Contact("1013013", "sip:1013013@192.0.2.13:5060", reachable=False),
        Contact("1013015", "sip:1013015@198.51.100.15:5060;ob;tran"),
        Contact("trunk", "sip:192.0.2.100:5060"),
    ]


@pytest.mark.parametrize("text", ["", "No such command 'pjsip show contacts' (type 'core show help')\n"])
def test_no_list_of_the_command_line(text: str) -> None:
    assert parse_cli_contacts(text) is None


def test_an_empty_list_of_the_command_line() -> None:
    assert parse_cli_contacts("No objects found.\n\n") == []
