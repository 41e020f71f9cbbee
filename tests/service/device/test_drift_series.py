"""The bins of live items: ties are broken at random, and stay broken the same way."""

from __future__ import annotations

import torch

from flows import anomaly
from flows.anomaly import BINS, Calibration, Martingales
from service.device.drift_series import PValueSeries, counted


def coarse(count: int, seed: int) -> torch.Tensor:
    """Statistics (count, 2) of few different values: most items tie with many calibrating ones."""
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed)).mul(2).round().div(2).double()


TESTS = [anomaly.Test("first", ("first",)), anomaly.Test("second", ("second",))]


def test_items_that_tie_with_calibrating_ones_are_ordinary() -> None:
    calibration = Calibration.of(TESTS, coarse(300, 0), coarse(500, 1))
    series = PValueSeries(calibration)
    martingales = Martingales(series.cells)
    ranks = calibration.judge(coarse(3200, 2)).ranks
    tied = ranks[..., 1] - ranks[..., 0]
    assert float((tied > 20).double().mean()) > 0.5
    for start in range(0, 3200, 64):
        martingales.update(counted(series.bins(ranks[start : start + 64], start)))
    assert float(martingales.peak.max()) < 4.6
    # Every bin is reached: without tie-breaking, p-values have a few values only.
    assert bool((martingales.counts > 0).all())


def test_a_bin_follows_from_the_item_and_its_number_alone() -> None:
    calibration = Calibration.of(TESTS, coarse(300, 0), coarse(500, 1))
    series, ranks = PValueSeries(calibration), calibration.judge(coarse(100, 2)).ranks
    whole = series.bins(ranks, 7)
    parts = torch.cat([series.bins(ranks[:30], 7), series.bins(ranks[30:], 37)])
    assert torch.equal(whole, parts)
    assert torch.equal(whole, PValueSeries(calibration).bins(ranks, 7))


def test_counts_are_of_each_series_and_leave_out_what_belongs_to_no_bin() -> None:
    found = counted(torch.tensor([[0, -1], [0, 15], [3, 15]]))
    assert found.shape == (2, BINS)
    assert found[0].nonzero().flatten().tolist() == [0, 3]
    assert found[0].sum() == 3
    assert found[1, 15] == found[1].sum() == 2
