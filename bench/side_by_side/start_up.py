"""How long the service takes to start with the store that ships, and what loading costs the requests meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from bench.serving import started, wait_until_loaded, wait_until_ready
from bench.side_by_side import payloads
from bench.side_by_side.load import drive
from bench.side_by_side.published_model import digits
from bench.side_by_side.report import Row
from model_store import Store, default_root

_READY, _ALL = 4.0, 10.0
"""Seconds."""
_SLOWER = 1.5
"""Times the p50 of a score that nothing is loaded beside."""
_SECONDS = 3.0
"""Of one measurement: about what the other models take to load."""
_WARM_UP = 15.0
"""Seconds after the last model was loaded in which larger batches are warmed up: at most one for each model."""
_STARTS = 3
"""Starts whose median counts, after a first one that fills the caches of files."""


class Start(NamedTuple):
    """Seconds from the command until it was ready with the default model, and until it listed all models."""

    ready: float
    all_models: float


def rows() -> Iterator[Row]:
    """Start the service several times, each time in new processes."""
    store = Store(default_root())
    first, *later = [measure(store) for _ in range(_STARTS + 1)]
    default, count = store.default_name(), len(store.names())
    yield _row(f"start: ready with the default model (`{default}`)", _READY, first.ready, [s.ready for s in later])
    yield _row(f"start: all {count} models that ship", _ALL, first.all_models, [s.all_models for s in later])
    yield beside_loading(store)


def measure(store: Store) -> Start:
    """Start the service once on a store."""
    names, default = store.names(), store.default_name()
    began = time.perf_counter()
    with started(store.root, drain_delay="0") as (process, address):
        wait_until_ready(process, address)
        wait_until_loaded(process, address, (default,))
        ready = time.perf_counter() - began
        wait_until_loaded(process, address, names)
        return Start(ready, time.perf_counter() - began)


def beside_loading(store: Store) -> Row:
    """Scores of the default model, one at a time, while the other models load and when all is done."""
    request = payloads.picture("/score?seed=0", digits()[1][0])
    with started(store.root, drain_delay="0") as (process, address):
        wait_until_ready(process, address)
        wait_until_loaded(process, address, (store.default_name(),))
        beside = drive(address, request, 1, _SECONDS).p50_ms
        wait_until_loaded(process, address, store.names())
        time.sleep(_WARM_UP)
        alone = drive(address, request, 1, _SECONDS).p50_ms
    times = beside / alone
    return Row(
        "`/score` p50, one PNG, while the other models load",
        f"{_SLOWER} times that without loading",
        f"{times:.2f} times: {beside:.1f} ms, {alone:.1f} ms",
        times <= _SLOWER,
    )


def _row(work: str, allowed: float, first: float, later: Sequence[float]) -> Row:
    reached = median(later)
    told = f"{reached:.1f} s, median of {len(later)}; the first start took {first:.1f} s"
    return Row(work, f"{allowed:.0f} s", told, reached <= allowed)
