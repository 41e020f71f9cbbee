"""Kinds of places: distances from a mixture, and how rare they are."""

from __future__ import annotations

import pytest
import torch

from flows.anomaly.kinds import Kinds


def averages(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(3, count, generator=generator)
    found[0, ::3] += 20
    return found


def test_one_kind_gives_mahalanobis_distances() -> None:
    found = averages(4000)
    kinds = Kinds.of([found], [3.0], kinds=1)
    centre, covariance = found.mean(dim=1, keepdim=True), found.cov()
    wanted = ((found - centre) * torch.linalg.solve(covariance, found - centre)).sum(dim=0).sqrt()
    assert torch.allclose(kinds.distances(found, 0), wanted, rtol=0.01)


def test_places_between_two_kinds_are_as_far_out_as_they_are_improbable() -> None:
    found = averages(4000)
    several, single = (Kinds.of([found], [3.0], kinds=count) for count in (4, 1))
    between = torch.tensor([[10.0], [0.0], [0.0]])
    assert float(several.rarity(between, 0)) > 3
    assert float(single.rarity(between, 0)) < 1
    shares = [float((several.rarity(averages(9000, 1), 0) >= level).double().mean()) for level in (1.0, 2.0)]
    assert shares == pytest.approx([0.1, 0.01], rel=0.35)


def test_few_places_have_fewer_kinds() -> None:
    kinds = Kinds.of([averages(200), averages(20)], [1.0, 1.0])
    assert kinds.centre.shape == (2, 2, 3)
