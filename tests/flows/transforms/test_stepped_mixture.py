"""A mixture that is flat within grey levels keeps the mass of each, and is a density with an exact inverse."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import flows
from flows import SteppedMixture, UnitMixture, noise

LEVELS = torch.arange(256, dtype=torch.float64)


def raw_of(seed: int, components: int, size: float, count: int) -> Tensor:
    """Random parameters of one density, for ``count`` entries."""
    generator = torch.Generator().manual_seed(seed)
    raw = size * torch.randn(1, UnitMixture.parameters(components), 1, dtype=torch.float64, generator=generator)
    return raw.expand(-1, -1, count)


def log_masses(mixture: SteppedMixture) -> Tensor:
    """The log-mass (256,) of every grey level."""
    return mixture.log_density((LEVELS[None] + 0.5) / 256)[0] - math.log(256)


@given(seed=st.integers(0, 2**31), components=st.integers(1, 8), size=st.floats(0.1, 30))
def test_a_level_has_the_mass_that_the_smooth_density_gives_it(seed: int, components: int, size: float) -> None:
    raw = raw_of(seed, components, size, 257)
    shares = UnitMixture(raw, components).to_latent(torch.arange(257, dtype=torch.float64)[None] / 256)[0].sigmoid()
    masses = log_masses(SteppedMixture(raw[..., :256], components)).exp()
    assert float(masses.sum()) == pytest.approx(1, abs=1e-9)
    assert torch.allclose(masses, shares[0].diff(), rtol=1e-6, atol=1e-9)


@given(seed=st.integers(0, 2**31), size=st.floats(0.1, 30), place=st.floats(0, 0.999))
def test_the_density_is_flat_within_a_level(seed: int, size: float, place: float) -> None:
    mixture = SteppedMixture(raw_of(seed, 3, size, 256), 3)
    within = mixture.log_density((LEVELS[None] + place) / 256)
    assert torch.equal(within, mixture.log_density(LEVELS[None] / 256))
    z, log_slope = mixture.to_latent((LEVELS[None] + 0.001 + 0.998 * place) / 256)
    together = flows.StandardLogistic((1,)).log_density(z) + log_slope
    assert torch.allclose(within, together, rtol=1e-9, atol=1e-9)


def test_it_is_at_least_as_likely_as_the_smooth_density_on_the_mean_over_noise() -> None:
    """Jensen's inequality: what dequantisation costs a density that is not flat."""
    generator = torch.Generator().manual_seed(0)
    raw = raw_of(1, 4, 5.0, 256 * 200)
    u = (LEVELS.repeat_interleave(200) + torch.rand(256 * 200, dtype=torch.float64, generator=generator))[None] / 256
    smooth, stepped = (
        kind(raw, 4).log_density(u).reshape(256, 200).mean(dim=1) for kind in (UnitMixture, SteppedMixture)
    )
    assert bool((stepped > smooth - 0.05).all())
    assert bool((stepped > smooth + 0.5).any()), "a mode of a sixth of a level"


@given(
    seed=st.integers(0, 2**31),
    components=st.integers(1, 8),
    size=st.floats(0.1, 15),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_inverse_gives_the_latent_again(seed: int, components: int, size: float, dtype: torch.dtype) -> None:
    """From latents and not from pixels: a level of hardly any mass has no latents of its own."""
    mixture = SteppedMixture(raw_of(seed, components, size, 500).to(dtype), components)
    shares = 0.001 + 0.998 * noise.uniform(noise.keys(seed, 1), (500,))
    z = torch.logit(shares).to(dtype)
    u, log_slope = mixture.from_latent(z)
    assert bool(((u >= 0) & (u < 1)).all())
    found, slope = mixture.to_latent(u)
    # Places are kept off the edges of levels, by 256 units in the last place of a level's mass.
    assert float((found.sigmoid() - z.sigmoid()).abs().max()) < 1024 * torch.finfo(dtype).eps
    assert float((log_slope + slope).abs().median()) < (1e-3 if dtype == torch.float32 else 1e-9)


@given(seed=st.integers(0, 2**31), components=st.integers(1, 8), size=st.floats(0.1, 10))
def test_it_draws_from_its_own_density(seed: int, components: int, size: float) -> None:
    mixture = SteppedMixture(raw_of(seed, components, size, 4000), components)
    drawn = mixture.draw(noise.uniform(noise.keys(seed, 1), (4000,)))
    shares = mixture.to_latent(drawn)[0].sigmoid()[0].sort().values  # uniform if the draws have the density
    expected = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    assert float((shares - expected).abs().max()) < 2.6 / 4000**0.5, "Kolmogorov's test at 1 in 400,000"
    within = (drawn * 256).frac()[0].sort().values
    assert float((within - expected).abs().max()) < 2.6 / 4000**0.5, "each level is filled evenly"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mixture_that_is_certain_of_black_or_white_stays_finite(dtype: torch.dtype) -> None:
    raw = torch.zeros(2, UnitMixture.parameters(2), 1, dtype=dtype)
    raw[0, 0] = raw[1, 1] = 60.0
    u = torch.tensor([0.0, 1e-30, 0.5, 255.5 / 256, 1.0], dtype=dtype).expand(2, -1)
    mixture = SteppedMixture(raw.requires_grad_(), 2)
    z, log_slope = mixture.to_latent(u)
    (gradient,) = torch.autograd.grad((z + log_slope).sum(), raw)
    assert all(bool(each.isfinite().all()) for each in (z, log_slope, gradient))
    assert bool((z.diff(dim=1) >= 0).all())
