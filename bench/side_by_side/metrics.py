"""What a running Sluice says of itself in its metrics."""

from __future__ import annotations

from typing import NamedTuple

import httpx


class Ticks(NamedTuple):
    """Ticks of one kind that a server has made so far."""

    number: float
    seconds: float
    rows: float
    """Of all their batches, without what these are filled up with."""


def ticks(address: str, kind: str) -> Ticks:
    found = httpx.get(f"{address}/metrics", timeout=30).text
    series = ("tick_seconds_count", "tick_seconds_sum", "tick_rows_sum")
    return Ticks(*(value(found, f"sluice_{name}", f'kind="{kind}"') for name in series))


def queued(address: str) -> float:
    """Requests that hold a place in the queue."""
    return value(httpx.get(f"{address}/metrics", timeout=30).text, "sluice_queue_jobs")


def value(exposition: str, name: str, label: str = "") -> float:
    """Of the series with a name and a label in Prometheus's text format; 0 where there is none yet."""
    for line in exposition.splitlines():
        series, _, number = line.rpartition(" ")
        if series.partition("{")[0] == name and label in series:
            return float(number)
    return 0.0
