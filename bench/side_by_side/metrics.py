"""What a running Sluice exposes in its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bench.serving import NO_KEY, get


class Ticks(NamedTuple):
    """Ticks of one kind that a server has made so far; ``rows`` are those of all batches, without padding rows."""

    total: float
    seconds: float
    rows: float


def ticks(address: str, kind: str) -> Ticks:
    """The ticks of a kind: score, sample, inpaint."""
    found = _exposition(address)
    series = ("tick_seconds_count", "tick_seconds_sum", "tick_rows_sum")
    return Ticks(*(value(found, f"sluice_{name}", f'kind="{kind}"') for name in series))


def queued(address: str, headers: Mapping[str, str] = NO_KEY) -> float:
    """Requests that hold a place in the queue. ``headers`` show the key, where the server has keys."""
    return value(_exposition(address, headers), "sluice_queue_jobs")


def value(exposition: str, name: str, label: str = "") -> float:
    """The sum of all series with a name and a label in Prometheus's text format; 0 where there is none yet."""
    total = 0.0
    for line in exposition.splitlines():
        series, _, number = line.rpartition(" ")
        if series.partition("{")[0] == name and label in series:
            total += float(number)
    return total


def _exposition(address: str, headers: Mapping[str, str] = NO_KEY) -> str:
    status, body = get(address, "/metrics", timeout=30, headers=headers)
    if status != 200:
        raise RuntimeError(f"GET /metrics answered {status}")
    return body.decode()
