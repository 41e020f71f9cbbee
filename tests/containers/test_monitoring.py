"""What Grafana and Prometheus are given, as far as it can be judged without them."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from tests.containers.stack import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "docker/grafana/dashboards/sluice.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = (ROOT / "docker/prometheus/rules.yml").read_text()
RULE_TESTS = (ROOT / "tests/containers/rules_test.yml").read_text()
DATASOURCE = (ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text()

ALERTS = re.findall(r"- alert: (\w+)", RULES)
RECORDINGS = re.findall(r"- record: (\S+)", RULES)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(alert: str) -> None:
    assert re.search(rf"- alertname: {alert}\n +eval_time: \w+\n +exp_alerts:", RULE_TESTS)
    assert re.search(rf"{{alertname: {alert}, eval_time: \w+}}", RULE_TESTS)


@pytest.mark.parametrize("topic", ["Traffic", "Latency", "Batching", "Queue", "Anomalies", "Models and device"])
def test_the_dashboard_has_a_row_for(topic: str) -> None:
    assert topic in [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_asks_the_provisioned_source(panel: dict[str, Any]) -> None:
    assert f"uid: {panel['datasource']['uid']}\n" in DATASOURCE
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_every_recorded_name_on_the_dashboard_is_recorded() -> None:
    expressions = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    assert set(re.findall(r"sluice:\w+:\w+", expressions)) <= set(RECORDINGS)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in itertools.combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])
