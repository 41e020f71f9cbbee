"""Standardising and whitening: their effect on data, and that the density stays that of the data."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import flows
from tests.conftest import Digits


@pytest.fixture
def correlated() -> Tensor:
    """(4000, 6) float64: correlated columns with tiny to large spreads, and means far from zero."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator, dtype=torch.float64) * torch.logspace(-2, 1, 6, dtype=torch.float64)
    return torch.randn(4000, 6, generator=generator, dtype=torch.float64) @ mixing + 5


def _covariance(x: Tensor) -> Tensor:
    return torch.cov(x.T, correction=0)


def test_standardised_columns_have_mean_zero_and_deviation_one(correlated: Tensor) -> None:
    y = flows.Standardise(6).double().initialise(correlated * 1e-7)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(6, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(y.std(dim=0, correction=0), torch.ones(6, dtype=torch.float64))


def test_a_constant_column_is_only_centred() -> None:
    y = flows.Standardise(2).initialise(torch.tensor([[3.0, 1.0], [3.0, 2.0]]))
    assert y.equal(torch.tensor([[0.0, -1.0], [0.0, 1.0]]))


def test_whitened_data_have_the_identity_as_covariance(correlated: Tensor) -> None:
    y = flows.Whitening(6).double().initialise(correlated)
    torch.testing.assert_close(_covariance(y), torch.eye(6, dtype=torch.float64), atol=1e-2, rtol=0)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(6, dtype=torch.float64), atol=1e-9, rtol=0)


def test_zca_is_symmetric_and_positive_definite(correlated: Tensor) -> None:
    whitening = flows.Whitening(6).double()
    whitening.initialise(correlated)
    matrix = whitening(torch.eye(6, dtype=torch.float64) + whitening.mean)[0]
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0


def test_approximate_whitening_whitens_the_leading_directions_and_keeps_the_rest_in_proportion(
    correlated: Tensor,
) -> None:
    y = flows.Whitening(6, components=2).double().initialise(correlated)
    before, after = (torch.linalg.eigvalsh(_covariance(x)) for x in (correlated, y))
    assert float(after.sum()) == pytest.approx(6, rel=1e-3), "on the average every direction has variance one"
    rest = before[:4] / before[:4].mean()
    remaining = torch.sort(torch.cat([rest, torch.ones(2, dtype=torch.float64)])).values
    torch.testing.assert_close(after, remaining, atol=1e-3, rtol=1e-3)


@given(st.integers(1, 6), st.floats(1e-4, 1e4))
def test_a_normal_density_is_exact_in_data_units_whatever_their_scale(components: int, scale: float) -> None:
    """With full whitening, normal data have the log-density of the normal distribution fitted to them."""
    generator = torch.Generator().manual_seed(components)
    x = scale * torch.randn(500, components + 1, generator=generator, dtype=torch.float64)
    x[:, 0] += x[:, 1]
    whitening = flows.Whitening(components + 1).double()
    whitening.initialise(x)
    y, log_abs_det = whitening(x)
    claimed = flows.StandardNormal((components + 1,)).log_prob(y) + log_abs_det
    fitted = torch.distributions.MultivariateNormal(x.mean(dim=0), _covariance(x))
    torch.testing.assert_close(claimed, fitted.log_prob(x), atol=1e-3, rtol=1e-5)


def test_robust_whitening_of_heavy_tailed_data_is_nearer_to_that_of_all_such_data() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    contrasts = torch.randn(300, 1, generator=generator, dtype=torch.float64).mul(1.5).exp()
    x = contrasts * torch.randn(300, 20, generator=generator, dtype=torch.float64) @ mixing
    errors = []
    for robust in (False, True):
        whitening = flows.Whitening(20, robust=robust).double()
        whitening.initialise(x)
        matrix, log_abs_det = whitening.matrix()
        assert float(torch.linalg.slogdet(matrix).logabsdet) == pytest.approx(float(log_abs_det))
        left = mixing @ matrix
        covariance = left.T @ left
        logs = torch.linalg.eigvalsh(covariance).log()
        errors.append(float((logs - logs.mean()).square().mean()))  # all equal but for a common scale: 0
    assert errors[1] < errors[0] / 2


