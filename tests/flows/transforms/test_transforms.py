"""Tests that every transform must pass, and tests of single transforms."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flows
from tests.flows.cases import TRANSFORMS, TransformCase, disturb


class Constant(torch.nn.Module):
    """A net that returns the same numbers for every row."""

    def __init__(self, output: list[float]) -> None:
        super().__init__()
        self.output = torch.tensor([output])

    def forward(self, kept: torch.Tensor) -> torch.Tensor:
        return self.output.to(kept.dtype).expand(len(kept), -1)


every_transform = pytest.mark.parametrize("case", TRANSFORMS.values(), ids=TRANSFORMS.keys())


@every_transform
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_inverse_undoes_forward(case: TransformCase, dtype: torch.dtype, tolerance: float) -> None:
    transform, x = disturb(case.make().to(dtype)), case.points().to(dtype)
    y, there = transform(x)
    back, here = transform.inverse(y)
    torch.testing.assert_close(back, x, atol=tolerance, rtol=0)
    assert there.shape == here.shape == (len(x),)
    torch.testing.assert_close(there + here, torch.zeros_like(there), atol=10 * tolerance, rtol=0)


@every_transform
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_log_determinant_is_that_of_the_jacobian(case: TransformCase, direction: str) -> None:
    transform, x = disturb(case.make().double()), case.points()
    if direction == "inverse":
        x = transform(x)[0].detach()
    apply = getattr(transform, direction)
    size = x[0].numel()
    for row, claimed in zip(x, apply(x)[1], strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: apply(v[None])[0][0], row).reshape(size, size)
        assert abs(torch.linalg.slogdet(jacobian).logabsdet - claimed) < 1e-8


@pytest.mark.parametrize("case", [case for case in TRANSFORMS.values() if list(case.make().parameters())])
def test_every_parameter_gets_a_gradient(case: TransformCase) -> None:
    transform = disturb(case.make().double())
    y, log_abs_det = transform(case.points())
    (y.square().sum() + log_abs_det.sum()).backward()
    for name, parameter in transform.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_transform
def test_a_saved_state_restores_the_map(case: TransformCase) -> None:
    transform, x = disturb(case.make().double()), case.points()
    other = case.make().double()
    other.load_state_dict(copy.deepcopy(transform.state_dict()))
    torch.testing.assert_close(other(x)[0], transform(x)[0], atol=0, rtol=0)


@every_transform
def test_an_empty_batch_passes(case: TransformCase) -> None:
    y, log_abs_det = case.make().double()(case.points()[:0])
    assert len(y) == 0
    assert log_abs_det.shape == (0,)


@pytest.mark.parametrize("dimensions", [6, 7])
def test_couplings_run_together_give_the_same_as_one_by_one(dimensions: int) -> None:
    steps = [disturb(flows.AffineCoupling(split, net)).double() for split, net in _alternating(dimensions)]
    x = torch.randn(5, dimensions, dtype=torch.float64)
    together, log_abs_det = flows.Compose(steps)(x)
    total = torch.zeros(5, dtype=torch.float64)
    for step in steps:
        x, here = step(x)
        total = total + here
    torch.testing.assert_close(together, x)
    torch.testing.assert_close(log_abs_det, total)


def _alternating(dimensions: int) -> Iterator[tuple[flows.EvenOdd, flows.MLP]]:
    for parity in (0, 1, 0, 0, 1):  # the fourth keeps what the third keeps, so the two do not continue each other
        split = flows.EvenOdd(dimensions, parity)
        yield split, flows.MLP(split.kept, [8], 2 * split.changed)


@given(levels=st.lists(st.integers(0, 255), min_size=1, max_size=30), seed=st.integers(0, 2**31))
def test_dequantising_never_changes_a_grey_level(levels: list[int], seed: int) -> None:
    items = torch.tensor([levels], dtype=torch.uint8)
    noise = torch.rand(items.shape, generator=torch.Generator().manual_seed(seed))
    for extreme in (noise, torch.zeros_like(noise), torch.full_like(noise, 1 - 2**-24), torch.ones_like(noise)):
        y, log_abs_det = flows.Dequantise()(items, extreme)
        assert bool(((y >= 0) & (y < 1)).all())
        assert torch.equal(flows.Dequantise().inverse(y)[0].to(torch.uint8), items)
        assert log_abs_det.item() == pytest.approx(-len(levels) * torch.tensor(256.0).log().item(), rel=1e-6)


def test_dequantisation_noise_differs_between_items() -> None:
    y, _ = flows.Dequantise()(torch.zeros(2, 1000, dtype=torch.uint8))
    assert not torch.equal(y[0], y[1])
    assert y.mean().item() == pytest.approx(0.5 / 256, rel=0.05)


def test_scaling_is_initialised_to_the_spread_of_the_data() -> None:
    x = torch.randn(4000, 6, dtype=torch.float64) * torch.tensor([1e-3, 0.1, 1.0, 5.0, 50.0, 0.0])
    scaling = flows.DiagonalScaling(6, target_std=2.0).double()
    scaled = scaling.initialise(x)
    torch.testing.assert_close(scaled[:, :5].std(dim=0), torch.full((5,), 2.0, dtype=torch.float64))
    assert bool(scaling.log_scale.isfinite().all()), "a constant dimension must not ask for an infinite scale"


def test_actnorm_is_initialised_to_the_unit_of_the_data() -> None:
    x = torch.randn(500, 3, 2, 2, dtype=torch.float64) * torch.tensor([1e-2, 1, 1e5])[:, None, None] + 7
    x[:, 0] = 7
    normed = flows.ActNorm(3).double().initialise(x)
    torch.testing.assert_close(normed.mean(dim=(0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(normed[:, 1:].std(dim=(0, 2, 3)), torch.ones(2, dtype=torch.float64))
    assert bool(normed.isfinite().all()), "a constant channel must not ask for an infinite scale"


@pytest.mark.parametrize("output", [0.0, 1e-30, 3.0, 1e4, -1e4, 1e30, -1e30])
def test_the_scale_of_an_affine_coupling_is_bounded_for_any_output_of_its_net(output: float) -> None:
    coupling = flows.AffineCoupling(flows.EvenOdd(2, 0), Constant([output, 0.0]))
    x = torch.tensor([[0.5, 2.0]])
    y, log_abs_det = coupling(x)
    assert abs(log_abs_det.item()) <= coupling.bound
    torch.testing.assert_close(y[0, 1], 2 * log_abs_det.exp()[0])
    torch.testing.assert_close(coupling.inverse(y)[0], x)


def test_centre_subtracts_the_mean_of_its_initial_batch() -> None:
    x = torch.randn(100, 4) + 3
    torch.testing.assert_close(flows.Centre(4).initialise(x).mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("parity", [0, 1])
@given(dimensions=st.integers(2, 9))
def test_even_odd_split_merges_back(dimensions: int, parity: int) -> None:
    split = flows.EvenOdd(dimensions, parity)
    x = torch.arange(2.0 * dimensions).reshape(2, dimensions)
    kept, changed = split(x)
    assert (kept.shape[1], changed.shape[1]) == (split.kept, split.changed)
    assert torch.equal(kept, x[:, parity::2])
    assert torch.equal(split.merge(kept, changed), x)


@pytest.mark.parametrize("parity", [0, 1])
def test_a_checkerboard_keeps_the_squares_of_one_colour(parity: int) -> None:
    x = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    split = flows.Checkerboard(3, parity)
    kept, changed = split(x)
    colour = (torch.arange(4)[:, None] + torch.arange(6)) % 2 == parity
    assert set(kept.flatten().tolist()) == set(x[..., colour].flatten().tolist())
    assert kept.shape == changed.shape == (2, 6, 2, 3)
    assert torch.equal(split.merge(kept, changed), x)


@pytest.mark.parametrize("bad", [-0.1, 1.1, 1e4, -1e4])
def test_a_logit_refuses_values_outside_the_unit_interval(bad: float) -> None:
    with pytest.raises(flows.InputOutsideDomain):
        flows.Logit()(torch.tensor([[0.5, bad]]))


def test_a_convolution_starts_as_a_rotation() -> None:
    convolution = flows.InvertibleConvolution(8).double()
    eye = torch.eye(8, dtype=torch.float64)
    matrix = convolution(eye)[0]
    torch.testing.assert_close(matrix @ matrix.T, eye, atol=1e-5, rtol=0)
    convolution.order.copy_(torch.zeros(8))
    torch.testing.assert_close(convolution.inverse(convolution(eye)[0])[0], eye)


def test_autocast_does_not_change_the_precision_of_latents() -> None:
    convolution, x = flows.InvertibleConvolution(4), torch.randn(2, 4, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = convolution(x)
        back, _ = convolution.inverse(y)
    assert y.dtype == back.dtype == torch.float32
    torch.testing.assert_close(back, x, atol=1e-5, rtol=0)


def test_wrong_shapes_are_typed_errors() -> None:
    with pytest.raises(flows.ShapeMismatch, match="even sides"):
        flows.Squeeze()(torch.zeros(1, 1, 3, 4))
    with pytest.raises(flows.ShapeMismatch):
        flows.Checkerboard(2, 0)(torch.zeros(1, 3, 4, 4))
    with pytest.raises(flows.ShapeMismatch):
        flows.Halves(4, 0)(torch.zeros(1, 3, 4, 4))
    with pytest.raises(flows.ShapeMismatch):
        flows.Halves(1, 0)
    with pytest.raises(flows.ShapeMismatch):
        flows.InvertibleConvolution(4)(torch.zeros(1, 3, 2, 2))
    with pytest.raises(flows.ShapeMismatch, match=r"\(B, 4\)"):
        flows.MultiScale([flows.Compose([])], [(1, 2, 2)]).inverse(torch.zeros(1, 5))
    with pytest.raises(flows.ShapeMismatch, match=r"\(B, 6\)"):
        flows.EvenOdd(6, 0)(torch.zeros(2, 5))
    with pytest.raises(flows.ShapeMismatch):
        flows.EvenOdd(1, 0)
    with pytest.raises(flows.ShapeMismatch, match=r"\(2, 3\)"):
        flows.Flatten((2, 3))(torch.zeros(1, 3, 2))
