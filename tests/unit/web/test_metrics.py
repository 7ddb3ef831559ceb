"""The text of /metrics, read as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.calls.model import Received
from daemon.snapshot import AsteriskStatus, HaStatus, NodeStatus
from daemon.web.metrics import Metrics
from tests.unit.calls.test_statistics import answered, ended, received
from tests.unit.web.house import House

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(house: House) -> Samples:
    return read(Metrics(house.sources))


def read(metrics: Metrics) -> Samples:
    text = metrics.text().decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def named(samples: Samples, name: str) -> Iterator[dict[str, str]]:
    return (dict(labels) for found, labels in samples if found == name)


def test_the_names_that_the_old_systems_owners_chose() -> None:
    house = House()
    for fact in (received(), answered(), ended(75)):
        house.statistics.see(fact, "condominio")
    samples = scrape(house)
    assert of(samples, "arimonitor_calls_total", status="received", origin_type="condominio") == 1
    assert of(samples, "arimonitor_calls_total", status="answered", origin_type="condominio") == 1
    assert of(samples, "arimonitor_calls_total", status="ended", origin_type="condominio") == 1
    assert of(samples, "arimonitor_call_duration_seconds_bucket", le="60") == 0
    assert of(samples, "arimonitor_call_duration_seconds_bucket", le="120") == 1
    assert of(samples, "arimonitor_call_duration_seconds_bucket", le="+Inf") == 1
    assert of(samples, "arimonitor_call_duration_seconds_count") == 1
    assert of(samples, "arimonitor_call_duration_seconds_sum") == 75
    assert of(samples, "arimonitor_active_calls", server="voip3") == 2
    assert of(samples, "arimonitor_active_calls", server="voip-1") == 0
    assert of(samples, "arimonitor_websocket_reconnections_total", server="voip3") == 3
    assert of(samples, "arimonitor_websocket_connected", server="voip3") == 1


def test_the_exact_lines() -> None:
    house = House()
    house.statistics.see(received(), 'a "quoted" \\ type')
    lines = Metrics(house.sources).text().decode().splitlines()
    assert r'arimonitor_calls_total{origin_type="a \"quoted\" \\ type",status="received"} 1.0' in lines
    assert "# TYPE arimonitor_calls_total counter" in lines
    assert "# TYPE arimonitor_call_duration_seconds histogram" in lines
    assert "# TYPE arimonitor_active_calls gauge" in lines
    assert 'arimonitor_broker_connected{broker="main.br"} 1.0' in lines


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("arimonitor_build_info", {"version": "1.2.3", "node": "AUDIO2"}, 1),
        ("arimonitor_problems", {}, 0),
        ("arimonitor_master", {}, 1),
        ("arimonitor_epoch", {}, 7),
        ("arimonitor_ha_connected", {"backend": "file"}, 1),
        ("arimonitor_queue_requests", {"folder": "processing"}, 2),
        ("arimonitor_service_up", {"service": "outbox"}, 1),
        ("arimonitor_service_deaths_total", {"service": "monitor-voip3"}, 2),
        ("arimonitor_outbox_stored_total", {}, 4324),
        ("arimonitor_hub_lag_p99_seconds", {}, 0.002),
        ("arimonitor_events_total", {"server": "voip3", "type": "ChannelCreated"}, 9),
        ("arimonitor_events_malformed_total", {"server": "voip3"}, 1),
        ("arimonitor_gaps_total", {"server": "voip3"}, 2),
        ("arimonitor_gap_seconds_total", {"server": "voip3"}, 12.5),
        ("arimonitor_last_event_age_seconds", {"server": "voip3"}, 0.2),
        ("arimonitor_outbox_messages", {"broker": "main.br"}, 3),
        ("arimonitor_outbox_oldest_seconds", {"broker": "main.br"}, 1.5),
        ("arimonitor_messages_confirmed_total", {"broker": "main.br"}, 4321),
        ("arimonitor_messages_returned_total", {"broker": "main.br"}, 1),
        ("arimonitor_messages_nacked_total", {"broker": "main.br"}, 0),
        ("arimonitor_calls_ended_total", {"disposition": "NO ANSWER"}, 0),
    ],
)
def test_a_number(name: str, labels: dict[str, str], value: float) -> None:
    samples = {
        (found, tuple((key, text) for key, text in pairs if key != "python")): number
        for (found, pairs), number in scrape(House()).items()
    }
    assert of(samples, name, **labels) == pytest.approx(value)


def test_two_nodes() -> None:
    house = House()
    nodes = (NodeStatus("AUDIO", False, "auto", 100), NodeStatus("AUDIO2", True, "auto", 110))
    house.change(ha=HaStatus("zookeeper", True, "AUDIO2", lease_left_s=2.5, nodes=nodes))
    house.counters |= {
        "ha.role_changes": 3,
        "ha.role_change_ms": 125.0,
        "marks.written": 40,
        "pruner.dropped": 12,
        "requests.taken_over": 2,
        "requests.waiting_for_a_node": 1,
    }
    samples = scrape(house)
    assert of(samples, "arimonitor_ha_connected", backend="zookeeper") == 1
    assert of(samples, "arimonitor_lease_seconds") == 2.5
    assert of(samples, "arimonitor_nodes", state="here") == 1
    assert of(samples, "arimonitor_nodes", state="away") == 1
    assert of(samples, "arimonitor_role_changes_total") == 3
    assert of(samples, "arimonitor_role_change_seconds") == 0.125
    assert of(samples, "arimonitor_marks_written_total") == 40
    assert of(samples, "arimonitor_standby_dropped_total") == 12
    assert of(samples, "arimonitor_requests_taken_over_total") == 2
    assert of(samples, "arimonitor_requests_waiting_for_a_node") == 1
    house.change(ha=HaStatus("zookeeper", False, None))
    samples = scrape(house)
    assert of(samples, "arimonitor_ha_connected", backend="zookeeper") == 0
    assert list(named(samples, "arimonitor_lease_seconds")) == []
    assert list(named(samples, "arimonitor_nodes")) == []


def test_the_process() -> None:
    samples = scrape(House())
    assert of(samples, "process_resident_memory_bytes") > 1_000_000
    assert of(samples, "process_open_fds") > 2


def test_what_the_root_does_not_count_has_no_series() -> None:
    house = House()
    house.counters = {}
    samples = scrape(house)
    assert list(named(samples, "arimonitor_gap_seconds_total")) == []
    assert list(named(samples, "arimonitor_outbox_messages")) == []


def test_an_asterisk_without_an_event_has_no_age() -> None:
    house = House()
    house.change(asterisk=(AsteriskStatus("voip9", False, 0, 0),))
    samples = scrape(house)
    assert list(named(samples, "arimonitor_last_event_age_seconds")) == []
    assert of(samples, "arimonitor_websocket_connected", server="voip9") == 0
    assert of(samples, "arimonitor_problems") == 1


def test_endpoints_by_state() -> None:
    house = House(endpoints={"voip3": {"online": 60, "offline": 10}})
    samples = scrape(house)
    assert of(samples, "arimonitor_endpoints", server="voip3", state="online") == 60
    assert of(samples, "arimonitor_endpoints", server="voip3", state="offline") == 10


def test_event_types_are_bounded_and_keep_their_label() -> None:
    house = House(events={"voip3": {f"Type{number}": 1 for number in range(100)}})
    metrics = Metrics(house.sources)
    samples = read(metrics)
    types = [labels["type"] for labels in named(samples, "arimonitor_events_total")]
    assert len(types) == 81
    assert of(samples, "arimonitor_events_total", server="voip3", type="other") == 20
    house.events = {"voip3": {f"Type{number}": 2 for number in reversed(range(100))}}
    samples = read(metrics)
    assert of(samples, "arimonitor_events_total", server="voip3", type="Type79") == 2
    assert of(samples, "arimonitor_events_total", server="voip3", type="other") == 40


def test_no_more_series_with_a_thousand_kinds_of_origin() -> None:
    house = House()
    fact: Received = received()
    for number in range(1000):
        house.statistics.see(fact, f"type{number}")
    kinds = [labels["origin_type"] for labels in named(scrape(house), "arimonitor_calls_total")]
    assert len(kinds) == 21
    assert "other" in kinds


def test_every_scrape_reads_anew() -> None:
    house = House()
    metrics = Metrics(house.sources)
    assert of(read(metrics), "arimonitor_epoch") == 7
    house.change(epoch=8)
    assert of(read(metrics), "arimonitor_epoch") == 8


def test_names_follow_the_conventions() -> None:
    text = Metrics(House(endpoints={"voip3": {"online": 1}}).sources).text().decode()
    for family in text_string_to_metric_families(text):
        documented: Any = family.documentation
        assert documented, f"{family.name} has no text"
        for sample in family.samples:
            assert sample.name.startswith(("arimonitor_", "process_"))
            assert (family.type == "counter") == sample.name.endswith("_total")
