"""A spline coupling is a monotone bijection of the line for any output of its net and any latent."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import flows

BINS = 4
RAW = flows.SplineCoupling.parameters_of(BINS)
outputs = st.lists(st.floats(-1e4, 1e4) | st.floats(-3, 3), min_size=RAW, max_size=RAW)


class Constant(nn.Module):
    """A net that returns the same numbers for every row."""

    def __init__(self, raw: list[float], dtype: torch.dtype) -> None:
        super().__init__()
        self.raw = torch.tensor([raw], dtype=dtype)

    def forward(self, kept: Tensor) -> Tensor:
        return self.raw.expand(len(kept), -1)


def coupling(raw: list[float], dtype: torch.dtype = torch.float64) -> flows.SplineCoupling:
    return flows.SplineCoupling(flows.EvenOdd(2, 0), Constant(raw, dtype), BINS)


def rows(values: Tensor) -> Tensor:
    """Values (N,) as the changed entry of vectors (N, 2)."""
    return torch.stack([torch.zeros_like(values), values], dim=1)


@given(raw=outputs, x=st.lists(st.floats(-6, 6), min_size=2, max_size=20))
def test_a_spline_is_monotone_and_invertible(raw: list[float], x: list[float]) -> None:
    points = torch.tensor(sorted(x), dtype=torch.float64)
    spline = coupling(raw)
    y, there = spline(rows(points))
    assert bool((y[:, 1].diff() >= -1e-12).all())
    back, here = spline.inverse(y)
    torch.testing.assert_close(back[:, 1], points, atol=1e-6, rtol=0)
    torch.testing.assert_close(there, -here, atol=1e-4, rtol=0)


@given(raw=outputs, z=st.floats(-6, 6) | st.sampled_from([-4.0, 4.0, math.nextafter(4.0, 0), math.nextafter(-4.0, 0)]))
def test_sampling_never_fails_in_single_precision(raw: list[float], z: float) -> None:
    spline = coupling(raw, torch.float32)
    for direction in (spline, spline.inverse):
        y, log_abs_det = direction(rows(torch.tensor([z])))
        assert bool(y.isfinite().all())
        assert bool(log_abs_det.isfinite().all())
        assert y[0, 1].abs() <= max(spline.bound, abs(z))


@given(raw=outputs)
def test_gradients_of_the_inverse_are_finite(raw: list[float]) -> None:
    spline = coupling(raw)
    z = torch.linspace(-5, 5, 41, dtype=torch.float64, requires_grad=True)
    x, log_abs_det = spline.inverse(rows(z))
    (x.sum() + log_abs_det.sum()).backward()
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())


def test_the_gradient_is_that_of_the_curve() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(12, 2, dtype=torch.float64, generator=generator)
    raw = torch.randn(12, 2 * RAW, dtype=torch.float64, generator=generator)
    spline = coupling([0.0] * RAW)
    assert torch.autograd.gradcheck(spline.couple, (x.requires_grad_(), raw.requires_grad_()))


def test_a_spline_is_the_identity_outside_its_domain() -> None:
    spline = coupling([3.0] * RAW, torch.float32)
    x = rows(torch.tensor([-1e30, -4.0, 4.0, 1e4]))
    for direction in (spline, spline.inverse):
        y, log_abs_det = direction(x)
        assert torch.equal(y, x)
        assert torch.equal(log_abs_det, torch.zeros(4))


def test_a_row_that_is_not_finite_leaves_its_neighbours_unchanged() -> None:
    spline = coupling([1.0, -1.0] * (RAW // 2) + [0.5], torch.float32)
    y, _ = spline(rows(torch.tensor([math.nan, 0.5])))
    assert y[0, 1].isnan()
    assert torch.equal(y[1], spline(rows(torch.tensor([0.5])))[0][0])


@pytest.mark.parametrize("bins", [1, 2, 20])
def test_a_net_that_returns_zeros_gives_the_identity(bins: int) -> None:
    split = flows.EvenOdd(4, 1)
    spline = flows.SplineCoupling(split, flows.MLP(2, [8], 2 * flows.SplineCoupling.parameters_of(bins)), bins)
    x = 3 * torch.randn(50, 4)
    y, log_abs_det = spline(x)
    torch.testing.assert_close(y, x, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_abs_det, torch.zeros(50), atol=1e-5, rtol=0)
