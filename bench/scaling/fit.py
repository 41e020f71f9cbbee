"""The costs that explain what several loads took.

Answers of one tick come to an api process together, which wakes once for all of them: it takes a + b / rows CPU
seconds for a request, and so does the load generator. A device takes a + b rows + c i for a tick, with i the share of
the time in which it was idle: it must be woken then, and its caches are cold. How far the requests of the lightest
load take longer or shorter than most is the machine's noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from bench.scaling.costs import Costs

_MAX_ROWS = 256
_DELAYS = 200
"""Quantiles that stand for all."""


class Load(NamedTuple):
    """What one load took."""

    rate: float
    """Requests a second."""
    api: float
    """CPU seconds of the api process for a request."""
    client: float
    """CPU seconds of the load generator for a request."""
    tick: float
    """CPU seconds of the device process for a tick: all that it does, and not its computing alone."""
    rows: float
    """Of a tick, in the mean."""
    took: Sequence[float]
    """Seconds of each request."""


def costs_of(loads: Sequence[Load]) -> Costs:
    """The costs behind loads of one process each, the lightest first. Raises ValueError for fewer than three."""
    if len(loads) < 3:
        raise ValueError("two loads cannot tell what waking costs from what rows cost")
    ones, rows = np.ones(len(loads)), np.asarray([each.rows for each in loads])
    tick = np.asarray([each.tick for each in loads])
    idle = np.clip(1 - tick * [each.rate for each in loads] / rows, 0, 1)
    api, api_tick = _fitted([each.api for each in loads], ones, 1 / rows)
    client, client_tick = _fitted([each.client for each in loads], ones, 1 / rows)
    base, row, wake = _fitted(tick, ones, rows, idle)
    alone = np.asarray(loads[0].took)
    quantiles = np.quantile(alone, (np.arange(_DELAYS) + 0.5) / _DELAYS)
    return Costs(
        api_before=api * 2 / 3,
        api_after=api / 3,
        api_item=api / 10,
        device=0.0,
        ticks={"score": {1: base + row, _MAX_ROWS: base + row * _MAX_ROWS}},
        max_rows=_MAX_ROWS,
        client=client,
        api_tick=api_tick,
        client_tick=client_tick,
        device_wake=wake,
        delays=tuple((quantiles - np.median(alone)).tolist()),
    )


def _fitted(took: Sequence[float] | np.ndarray, *columns: np.ndarray) -> list[float]:
    """The factors of the columns whose sum explains ``took`` with the least relative error; none is negative."""
    goal = np.asarray(took)
    factors, _ = nnls(np.stack(columns, axis=1) / goal[:, None], np.ones_like(goal))
    found: list[float] = factors.tolist()
    return found
