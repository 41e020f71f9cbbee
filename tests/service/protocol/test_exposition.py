"""Prometheus' text of several devices as one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.protocol.exposition import merged
from tests.service.helpers import sample_of


def exposition(value: float) -> bytes:
    registry = CollectorRegistry()
    Gauge("plain", "No label", registry=registry).set(value)
    Counter("labelled", "One label, with\nodd characters", ["kind"], registry=registry).labels('a "b"} c').inc(value)
    Gauge("info", "Has the label itself", ["model", "device", "prior"], registry=registry).labels("m", "cpu", "p").set(
        1
    )
    Gauge("last", "Has it as the only one", ["device"], registry=registry).labels("cpu").set(value)
    Histogram("seconds", "Several series", registry=registry, buckets=(1,)).observe(value)
    return generate_latest(registry)


def test_every_series_bears_its_device_and_every_family_stands_once() -> None:
    text = merged({"cuda:0": exposition(2), "cuda:1": exposition(3)}).decode()
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert {"plain", "labelled", "info", "last", "seconds"} <= set(names)
    assert all(sample.labels["device"] in ("cuda:0", "cuda:1") for family in families for sample in family.samples)
    assert sample_of(text, "plain", device="cuda:1") == 3
    assert sample_of(text, "labelled_total", kind='a "b"} c', device="cuda:0") == 2
    assert sample_of(text, "info", model="m", prior="p", device="cuda:0") == 1
    assert sample_of(text, "last", device="cuda:1") == 3
    assert sample_of(text, "seconds_bucket", le="+Inf", device="cuda:0") == 1


def test_a_family_that_one_device_lacks_is_told_for_the_others() -> None:
    text = merged({"a": b"# TYPE x gauge\nx 1.0\n", "b": b"# TYPE x gauge\nx 2.0\n# TYPE y gauge\ny 1.0\n"}).decode()
    assert text == '# TYPE x gauge\nx{device="a"} 1.0\nx{device="b"} 2.0\n# TYPE y gauge\ny{device="b"} 1.0\n'
    assert merged({}) == b""


def test_a_family_without_series_is_not_taken_for_a_part_of_the_next() -> None:
    empty = b"# HELP x X\n# TYPE x counter\n"
    full = empty + b'x{kind="k"} 1.0\n'
    last = b"# HELP y Y\n# TYPE y gauge\ny 2.0\n"
    text = merged({"a": empty + last, "b": full + last}, "replica").decode()
    assert text == (
        '# HELP x X\n# TYPE x counter\nx{replica="b",kind="k"} 1.0\n'
        '# HELP y Y\n# TYPE y gauge\ny{replica="a"} 2.0\ny{replica="b"} 2.0\n'
    )