def test_more_components_than_dimensions_are_refused() -> None:
    for components in (0, 7):
        with pytest.raises(flows.ShapeMismatch):
            flows.Whitening(6, components)


@pytest.mark.parametrize("robust", [False, True])
def test_whitening_constant_data_gives_finite_values(robust: bool) -> None:
    y = flows.Whitening(3, robust=robust).initialise(torch.ones(10, 3))
    assert bool(y.isfinite().all())


def test_autocast_does_not_change_the_precision_of_whitening(digits: Digits) -> None:
    x = digits.train.float().flatten(1) / 256 + torch.rand(1000, 784) / 256
    whitening = flows.Whitening(784)
    whitening.initialise(x)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = whitening(x)
    assert y.dtype == torch.float32
    assert y.equal(whitening(x)[0])


@pytest.mark.parametrize("whitening", ["none", "zca", "approximate"])
def test_whitening_lowers_the_bits_of_real_digits_and_loses_no_log_determinant(digits: Digits, whitening: str) -> None:
    """A linear flow is a normal distribution fitted to the digits: its bits per dimension can be had without a flow."""
    flow = flows.build("nice", (28, 28), {"hidden": [4], "prior": "normal", "whitening": whitening}).double()
    x = flow.to_continuous(digits.train)
    flow.initialise(x)
    with torch.no_grad():
        bits = flows.bits_per_dim(flow.log_prob(x).mean(), flow.dimensions)
    covariance = _covariance(x.flatten(1))
    entropy = (784 * (1 + math.log(2 * math.pi)) + torch.logdet(covariance)) / 2
    independent = (784 * (1 + math.log(2 * math.pi)) + covariance.diagonal().log().sum()) / 2
    expected = {"zca": -entropy, "none": -independent}
    if whitening in expected:
        assert float(bits) == pytest.approx(float(flows.bits_per_dim(expected[whitening], 784)), abs=1e-3)
    else:
        assert flows.bits_per_dim(-entropy, 784) < bits < flows.bits_per_dim(-independent, 784)


def test_the_papers_cifar10_figure_is_448_bits_where_pixels_span_minus_one_to_one() -> None:
    """5371.78 nats are of the density over [-1, 1], whose volume is 2^D times that of [0, 1] (NICE, section 5.1)."""
    dimensions = 32 * 32 * 3
    over_unit_cube = 5371.78 + dimensions * math.log(2)
    assert over_unit_cube == pytest.approx(7501.13, abs=0.01)
    assert flows.bits_per_dim(over_unit_cube, dimensions) == pytest.approx(4.48, abs=0.005)
    # The same figure computed directly: 256 levels over [-1, 1] are 1/128 apart.
    assert math.log2(128) - 5371.78 / (dimensions * math.log(2)) == pytest.approx(4.48, abs=0.005)


def test_a_flow_over_minus_one_to_one_has_the_bits_of_the_same_flow_over_zero_to_one() -> None:
    x = torch.rand(50, 6, dtype=torch.float64)
    inner = flows.Whitening(6).double()
    prior = flows.StandardNormal((6,))
    inner.initialise(x)
    y, log_abs_det = inner(x)
    nats = (prior.log_prob(y) + log_abs_det).mean()

    outer = flows.Whitening(6).double()
    outer.initialise(2 * x - 1)
    y, log_abs_det = outer(2 * x - 1)
    stretched = (prior.log_prob(y) + log_abs_det).mean()
    assert float(stretched + 6 * math.log(2)) == pytest.approx(float(nats), abs=1e-9)
    bits = float(flows.bits_per_dim(stretched, 6, levels=128))
    assert float(flows.bits_per_dim(nats, 6)) == pytest.approx(bits, abs=1e-9)
