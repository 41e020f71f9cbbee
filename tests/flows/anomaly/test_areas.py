"""Scores of places, averaged over areas."""

from __future__ import annotations

import torch

from flows.anomaly.areas import over_areas


def test_each_doubling_of_an_area_weighs_about_the_same() -> None:
    whole = torch.zeros(64, 64)
    gains = []
    for side in (8, 16, 32):
        before = over_areas(whole)
        whole[:side, :side] = 1.0
        gains.append(float(over_areas(whole) - before))
    assert abs(gains[1] - gains[2]) < 0.03 < 0.2 < min(gains)


def test_where_places_lie_does_not_matter_and_equal_ones_are_their_own_mean() -> None:
    scores = torch.rand(20, 30, generator=torch.Generator().manual_seed(0))
    mixed = scores.flatten()[torch.randperm(600, generator=torch.Generator().manual_seed(1))].reshape(30, 20)
    assert torch.equal(over_areas(scores), over_areas(mixed))
    assert scores.mean() < over_areas(scores) < scores.max()
    assert torch.allclose(over_areas(torch.full((5, 7), 2.5)), torch.tensor(2.5).double())
