"""What Prometheus reads of drift: histograms of p-values, and the evidence of the martingales."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.anomaly import LEVELS
from model_store import LoadedModel
from service.device.drift import DriftWatch


class DriftMetrics(Collector):
    """The series of every model that is served and has been scored. The key is empty for all requests together."""

    def __init__(self, watch: DriftWatch, models: Callable[[], Sequence[LoadedModel]]) -> None:
        self._watch, self._models = watch, models

    def collect(self) -> Iterator[Metric]:
        p_values = HistogramMetricFamily(
            "sluice_p_values",
            "Combined p-values of scored items; ordinary ones are uniform",
            labels=("model", "key"),
        )
        evidence = GaugeMetricFamily(
            "sluice_drift_log10_evidence",
            "log10 of a test martingale: items drawn as the calibrating ones reach 2 with probability 0.01 at most",
            labels=("model", "key", "series", "name"),
        )
        for model, key, watch in self._watch.each(self._models()):
            below = watch.below.tolist()
            ends = [*map(str, LEVELS), "+Inf"]
            p_values.add_metric((model, key), list(zip(ends, below, strict=True)), sum_value=watch.sum)
            evidence.add_metric((model, key, "overall", ""), watch.log10_evidence())
            for series, value in watch.evidence_by_series():
                evidence.add_metric((model, key, series.sort, series.name), value)
        yield p_values
        yield evidence
