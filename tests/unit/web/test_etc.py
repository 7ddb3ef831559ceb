"""The examples under etc/ and the manual name metrics that exist, and the manual names them all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.snapshot import HaStatus, NodeStatus
from daemon.web.figures import OF_ASTERISK, OF_BROKER, OF_CLUSTER, OF_NODE
from daemon.web.metrics import Metrics
from tests.unit.web.house import House

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "etc/grafana/arimonitor.json"
RULES = ROOT / "etc/prometheus/arimonitor.rules.yml"


def existing() -> set[str]:
    house = House(endpoints={"voip3": {"online": 1}})
    for figure in OF_ASTERISK:
        house.counters[f"asterisk.voip3.{figure.key}"] = 1
    for figure in OF_BROKER:
        house.counters[f"broker.main.br.{figure.key}"] = 1
    house.change(
        ha=HaStatus("zookeeper", True, "A", lease_left_s=3.0, nodes=(NodeStatus("A", True, "auto", 1),))
    )
    for figure in (*OF_NODE, *OF_CLUSTER):
        house.counters[figure.key] = 1
    text = Metrics(house.sources).text().decode()
    families = list(text_string_to_metric_families(text))
    return {sample.name for family in families for sample in family.samples} | {
        f"{family.name}_total" if family.type == "counter" else family.name for family in families
    }


@pytest.mark.parametrize("path", [DASHBOARD, RULES])
def test_what_is_asked_for_exists(path: Path) -> None:
    asked = set(re.findall(r"\b(?:arimonitor|process)_[a-z0-9_]+\b", path.read_text(encoding="utf-8")))
    assert len(asked) > 8
    assert asked <= existing()


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in places
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def test_the_manual_names_every_metric() -> None:
    manual = (ROOT / "docs/http.md").read_text(encoding="utf-8")
    names = {name for name in existing() if name.startswith("arimonitor_")}
    said = set(re.findall(r"arimonitor_[a-z0-9_]+[a-z0-9]", manual))
    for stem, ends in {
        "arimonitor_messages": ("_returned_total", "_nacked_total", "_resent_total"),
        "arimonitor_hub_lag": ("_p99_seconds", "_max_seconds"),
    }.items():
        said |= {stem + end for end in ends}
    histogram = {name for name in names if re.search(r"_duration_seconds_(bucket|count|sum)$", name)}
    assert names - histogram - said - {"arimonitor_build"} == set()
