"""The page of the metrics, from the registries of an api process and of a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from docs.generate.markdown import Table, code
from service.api.request_metrics import RequestMetrics
from service.device.loop import DeviceLoop
from service.settings import Settings

HEAD = """\
# Metrics

`GET /metrics` answers in Prometheus' text format. Whichever api process is asked gives the totals of all api processes,
and the metrics of all devices; where there are several devices, the label `device` tells them apart. A counter is read
with the suffix `_total`, a histogram with `_bucket`, `_sum` and `_count`. Alerts and a dashboard are in
[docker](../docker.md#monitoring).

"""
_STATES = (
    ("sluice_ready", "", "1 while ready"),
    ("sluice_device_up", "device", "1 while the device process answers"),
)
"""Gauges that `GET /metrics` adds itself: name, label and meaning. A test holds them against a service that runs."""


def page() -> str:
    """The page as Markdown."""
    requests, device = RequestMetrics(), DeviceLoop(Settings(device="cpu")).metrics
    states = Table("metric", "type", "labels", "meaning")
    for name, label, meaning in _STATES:
        states.row(code(name), "gauge", code(label), meaning)
    parts = [HEAD, "## State\n\n", states.text(), "\n"]
    for title, registry in (("Requests", requests._registry), ("Devices", device.registry)):
        parts += [f"## {title}\n\n", _table(registry), "\n"]
    return "".join(parts).rstrip() + "\n"


def _table(registry: CollectorRegistry) -> str:
    table = Table("metric", "type", "labels", "meaning")
    for collector in dict.fromkeys(registry._collector_to_names):
        for name, kind, labels, meaning in _facts(collector):
            suffix = "_total" if kind == "counter" else ""
            table.row(code(name + suffix), kind, ", ".join(code(label) for label in labels), meaning)
    return table.text()


def _facts(collector: Any) -> Iterator[tuple[str, str, Sequence[str], str]]:
    """Name, type, labels and meaning of a metric of prometheus_client, or of each that a collector makes when read."""
    if hasattr(collector, "_documentation"):
        yield collector._name, collector._type, collector._labelnames, collector._documentation
    else:
        for family in collector.collect():
            yield family.name, family.type, family._labelnames, family.documentation
