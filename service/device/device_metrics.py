"""What Prometheus reads of the device: ticks, rows, items, models, memory, restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

Readings = Iterable[tuple[Sequence[str], float]]
"""Values of a gauge's labels, and its value there."""


class DeviceMetrics:
    """The registry of one device. Two devices in one process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._queue_wait_seconds = self._histogram(
            "queue_wait_seconds", "From a job's submission to its rows' first tick", _SECONDS, "kind"
        )
        self._tick_seconds = self._histogram("tick_seconds", "Length of a tick", _SECONDS, "kind")
        self._tick_rows = self._histogram("tick_rows", "Rows of a tick's batch", _ROWS, "kind")
        self._work = self._counter("item_ticks", "Work done, in the unit of the queue", "kind", "model")
        self._ticks = self._counter("model_ticks", "Ticks", "kind", "model")
        self._computing = self._counter("model_tick_seconds", "Seconds in ticks", "kind", "model")
        self._jobs = self._counter("model_jobs", "Jobs whose rows have had their first tick", "kind", "model")
        self._waiting = self._counter("model_queue_seconds", "Seconds that these jobs waited for it", "kind", "model")
        self.out_of_memory = self._counter("out_of_memory", "Ticks that had to be halved")
        self.restarts = self._counter("device_restarts", "Device processes that died or hung and were replaced")
        self.load_failures = self._counter("model_load_failures", "Versions refused when they were loaded")

        # To look a series up by its labels takes longer than to count in it.
        self._of_ticks = lru_cache(maxsize=256)(self._find_tick_series)
        self._of_waits = lru_cache(maxsize=256)(self._find_wait_series)

    def tick(self, kind: str, model: str, rows: int, work: int, seconds: float) -> None:
        """Count one tick, and its work in item-ticks."""
        tick_seconds, tick_rows, item_ticks, ticks, computing = self._of_ticks(kind, model)
        ticks.inc()
        computing.inc(seconds)
        tick_seconds.observe(seconds)
        tick_rows.observe(rows)
        item_ticks.inc(work)

    def waited(self, kind: str, model: str, seconds: float) -> None:
        """Count one job's time in the queue."""
        wait_seconds, jobs, waiting = self._of_waits(kind, model)
        wait_seconds.observe(seconds)
        jobs.inc()
        waiting.inc(seconds)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A gauge that asks for its value when it is read."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def watch_each(self, name: str, meaning: str, labels: Sequence[str], readings: Callable[[], Readings]) -> None:
        """A gauge that asks for its labels and values when it is read."""
        self.registry.register(_Watched(name, meaning, labels, readings))

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)

    def _find_tick_series(self, kind: str, model: str) -> tuple[Histogram, Histogram, Counter, Counter, Counter]:
        return (
            self._tick_seconds.labels(kind),
            self._tick_rows.labels(kind),
            self._work.labels(kind, model),
            self._ticks.labels(kind, model),
            self._computing.labels(kind, model),
        )

    def _find_wait_series(self, kind: str, model: str) -> tuple[Histogram, Counter, Counter]:
        return self._queue_wait_seconds.labels(kind), self._jobs.labels(kind, model), self._waiting.labels(kind, model)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"sluice_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"sluice_{name}", meaning, labels, buckets=buckets, registry=self.registry)


class _Watched(Collector):
    def __init__(self, name: str, meaning: str, labels: Sequence[str], readings: Callable[[], Readings]) -> None:
        self._name, self._meaning, self._labels, self._readings = name, meaning, labels, readings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._meaning, labels=self._labels)
        for values, reading in self._readings():
            family.add_metric(values, reading)
        yield family
