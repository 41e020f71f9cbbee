"""A mixture of normal distributions: densities, conditionals, and how many components it takes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from flows.anomaly import Mixture, Neighbours
from flows.anomaly.neighbours import likeliest_shrinkage, shrunk_covariance


def rows_of(count: int, clusters: int = 1, seed: int = 0) -> Tensor:
    """Rows of two columns in other units, in clusters that lie apart."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.randint(clusters, (count, 1), generator=generator)
    first = torch.randn(count, 1, generator=generator) + 10 * place
    second = first + 0.1 * torch.randn(count, 1, generator=generator) - 20 * place
    return torch.cat([1000 * first, 5 + second], dim=1)


@pytest.mark.parametrize("clusters", [1, 2])
def test_it_has_as_many_components_as_the_rows_have_clusters(clusters: int) -> None:
    assert len(Mixture.of(rows_of(300, clusters)).means) == clusters


def test_the_density_is_that_of_a_normal_distribution_in_the_units_of_the_rows() -> None:
    rows = rows_of(2000)
    mean, covariance = rows.double().mean(dim=0), torch.cov(rows.double().T, correction=0)
    expected = torch.distributions.MultivariateNormal(mean, covariance).log_prob(rows.double())
    found = Mixture.of(rows).log_density(rows)
    assert float((found - expected).mean()) == pytest.approx(0, abs=0.1)


def test_a_column_is_expected_where_the_others_put_it() -> None:
    mixture = Mixture.of(rows_of(500, clusters=2))
    mean, std = mixture.conditional(torch.tensor([[0.0, 99.0], [10_000.0, 99.0]]))
    assert mean[:, 1].tolist() == pytest.approx([5, -5], abs=0.5)
    assert (std[:, 1] < 0.5).all()


def test_a_point_has_the_same_density_alone_and_among_others() -> None:
    mixture, points = Mixture.of(rows_of(300)), rows_of(64, seed=1)
    together = mixture.log_density(points)
    alone = torch.cat([mixture.log_density(point.expand(32, 2))[:1] for point in points])
    assert torch.equal(together, alone)


def test_fewer_rows_than_columns_give_a_density() -> None:
    rows = torch.randn(12, 40, generator=torch.Generator().manual_seed(0))
    assert bool(Mixture.of(rows).log_density(rows).isfinite().all())


def test_columns_that_depend_on_each_other_are_shrunk_less_than_independent_ones() -> None:
    free = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    bound = free[:, :1] + 0.05 * free
    assert likeliest_shrinkage(bound) < 0.02 < 0.2 < likeliest_shrinkage(free)
    standard = (free - free.mean(dim=0)).double()
    covariance = standard.T @ standard / len(standard)
    assert torch.allclose(shrunk_covariance(standard, 0.0), covariance)


def test_a_column_in_a_very_large_unit_tells_as_much_as_in_a_small_one() -> None:
    rows = rows_of(200).double()
    far = rows[:1] * torch.tensor([1.0, 3.0])
    small = torch.tensor([1.0, 1e-15])
    for scale in (torch.ones(2), small):
        assert float(Neighbours((rows * scale).float()).distances((far * scale).float())[0]) > 5
    change = Mixture.of(rows.float()).log_density(far) - Mixture.of((rows * small).float()).log_density(far * small)
    assert float(change) == pytest.approx(math.log(1e-15), abs=0.01)
