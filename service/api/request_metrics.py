"""What Prometheus reads of the api processes: requests, their times, refusals, scored items.

Where the supervisor set PROMETHEUS_MULTIPROC_DIR, the counts of all api processes lie in files there, and whichever
process is asked tells the totals of all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.samples import Sample

from service.api.metric_files import use_allocated_files
from service.api.tallies import Tallies, Tally

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PHASES = ("success", "fail", "input", "output")
SHARED = "PROMETHEUS_MULTIPROC_DIR"


class FunctionCounts(NamedTuple):
    """What is counted of one function of a model: calls, their seconds by phase, items, the latest call."""

    successes: Tally
    failures: Tally
    success_seconds: Tally
    fail_seconds: Tally
    input_seconds: Tally
    output_seconds: Tally
    items: Tally
    last: Tally
    """Notes the time of the latest call, to a tenth of a second."""

    def succeeded(self, items: int, reading: float, writing: float, seconds: float) -> None:
        """Count an answered call: its items, the seconds before the device was asked and after, and all of them."""
        self.successes.add()
        self.success_seconds.add(seconds)
        self.input_seconds.add(reading)
        self.output_seconds.add(writing)
        self.items.add(items)
        self.last.add()

    def failed(self, seconds: float) -> None:
        """Count a call that ended in a problem, or whose client left."""
        self.failures.add()
        self.fail_seconds.add(seconds)


class RequestMetrics:
    """The registry of one application. Two applications in one process do not collide."""

    def __init__(self) -> None:
        if SHARED in os.environ:
            use_allocated_files()
        self._registry = CollectorRegistry()
        self._tallies = Tallies()
        self.requests = self._counter("requests", "Answered requests; 499 is a client that left", "route", "status")
        self._seconds = Histogram(
            "sluice_request_seconds",
            "From the request's headers to its last byte",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        in_flight = Gauge(
            "sluice_requests_in_flight",
            "Requests being answered",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.in_flight = self._tallies.of(in_flight.inc)
        self.rejected = self._counter("rejected", "Requests refused for want of room or of a model", "reason")
        self.cancelled = self._counter("cancelled", "Requests given up before their answer", "reason")
        self._scored_items = self._counter("scored_items", "Items that got a score", "model")
        self._anomalous = self._counter("anomalous_items", "Scored items whose p-value was at most alpha", "model")
        self._promised = self._counter(
            "promised_alarms", "The sum of alpha over scored items: what would be flagged if all were ordinary", "model"
        )
        self.of_keys = self._counter(
            "key_requests", "Answered requests by the API key that they showed", "key", "status"
        )
        function = ("model", "function")
        self._inferences = self._counter("inferences", "Calls of a model's functions under /v2", *function, "outcome")
        self._inference_seconds = self._counter(
            "inference_seconds", "Seconds of these calls; input and output are parts of success", *function, "phase"
        )
        self._inference_items = self._counter("inference_items", "Items of these calls that were answered", *function)
        self._last_inference = Gauge(
            "sluice_last_inference_timestamp_seconds",
            "When such a call was last answered",
            function,
            registry=self._registry,
            multiprocess_mode="max",
        )
        self.functions = lru_cache(maxsize=512)(self._function_of)
        self.scored = lru_cache(maxsize=512)(self._scored_of)
        self._children = lru_cache(maxsize=512)(self._children_of)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        count, time = self._children(route, status)
        count.add()
        time.observe(seconds)

    def exposition(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._totals())

    def samples(self) -> Iterator[Sample]:
        """Every count of all api processes."""
        for family in self._totals().collect():
            yield from family.samples

    def _totals(self) -> CollectorRegistry:
        self._tallies.flush()
        if SHARED not in os.environ:
            return self._registry
        totals = CollectorRegistry()
        MultiProcessCollector(totals)  # type: ignore[no-untyped-call]
        return totals

    def _function_of(self, model: str, function: str) -> FunctionCounts:
        """The counts of one function of a model."""
        seconds = (self._inference_seconds.labels(model, function, phase) for phase in _PHASES)
        success, fail, reading, writing = (self._tallies.of(child.inc) for child in seconds)
        last = self._last_inference.labels(model, function)
        return FunctionCounts(
            self._tallies.of(self._inferences.labels(model, function, "success").inc),
            self._tallies.of(self._inferences.labels(model, function, "fail").inc),
            success,
            fail,
            reading,
            writing,
            self._tallies.of(self._inference_items.labels(model, function).inc),
            self._tallies.of(lambda _: last.set(time.time())),
        )

    def _scored_of(self, model: str) -> tuple[Tally, Tally, Tally]:
        """The counts of a model's scored items, of the anomalous ones among them, and of the alarms promised."""
        children = (counter.labels(model) for counter in (self._scored_items, self._anomalous, self._promised))
        scored, anomalous, promised = (self._tallies.of(child.inc) for child in children)
        return scored, anomalous, promised

    def _children_of(self, route: str, status: int) -> tuple[Tally, Histogram]:
        return self._tallies.of(self.requests.labels(route, str(status)).inc), self._seconds.labels(route)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"sluice_{name}", meaning, labels, registry=self._registry)
