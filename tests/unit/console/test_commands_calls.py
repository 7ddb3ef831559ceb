"""The commands about calls, events and endpoints as a table: words in, text and data out. No sockets."""

from __future__ import annotations

from daemon.ari.events import CallerId, Channel, Dialplan, Event
from daemon.console.registry import Item
from daemon.console.views import CallRow
from daemon.directory.model import Directory, EndpointEntry
from tests.unit.console.house import House
from tests.unit.console.house import house as house


def test_calls(house: House) -> None:
    assert house.run("calls").text == "No calls now."
    house.calls = [
        CallRow("voip3", "1761562800.42", "1013010", "1013015", "101", 2, 1761562800120, 2),
        CallRow("voip3", "1761562855.44", None, None, None, 1, 1761562855000, 1),
    ]
    assert house.run("calls").text == (
        "SERVER  CALL           CLIENT  ORIGIN   DESTINY  STATUS         FOR  LEGS\n"
        "voip3   1761562800.42  101     1013010  1013015  answered  00:00:59     2\n"
        "voip3   1761562855.44  -       -        -        ringing   00:00:05     1\n"
        "2 calls."
    )
    assert house.run("calls").data["calls"][0] == {  # type: ignore[index]
        "server": "voip3",
        "call": "1761562800.42",
        "client": "101",
        "origin": "1013010",
        "destiny": "1013015",
        "status": 2,
        "creationtime": "2025-10-27T11:00:00.120+00:00",
        "legs": 2,
    }


def test_events(house: House) -> None:
    assert house.run("events").text == "No events yet."
    house.counts = {"voip3": {"Dial": 2, "ChannelCreated": 1000}}
    assert house.run("events").text == (
        "EVENT           TOTAL\nChannelCreated  1,000\nDial                2\nall             1,002"
    )
    house.counts["voip1"] = {"Dial": 5}
    assert house.run("events").text == (
        "EVENT           voip1  voip3  TOTAL\n"
        "ChannelCreated      0  1,000  1,000\n"
        "Dial                5      2      7\n"
        "all                 5  1,002  1,007"
    )
    assert house.run("events").data == {"total": 1007, "by_server": house.counts}


def test_events_follow(house: House) -> None:
    seen: list[Item] = []
    result = house.run("events follow dial Channel*")
    assert result.stream is not None
    assert not house.feed.watched
    end = result.stream(seen.append)
    assert house.feed.watched
    channel = Channel(
        id="1761562800.42",
        name="PJSIP/1013010-00000001",
        state="Ring",
        caller=CallerId("1013010"),
        dialplan=Dialplan("1013015"),
    )
    house.feed.publish("voip3", Event("ChannelCreated", channel=channel), 1761562800.1234)
    house.feed.publish("voip3", Event("DeviceStateChanged"), 1761562800.2)
    end()
    end()
    house.feed.publish("voip3", Event("Dial"), 1761562800.3)
    assert not house.feed.watched
    assert [item.text for item in seen] == [
        "11:00:00.123  voip3  ChannelCreated            channel=PJSIP/1013010-00000001 "
        "channel_id=1761562800.42 state=Ring caller=1013010 exten=1013015"
    ]
    assert seen[0].data == {
        "at": "2025-10-27T11:00:00.123+00:00",
        "server": "voip3",
        "type": "ChannelCreated",
        "channel": "PJSIP/1013010-00000001",
        "channel_id": "1761562800.42",
        "state": "Ring",
        "caller": "1013010",
        "exten": "1013015",
    }


def test_list(house: House) -> None:
    assert house.run("list").text == (
        "=== ALL ENDPOINTS (3) ===\n"
        "1121     -           online   198.51.100.7:5060  2025-10-27 11:00:00\n"
        "1013010  condominio  unknown  -                  -\n"
        "porta    portaria    unknown  -                  -"
    )
    assert house.run("list_endpoints 200").text == (
        "=== ENDPOINTS FOR CLIENT 200 (1) ===\nporta  portaria  unknown  -  -"
    )
    assert house.run("list 300").text == "=== ENDPOINTS FOR CLIENT 300 (0) ==="
    assert house.refusal("list 999") == ("not-found", "no client '999' in the definition files")


def test_list_as_data(house: House) -> None:
    assert house.run("list 101").data == {
        "client": "101",
        "count": 2,
        "endpoints": [
            {
                "endpoint": "1121",
                "client": "101",
                "type": None,
                "state": "online",
                "address": "198.51.100.7:5060",
                "since": "2025-10-27T11:00:00.000+00:00",
                "server": "voip3",
            },
            {
                "endpoint": "1013010",
                "client": "101",
                "type": "condominio",
                "state": "unknown",
                "address": None,
                "since": None,
                "server": "voip3",
            },
        ],
    }


def test_list_of_two_asterisks_names_them(house: House) -> None:
    one = Directory(endpoints={"1121": EndpointEntry("1121", "101", "ramal")})
    house.directories = {"voip3": one, "voip1": one}
    assert house.run("list").text == (
        "=== ALL ENDPOINTS (2) ===\n"
        "1121  ramal  online  198.51.100.7:5060  2025-10-27 11:00:00  voip1\n"
        "1121  ramal  online  198.51.100.7:5060  2025-10-27 11:00:00  voip3"
    )
