"""The lab's day: believable, consistent, and understood by the call tracker."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from typing import Any

import pytest

from daemon.ari.events import millis, parse
from daemon.calls.model import Answered, Dtmf, Ended, Fact, Received
from daemon.calls.tracker import Tracker
from daemon.lab.play import Played
from tests.unit.calls import expectations as ex
from tests.unit.lab import cast

HALF_AN_HOUR = 1800.0

# From the stories (tests/data/traces/STORIES.md), with the CDR's word where it is doubtful.
ENDINGS = {
    "answered": ["ANSWERED"],
    "answered-callee-hangs-up": ["ANSWERED"],
    "attended-transfer": ["ANSWERED", "ANSWERED"],
    "blind-transfer": ["ANSWERED"],
    "busy": ["BUSY"],
    "cancelled": ["CANCEL"],
    "click-to-call": ["ANSWERED"],
    "declined": ["NO ANSWER"],
    "dtmf": ["ANSWERED"],
    "forward-302": ["ANSWERED"],
    "hold": ["ANSWERED"],
    "ivr-then-dial": ["ANSWERED"],
    "no-answer": ["NO ANSWER"],
    "pickup": ["ANSWERED"],
    "queue-abandoned": ["NO ANSWER"],
    "queue-answered": ["ANSWERED"],
    "ring-group": ["ANSWERED"],
    "ring-group-unanswered": ["NO ANSWER"],
    "through-local": ["ANSWERED"],
    "trunk-in": ["ANSWERED"],
    "trunk-in-to-queue": ["ANSWERED"],
    "trunk-out": ["ANSWERED"],
    "trunk-out-busy": ["BUSY"],
    "unavailable": ["FAILED"],
    "unknown-number": ["NO ANSWER"],
}


def track(events: list[Played]) -> tuple[Tracker, list[Fact]]:
    tracker, facts = Tracker("lab"), []
    for event in events:
        facts += tracker.apply(parse(event.to(cast.APP)), event.at)
    facts += tracker.tick(events[-1].at + 60)
    return tracker, facts


def values(events: list[Played]) -> list[dict[str, Any]]:
    return [json.loads(event.to(cast.APP)) for event in events]


@pytest.fixture(scope="module")
def half_an_hour() -> list[Played]:
    return cast.day(cast.player(), HALF_AN_HOUR)


def test_every_recorded_call_is_known_here() -> None:
    assert sorted(ENDINGS) == sorted(story.name for story in cast.stories())


@pytest.mark.parametrize("name", sorted(ENDINGS))
def test_each_story_ends_as_it_was_recorded(name: str) -> None:
    player = cast.player(of=[cast.story(name)])
    tracker, facts = track(cast.day(player, 1.6))
    assert player.started == 1
    assert [fact.disposition for fact in facts if isinstance(fact, Ended)] == ENDINGS[name]
    _, recorded = ex.play(ex.read(ex.TRACES / f"22-linkedid/{name}.jsonl.gz"))
    assert [type(fact) for fact in facts] == [type(fact) for fact in recorded]
    assert tracker.size == 0


def test_half_an_hour_makes_complete_and_sensible_messages(half_an_hour: list[Played]) -> None:
    tracker, facts = track(half_an_hour)
    by_call = defaultdict(list)
    for fact in facts:
        by_call[fact.call].append(fact)
        assert not fact.recovered
    assert len(by_call) > 100
    for call in by_call.values():
        assert isinstance(call[0], Received)
        assert isinstance(call[-1], Ended)
        assert all(isinstance(fact, Answered | Dtmf) for fact in call[1:-1])
        assert [fact.seq for fact in call] == list(range(1, len(call) + 1))
        ended = call[-1]
        assert 0 <= ended.billsec <= ended.duration <= 180
        assert ended.origin
        assert ended.destiny
    endings = Counter(fact.disposition for fact in facts if isinstance(fact, Ended))
    assert set(endings) == {"ANSWERED", "NO ANSWER", "BUSY", "CANCEL", "FAILED"}
    assert endings["ANSWERED"] > sum(endings.values()) / 2
    assert any(isinstance(fact, Dtmf) for fact in facts)
    assert tracker.size == 0
    assert tracker.active == 0


def test_calls_of_all_companies_overlap_and_there_are_quiet_moments(half_an_hour: list[Played]) -> None:
    alive, most, quiet = set(), 0, 0
    for event in values(half_an_hour):
        if event["type"] == "ChannelCreated":
            alive.add(event["channel"]["id"])
        elif event["type"] == "ChannelDestroyed":
            alive.remove(event["channel"]["id"])
            quiet += not alive
        most = max(most, len(alive))
    assert not alive
    assert most >= 6
    assert quiet >= 5
    text = "".join(event.to(cast.APP) for event in half_an_hour)
    assert {company.id for company in cast.people()} == set(re.findall(r"PJSIP/(10[123])\d{4}-", text))


def test_ids_and_names_are_used_once_and_grow(half_an_hour: list[Played]) -> None:
    created = [event["channel"] for event in values(half_an_hour) if event["type"] == "ChannelCreated"]
    assert len({channel["id"] for channel in created}) == len(created)
    assert len({channel["name"] for channel in created}) == len(created)
    counted = [channel["id"] for channel in created if not channel["id"].startswith("click-")]
    counters = [int(id_.partition(".")[2]) for id_ in counted]
    assert counters == sorted(counters)
    epochs = [int(id_.partition(".")[0]) for id_ in counted]
    assert epochs == sorted(epochs)
    bridges = [event["bridge"]["id"] for event in values(half_an_hour) if event["type"] == "BridgeCreated"]
    assert len(set(bridges)) == len(bridges)


def test_each_channel_keeps_its_order_and_its_times(half_an_hour: list[Played]) -> None:
    latest = 0.0
    creation: dict[str, str] = {}
    state: dict[str, str] = {}
    for played, event in zip(half_an_hour, values(half_an_hour), strict=True):
        assert played.at >= latest
        latest = played.at
        assert millis(event["timestamp"]) == pytest.approx(played.at * 1000, abs=50)
        channel = event.get("channel")
        if channel is None:
            continue
        id_ = channel["id"]
        if event["type"] == "ChannelCreated":
            assert id_ not in creation
            creation[id_], state[id_] = channel["creationtime"], "alive"
            created_at = millis(channel["creationtime"])
            assert created_at <= millis(event["timestamp"]) + 5
            assert "." not in id_ or int(id_.partition(".")[0]) == pytest.approx(created_at / 1000, abs=1)
        elif event["type"] == "ChannelDestroyed":
            assert state[id_] == "alive"
            state[id_] = "gone"
        # One that picks a call up takes over the creation time of the one that it replaces.
        assert channel["creationtime"] in creation.values()


def test_linkedids_and_recordings_belong_to_the_call(half_an_hour: list[Played]) -> None:
    created = set()
    for event in values(half_an_hour):
        channel = event.get("channel")
        if channel is None:
            continue
        if event["type"] == "ChannelCreated":
            created.add(channel["id"])
        assert channel["channelvars"]["CHANNEL(linkedid)"] in created
        file = channel["channelvars"]["MIXMONITOR_FILENAME"]
        if file:
            found = re.fullmatch(
                r"/var/spool/asterisk/monitor/(\d{4})/(\d\d)/(\d\d)/.*-(\d{8})-\d{6}-(.*)\.wav", file
            )
            assert found
            assert found[1] + found[2] + found[3] == found[4]
            assert found[5] in created


def test_nobody_is_in_two_calls_at_once(half_an_hour: list[Played]) -> None:
    """A phone may have several channels within one story (a consultation), but not in two."""
    stories: dict[str, str] = {}
    linked: dict[str, str] = {}
    for event in values(half_an_hour):
        channel = event.get("channel")
        phone = re.fullmatch(r"PJSIP/(\d+)-.*", channel["name"]) if channel else None
        if phone is None:
            continue
        call = channel["channelvars"]["CHANNEL(linkedid)"]
        if event["type"] == "ChannelCreated":
            others = {stories[id_] for id_, number in linked.items() if number == phone[1]}
            assert len(others | {call}) <= 2  # at most a consultation beside the call
            stories[channel["id"]], linked[channel["id"]] = call, phone[1]
        elif event["type"] == "ChannelDestroyed":
            linked.pop(channel["id"], None)


def test_the_shape_is_the_recorded_one() -> None:
    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {key: shape(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [shape(inner) for inner in value]
        return type(value)

    for name in ("attended-transfer", "queue-answered", "unavailable", "trunk-out", "click-to-call"):
        recorded = ex.TRACES / f"22-linkedid/{name}.jsonl.gz"
        wanted = [json.loads(line)["event"] for line in ex.gzip.open(recorded)]
        played = values(cast.day(cast.player(of=[cast.story(name)]), 1.6))
        assert [shape(event) for event in played] == [shape(event) for event in wanted]
        assert [list(event) for event in played] == [list(event) for event in wanted]
        assert {event["application"] for event in played} == {cast.APP}


def test_the_same_seed_gives_the_same_day() -> None:
    one, two = (cast.day(cast.player(seed=3), 120) for _ in range(2))
    assert one == two
    assert one != cast.day(cast.player(seed=4), 120)


def test_in_small_steps_the_day_is_the_same() -> None:
    steps = cast.player()
    events = []
    for tenth in range(1200):
        events += steps.take(cast.MONDAY + tenth / 10)
    assert events == cast.player().take(cast.MONDAY + 119.9)


def test_speed_divides_the_times() -> None:
    slow, fast = cast.player(), cast.player(speed=10)
    one, ten = slow.take(cast.MONDAY + 300), fast.take(cast.MONDAY + 30)
    assert [event.type for event in one] == [event.type for event in ten]
    assert ten[-1].at - cast.MONDAY == pytest.approx((one[-1].at - cast.MONDAY) / 10, abs=0.01)


def test_what_exists_is_what_was_played() -> None:
    player = cast.player()
    alive, bridges = set(), set()
    for _ in range(3000):
        due = player.next_due()
        assert due is not None
        for event in values(player.take(due)):
            match event["type"]:
                case "ChannelCreated":
                    alive.add(event["channel"]["id"])
                case "ChannelDestroyed":
                    alive.remove(event["channel"]["id"])
                case "BridgeCreated":
                    bridges.add(event["bridge"]["id"])
                case "BridgeDestroyed":
                    bridges.remove(event["bridge"]["id"])
        assert {channel["id"] for channel in player.channels()} == alive
        assert {bridge["id"] for bridge in player.bridges()} == bridges
        of_endpoints = {id_ for endpoint in player.endpoints() for id_ in endpoint["channel_ids"]}
        assert of_endpoints == {c["id"] for c in player.channels() if c["name"].startswith("PJSIP/")}
    cast.day(player, 600)
    assert player.channels() == []
    assert player.bridges() == []


def test_a_player_needs_calls_and_people() -> None:
    with pytest.raises(ValueError, match="phones enough"):
        cast.Player(cast.stories(), (), cast.Random(1))
