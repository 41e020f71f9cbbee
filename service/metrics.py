"""What Prometheus reads. Each service keeps a registry of its own, so that two in one process do not collide."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of requests at the door and of ticks on the device."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "sluice_requests",
            "Answered requests; 499 is a client that left",
            ("route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "sluice_request_seconds",
            "From the request's headers to its last byte",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("sluice_requests_in_flight", "Requests being answered", registry=self.registry)
        self._tick_seconds = self._histogram("sluice_tick_seconds", "Length of a tick", _SECONDS)
        self._tick_rows = self._histogram("sluice_tick_rows", "Rows of a tick's batch", _ROWS)
        self._rows = Counter("sluice_item_ticks", "Rows times ticks", ("kind", "model"), registry=self.registry)
        self.out_of_memory = Counter("sluice_out_of_memory", "Ticks that had to be halved", registry=self.registry)

    def tick(self, kind: str, model: str, rows: int, seconds: float) -> None:
        self._tick_seconds.labels(kind).observe(seconds)
        self._tick_rows.labels(kind).observe(rows)
        self._rows.labels(kind, model).inc(rows)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A gauge that asks for its value when it is read."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, meaning, ("kind",), buckets=buckets, registry=self.registry)
