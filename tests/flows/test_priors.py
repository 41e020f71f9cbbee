"""The priors are densities, and their quantiles are the inverse of their distribution functions."""

from __future__ import annotations

import pytest
import torch

from flows.priors import PRIORS, Prior

every_prior = pytest.mark.parametrize("kind", PRIORS.values(), ids=PRIORS.keys())


@every_prior
def test_density_integrates_to_one_with_the_stated_deviation(kind: type[Prior]) -> None:
    z = torch.linspace(-60, 60, 200_001, dtype=torch.float64)
    density = kind((1,)).log_density(z).exp()
    assert torch.trapezoid(density, z).item() == pytest.approx(1, abs=1e-9)
    assert torch.trapezoid(density * z.square(), z).sqrt().item() == pytest.approx(kind.std, abs=1e-9)


@every_prior
def test_quantile_inverts_the_distribution(kind: type[Prior]) -> None:
    prior = kind((1,))
    u = torch.tensor([0.01, 0.3, 0.5, 0.9], dtype=torch.float64)
    z = torch.linspace(-60, 60, 200_001, dtype=torch.float64)
    distribution = torch.cumulative_trapezoid(prior.log_density(z).exp(), z)
    index = torch.searchsorted(z, prior.quantile(u))
    torch.testing.assert_close(distribution[index], u, atol=1e-3, rtol=0)


@every_prior
@pytest.mark.parametrize("extreme", [1e4, -1e4, 1e30, 0.0, 1e-30])
def test_extreme_latents_stay_finite_or_minus_infinite_never_nan(kind: type[Prior], extreme: float) -> None:
    log_prob = kind((1,)).log_prob(torch.tensor([[extreme]]))
    assert not bool(log_prob.isnan().any())
    assert log_prob.item() < 0


@every_prior
def test_samples_follow_the_generator_and_have_the_right_deviation(kind: type[Prior]) -> None:
    prior = kind((3,))
    z = prior.sample(50_000, torch.Generator().manual_seed(1))
    assert z.shape == (50_000, 3)
    assert z.std().item() == pytest.approx(kind.std, rel=0.01)
    assert torch.equal(prior.sample(10, torch.Generator().manual_seed(1)), z[:10])
