"""A mixture of logistics on the unit interval is a density with an exact inverse and exact draws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flows
from flows import UnitMixture, noise


@given(seed=st.integers(0, 2**31), components=st.integers(1, 8), size=st.floats(0.1, 1e4))
def test_a_mixture_is_a_density_for_any_parameters(seed: int, components: int, size: float) -> None:
    """Its distribution function rises from 0 to 1 and the density is its slope."""
    generator = torch.Generator().manual_seed(seed)
    raw = size * torch.randn(1, UnitMixture.parameters(components), 1, dtype=torch.float64, generator=generator)
    mixture = UnitMixture(raw, components)
    # Random points: a component may be so narrow that sums over a grid would miss it.
    u = torch.rand(4000, dtype=torch.float64, generator=generator).sort().values[None]
    z, log_slope = mixture.to_latent(u)
    assert bool(z.isfinite().all())
    assert bool(log_slope.isfinite().all())
    assert bool((z.diff() >= -1e-9).all())
    low, high = (mixture.to_latent(torch.tensor([[end]], dtype=torch.float64))[0].item() for end in (0.0, 1.0))
    assert low < -20
    assert high > 20


def test_a_mixture_integrates_to_one() -> None:
    raw = torch.randn(1, UnitMixture.parameters(4), 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = (torch.arange(1_000_000, dtype=torch.float64) + 0.5)[None] / 1_000_000
    z, log_slope = UnitMixture(raw, 4).to_latent(u)
    density = (flows.StandardLogistic((1,)).log_density(z) + log_slope).exp()
    assert density.mean().item() == pytest.approx(1, abs=1e-4)


@given(seed=st.integers(0, 2**31), size=st.floats(0.1, 30), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_inverse_of_a_mixture_is_exact_to_the_last_place_at_both_ends(
    seed: int, size: float, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    raw = (size * torch.randn(1, UnitMixture.parameters(4), 1, dtype=torch.float64, generator=generator)).to(dtype)
    mixture = UnitMixture(raw.expand(-1, -1, 500), 4)
    # Farther out, the u of a latent may lie between 1 and the largest float below it.
    shares = 0.001 + 0.998 * torch.rand(500, dtype=torch.float64, generator=generator)
    z = torch.logit(shares).to(dtype)[None]
    u, _ = mixture.from_latent(z)
    eps = torch.finfo(dtype).eps
    rounding = 64 * eps * (1 + z.abs())
    below, above = (mixture.to_latent((u + side * eps).clamp(0, 1))[0] for side in (-8, 8))
    assert bool((below <= z + rounding).all())
    assert bool((above >= z - rounding).all())


@given(seed=st.integers(0, 2**31), components=st.integers(1, 8), size=st.floats(0.1, 10))
def test_a_mixture_draws_from_its_own_density(seed: int, components: int, size: float) -> None:
    raw = torch.randn(1, UnitMixture.parameters(components), 1, generator=torch.Generator().manual_seed(seed))
    mixture = UnitMixture((size * raw).double().expand(-1, -1, 4000), components)
    uniform = noise.uniform(noise.keys(seed, 1), (4000,))
    levels = (
        mixture.to_latent(mixture.draw(uniform))[0].sigmoid()[0].sort().values
    )  # F(u) is uniform if u has the density
    expected = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    assert float((levels - expected).abs().max()) < 2.6 / 4000**0.5, "Kolmogorov's test at 1 in 400,000"
