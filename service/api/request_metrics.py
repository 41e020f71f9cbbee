"""What Prometheus reads of the api processes: requests, their times, refusals, scored items.

Where the supervisor set PROMETHEUS_MULTIPROC_DIR, the counts of all api processes lie in files there, and whichever
process is asked tells the totals of all.
"""

from __future__ import annotations

import os
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SHARED = "PROMETHEUS_MULTIPROC_DIR"


class RequestMetrics:
    """The registry of one application. Two applications in one process do not collide."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("requests", "Answered requests; 499 is a client that left", "route", "status")
        self._seconds = Histogram(
            "sluice_request_seconds",
            "From the request's headers to its last byte",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "sluice_requests_in_flight",
            "Requests being answered",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.rejected = self._counter("rejected", "Requests refused for want of room or of a model", "reason")
        self.cancelled = self._counter("cancelled", "Requests given up before their answer", "reason")
        self.scored_items = self._counter("scored_items", "Items that got a score", "model")
        self.anomalous_items = self._counter("anomalous_items", "Scored items whose p-value was at most alpha", "model")
        self._children = lru_cache(maxsize=512)(self._children_of)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        count, time = self._children(route, status)
        count.inc()
        time.observe(seconds)

    def exposition(self) -> bytes:
        """In Prometheus' text format."""
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        totals = CollectorRegistry()
        MultiProcessCollector(totals)  # type: ignore[no-untyped-call]
        return generate_latest(totals)

    def _children_of(self, route: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(route, str(status)), self._seconds.labels(route)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"sluice_{name}", meaning, labels, registry=self._registry)
