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


def test_the_density_alone_is_that_of_latent_and_slope_together() -> None:
    raw = 3 * torch.randn(1, UnitMixture.parameters(4), 1, dtype=torch.float64)
    mixture, u = UnitMixture(raw, 4), torch.linspace(0, 1, 1001, dtype=torch.float64)[None]
    z, log_slope = mixture.to_latent(u)
    together = flows.StandardLogistic((1,)).log_density(z) + log_slope
    assert torch.allclose(mixture.log_density(u), together, rtol=1e-9, atol=1e-9)


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


@given(
    seed=st.integers(0, 2**31),
    components=st.integers(1, 8),
    size=st.floats(0.1, 15),
    farthest=st.sampled_from([7.0, 30.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_inverse_of_a_mixture_agrees_with_bisection(
    seed: int, components: int, size: float, farthest: float, dtype: torch.dtype
) -> None:
    """To 1e-6 where float64 tells latents apart; float32 latents as well as they determine u.

    Sizes up to 15 give components between 0.15 of a grey level and the whole interval, and weights down to e^-60.
    """
    generator = torch.Generator().manual_seed(seed)
    raw = size * torch.randn(8, UnitMixture.parameters(components), 1, dtype=torch.float64, generator=generator)
    z = (farthest * (2 * torch.rand(8, 60, dtype=torch.float64, generator=generator) - 1)).to(dtype)
    raw = raw.to(dtype)
    exact = UnitMixture(raw.double().expand(-1, -1, 60), components)
    u, log_slope = UnitMixture(raw.expand(-1, -1, 60), components).from_latent(z)
    # A few roundings of F, or of 1 - F, whose logarithms z holds.
    noise_of_z = 32 * torch.finfo(dtype).eps * (1 + z.double().abs())
    lowest, highest = (bisect(exact, z.double() + side * noise_of_z) for side in (-1, 1))
    assert bool((u >= lowest - 1e-6).all())
    assert bool((u <= highest + 1e-6).all())
    assert bool(log_slope.isfinite().all())


def bisect(mixture: UnitMixture, z: torch.Tensor) -> torch.Tensor:
    """The inverse by bisection of ``to_latent``, float64."""
    low, high = torch.zeros_like(z), torch.ones_like(z)
    for _ in range(52):
        middle = (low + high) / 2
        too_low = mixture.to_latent(middle)[0] < z
        low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
    return (low + high) / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_slope_of_the_inverse_is_that_of_the_map(dtype: torch.dtype) -> None:
    raw = 3 * torch.randn(20, UnitMixture.parameters(8), 1, dtype=dtype, generator=torch.Generator().manual_seed(0))
    mixture = UnitMixture(raw.expand(-1, -1, 200), 8)
    u, log_slope = mixture.from_latent(torch.linspace(-6, 6, 200, dtype=dtype).expand(20, -1))
    difference = log_slope + mixture.to_latent(u)[1]
    # The narrowest component changes by a factor of e within 6e-4, so by 2e-4 within the last place of u.
    assert float(difference.abs().max()) < (2e-3 if dtype == torch.float32 else 1e-9)
    assert float(difference.abs().mean()) < (1e-5 if dtype == torch.float32 else 1e-12)


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
