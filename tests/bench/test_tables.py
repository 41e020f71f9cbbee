"""The splits and figures of the benchmark on tables."""

from __future__ import annotations

import numpy as np
import pytest

from bench.tables.figures import pooled_band, report
from bench.tables.splits import auroc, split, swapped


def line(table: str, seed: int, **figures: float) -> dict[str, object]:
    ours = {"auroc": 0.9, "auroc_score": 0.91, "auroc_likelihood": 0.88, "seconds": 2.0, "rows": 50, "columns": 3}
    alarms = {"0.1": 10, "0.05": 5, "0.01": 0}
    return {"table": table, "seed": seed, "calibration": 50, "tested": 100, "alarms": alarms, **ours, **figures}


def test_auroc_counts_ties_half() -> None:
    assert auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == pytest.approx(0.875)


def test_a_split_trains_on_half_of_the_ordinary_rows_standardised() -> None:
    rows = np.random.default_rng(0).normal(5, 2, size=(100, 2))
    found = split(rows, rows[:10], seed=1)
    assert (len(found.train), len(found.ordinary), len(found.anomalous)) == (50, 50, 10)
    assert found.train.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)


def test_one_cell_of_each_row_is_that_of_another_row() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 5))
    damaged, columns = swapped(rows, seed=0)
    assert ((damaged != rows).sum(axis=1) == 1).all()
    assert (damaged != rows).argmax(axis=1).tolist() == columns.tolist()


def test_an_alpha_that_cannot_be_reached_counts_in_no_pooled_share() -> None:
    figures = "\n".join(
        report(
            [line("iris", 0), line("iris", 1, calibration=200)],
            [{"table": "iris", "seed": 0, "auroc": {"kNN": 0.8}}],
        )
    )
    assert "| 0.10 | 2 | 200 | 0.1000 |" in figures
    assert "| 0.01 | 1 | 100 | 0.0000 |" in figures
    assert "| iris | 50 | 3 | 1 | **0.900** | 0.880 | 0.800 |" in figures


def test_the_pooled_band_of_one_large_split_is_nearly_binomial() -> None:
    band = pooled_band([(1_000_000, 10_000)], 0.05)
    assert band.low == pytest.approx(0.0445, abs=5e-4)
    assert band.high == pytest.approx(0.0557, abs=5e-4)
