"""The bins of live items: ties are broken at random, and stay broken the same way."""

from __future__ import annotations

import torch

import flows
from flows import anomaly
from flows.anomaly import BINS, Calibration, Martingales
from service.device.drift_series import ColumnSeries, PValueSeries, counted


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


def test_counts_are_of_each_series() -> None:
    found = counted(torch.tensor([[0, 2], [0, 15], [3, 15]]))
    assert found.shape == (2, BINS)
    assert found[0].nonzero().flatten().tolist() == [0, 3]
    assert found[0].sum() == found[1].sum() == 3
    assert found[1, 15] == 2


def test_rows_whose_cells_are_missing_given_the_others_are_ordinary() -> None:
    """y is missing where x is below 0: its present cells are large ones, and what is drawn for the others is small."""
    generator = torch.Generator().manual_seed(0)

    def rows(count: int) -> torch.Tensor:
        x = torch.randn(count, generator=generator)
        y = 3 * x + 0.3 * torch.randn(count, generator=generator)
        return torch.stack([x, torch.where(x < 0, torch.nan, y)], dim=1)

    flow = flows.build("table", (2,), {"hidden": [8], "couplings": 2, "steps": [0.0, 0.0]})
    known = rows(2000)
    flow.fit_completion(known)
    flow.initialise(flow.to_continuous(known))
    flow.eval()
    with torch.no_grad():
        series = ColumnSeries(["x", "y"], flow.to_continuous(known), flow.columns)
        martingales = Martingales(series.cells)
        for start in range(0, 1920, 64):
            martingales.update(counted(series.bins(flow.to_continuous(rows(64)), start)))
    assert float(martingales.peak.max()) < 4.6, "present cells alone had 30"
