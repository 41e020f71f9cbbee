"""What is measured of which table, in which order. A module of its own, since other processes load it by its name."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.tables.ours import measured, measured_with_gaps

_LARGE = 400
"""Ordinary rows from which on a table is left out with missing cells: each row is completed in many ways."""
_LARGEST = 10_000
"""Ordinary rows from which on a table gets ``_FEW`` splits only: each takes minutes."""
_FEW, SPLITS = 2, 20
_CONTRIBUTIONS = 2
"""Splits of a table of which contributions are measured."""
_GAPS = (0.02, 0.10, 0.30)
"""Shares of missing cells; on the first split of tables that are not large."""


Job = tuple[str, np.ndarray, np.ndarray, int, float | None, float]
"""Table, ordinary and anomalous rows, split, the share of missing cells or None, and when to begin nothing more."""


def jobs_of(rows: Mapping[str, np.ndarray], names: list[str], splits: int, until: float) -> Iterator[Job]:
    """What is to be measured: first one split of every table, then gaps, then further splits in turns.

    Where it is stopped, tables have had as many splits as each other, or one more.
    """
    sizes = sorted(names, key=lambda name: len(rows[f"{name}/ordinary"]))
    small = [name for name in sizes if len(rows[f"{name}/ordinary"]) <= _LARGE]
    wanted: list[tuple[str, int, float | None]] = [(name, 0, None) for name in sizes]
    wanted += [(name, 0, share) for name in small for share in _GAPS]
    wanted += [
        (name, seed, None)
        for seed in range(1, splits)
        for name in sizes
        if len(rows[f"{name}/ordinary"]) < _LARGEST or seed < min(splits, _FEW)
    ]
    for name, seed, share in wanted:
        yield name, rows[f"{name}/ordinary"], rows[f"{name}/anomalous"], seed, share, until


def done(job: Job) -> dict[str, Any] | None:
    """What was measured; None when the time was over before."""
    name, ordinary, anomalous, seed, share, until = job
    if time.time() > until:
        return None
    if share is not None:
        return measured_with_gaps(name, ordinary, anomalous, seed, share)
    return measured(name, ordinary, anomalous, seed, seed < _CONTRIBUTIONS)
