"""Each method ends where it should, on a flow whose conditional is a known Gaussian."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import flows
from flows import inpainting, noise
from tests.flows.inpainting.gaussian import (
    DIMENSIONS,
    HIDDEN,
    begin,
    conditional,
    gaussian,
    inpaint,
    rows,
)

OPTIMISERS = ["ascent", "map", "latent"]


@pytest.mark.parametrize("method", OPTIMISERS)
@pytest.mark.parametrize("image", [False, True])
def test_an_ascent_ends_at_the_mean_of_a_gaussian_conditional(method: str, image: bool) -> None:
    flow = gaussian(image)
    x, hidden, keys = rows(flow, 3)
    mean, covariance = conditional(flow, x[0])
    climb = inpaint(flow, x, hidden, keys, method=method, steps=400)
    error = (climb.result()[hidden].reshape(3, -1) - mean).abs() / covariance.diagonal().sqrt()
    assert error.max() < 0.03
    assert (climb.best_log_prob >= flow.log_prob(x)).all()


def test_langevin_draws_have_the_mean_and_the_variance_of_the_conditional() -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 4000)
    mean, covariance = conditional(flow, x[0])
    climb = inpaint(flow, x, hidden, keys, method="langevin", steps=120)
    draws = climb.result()[hidden].reshape(4000, -1)
    spread = covariance.diagonal().sqrt()
    assert ((draws.mean(dim=0) - mean).abs() < 4 * spread / math.sqrt(4000)).all()
    assert torch.allclose(draws.T.cov(), covariance, atol=0.1 * float(spread.max()) ** 2)
    assert 0.4 < climb.acceptance.mean() < 0.75


@pytest.mark.parametrize("temperature", [0.25, 2.0])
def test_temperature_multiplies_the_variance_of_langevin_draws(temperature: float) -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 3000)
    _, covariance = conditional(flow, x[0])
    climb = inpaint(flow, x, hidden, keys, method="langevin", steps=120, temperature=temperature)
    variance = climb.result()[hidden].reshape(3000, -1).var(dim=0)
    assert torch.allclose(variance, temperature * covariance.diagonal(), rtol=0.12)


def test_langevin_draws_of_an_image_follow_the_conditional_within_its_bounds() -> None:
    flow = gaussian(image=True)
    x, _, keys = rows(flow, 4000)
    _, centre, *_ = flow.transforms
    assert isinstance(centre, flows.Centre)
    with torch.no_grad():
        centre.mean.fill_(0.03)
    x.fill_(0.03)  # so that the conditional of the hidden pixel, a tenth wide, is cut in two by the bound at 0
    hidden = torch.zeros_like(x, dtype=torch.bool)
    hidden[:, 0, 0] = True
    levels = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    grid = x[:1].repeat(2000, 1, 1)
    grid[:, 0, 0] = levels
    weights = flow.log_prob(grid).detach().softmax(dim=0)
    mean = (weights * levels).sum()
    deviation = (weights * (levels - mean) ** 2).sum().sqrt()
    draws = inpaint(flow, x, hidden, keys, method="langevin", steps=120).result()[:, 0, 0]
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - mean) < 4 * deviation / math.sqrt(4000)
    assert abs(draws.std() / deviation - 1) < 0.06


@settings(max_examples=25, deadline=None)
@given(mask=st.lists(st.booleans(), min_size=DIMENSIONS, max_size=DIMENSIONS), seed=st.integers(0, 2**63))
def test_with_any_mask_known_entries_stay_and_the_likelihood_never_falls(mask: list[bool], seed: int) -> None:
    flow = gaussian(image=True)
    x = rows(flow, 1)[0]
    hidden = torch.tensor(mask).reshape(x.shape)
    climb = inpaint(flow, x, hidden, noise.keys(seed, 1), steps=10)
    assert torch.equal(climb.result()[~hidden], x[~hidden])
    assert climb.best_log_prob >= climb.start_log_prob
    assert torch.allclose(flow.log_prob(climb.result()), climb.best_log_prob)


@pytest.mark.parametrize("method", ["ascent", "map"])
def test_with_everything_hidden_the_ascent_ends_at_the_mode_of_the_flow(method: str) -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    result = inpaint(flow, torch.full_like(x, torch.nan), torch.ones_like(hidden), keys, method=method).result()
    mode = flow.decode(torch.zeros(2, DIMENSIONS, dtype=torch.float64))[0]
    assert torch.allclose(result, mode, atol=0.02)


@pytest.mark.parametrize("method", ["ascent", "map"])
def test_an_ascent_stops_early_when_nothing_is_left_to_gain(method: str) -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    climb = inpaint(flow, x, hidden, keys, method=method, steps=2000)
    assert climb.converged.all()
    assert (climb.step < 2000).all()
    mean, covariance = conditional(flow, x[0])
    assert ((climb.result()[0][HIDDEN] - mean).abs() < 0.05 * covariance.diagonal().sqrt()).all()


def test_the_method_nice_computes_the_formula_of_the_paper() -> None:
    flow = gaussian(image=True)
    x, hidden, keys = rows(flow, 2)
    before = begin(flow, x, hidden, keys, method="nice", steps=3, step_size=1e-3)
    after = inpainting.step(flow, before)
    point = before.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(flow.log_prob(point).sum(), point)
    draws = noise.normal(noise.derive(keys, 0), x.shape[1:])
    expected = torch.where(hidden, (before.x + 1e-3 * 0.1 * (gradient + draws)).clamp(0, 1), x)
    assert torch.allclose(after.x, expected)


def test_on_a_stiff_flow_the_raw_ascent_diverges_and_the_preconditioned_one_does_not() -> None:
    flow = gaussian(image=True, stretch=5.0)  # curvatures up to (10 e^5)^2, about 2e6
    x, hidden, keys = rows(flow, 4)
    raw = inpaint(flow, x, hidden, keys, method="nice")
    default = inpaint(flow, x, hidden, keys)
    assert (default.best_log_prob >= flow.log_prob(x)).all()
    assert (raw.log_prob < flow.log_prob(x) - 1000).all()


def test_at_temperature_zero_the_ascent_is_not_random() -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    result = inpaint(flow, x, hidden, keys, steps=20, temperature=0.0).result()
    assert torch.equal(result[0], result[1])


@pytest.mark.parametrize("unit", [1e-22, 1e-12, 1e12, 1e22])
@pytest.mark.parametrize("method", ["ascent", "map", "langevin"])
def test_a_vector_in_any_unit_is_filled_in(method: str, unit: float) -> None:
    def filled(unit: float) -> float:
        generator = torch.Generator().manual_seed(0)
        first, second = torch.randn(2, 500, generator=generator)
        flow = flows.table((2,), hidden=[8], coupling="additive").eval()
        flow.initialise(torch.stack([first, 2 * first + 0.1 * second], dim=1) * unit)
        flow.requires_grad_(False)
        climb = inpainting.start(
            flow,
            torch.tensor([[1.0, 0.0]]) * unit,
            torch.tensor([[False, True]]),
            noise.keys(0, 1),
            survey=inpainting.survey(flow),
            method=method,
            steps=100,
        )
        for _ in range(100):
            climb = inpainting.step(flow, climb)
        return float(climb.result()[0, 1]) / unit

    assert filled(unit) == pytest.approx(2, abs=0.3)
    assert filled(unit) == pytest.approx(filled(1.0), abs=0.05)


def test_the_scale_of_a_vector_changes_nothing() -> None:
    flow, large = gaussian(), gaussian()
    _, centre, *couplings, scaling = large.transforms
    assert isinstance(centre, flows.Centre)
    assert isinstance(scaling, flows.DiagonalScaling)
    with torch.no_grad():
        scaling.log_scale.sub_(math.log(1000))
        for coupling in couplings:
            assert isinstance(coupling, flows.AdditiveCoupling)
            assert isinstance(coupling.net, nn.Linear)
            coupling.net.bias.mul_(1000)
        centre.mean.mul_(1000)
    x, hidden, keys = rows(flow, 2)
    small = inpaint(flow, x, hidden, keys, steps=60)
    scaled = inpaint(large, 1000 * x, hidden, keys, steps=60)
    assert torch.allclose(scaled.result(), 1000 * small.result(), rtol=1e-4)
