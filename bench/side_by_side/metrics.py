"""What a running Sluice says of itself: its metrics, and the memory of its process."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import httpx


class Ticks(NamedTuple):
    """Ticks of one kind that a server has made so far."""

    count: float
    seconds: float


def ticks(address: str, kind: str) -> Ticks:
    found = httpx.get(f"{address}/metrics", timeout=30).text
    return Ticks(*(value(found, f"sluice_tick_seconds_{part}", f'kind="{kind}"') for part in ("count", "sum")))


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


def resident_bytes(process: int) -> int:
    """Memory of a process that is in RAM."""
    for line in Path(f"/proc/{process}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no resident size of process {process}")
