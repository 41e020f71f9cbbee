"""At the limits of floating point a flow gives finite values or a typed error, never NaN."""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import flows
from flows import Flow
from tests.flows.cases import EXTREMES, FLOWS, TRANSFORMS, FlowCase, TransformCase, disturb, extremes

every_flow = pytest.mark.parametrize("case", FLOWS.values(), ids=FLOWS.keys())
every_transform = pytest.mark.parametrize("case", TRANSFORMS.values(), ids=TRANSFORMS.keys())
both_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
values = st.sampled_from(EXTREMES) | st.floats(-1, 1) | st.floats(min(EXTREMES), max(EXTREMES))


def assert_finite(*tensors: Tensor) -> None:
    for tensor in tensors:
        assert bool(tensor.isfinite().all())


@torch.no_grad()
def assert_finite_or_typed(flow: Flow, items: Tensor, latents: Tensor) -> None:
    """log_prob and encode of each item (N, *item_shape) by itself, and decode of latents (N, *prior.shape)."""
    for item in items.split(1):
        with contextlib.suppress(flows.InputOutsideDomain):
            assert_finite(*flow.encode(item), flow.log_prob(item))
    assert_finite(*flow.decode(latents))


@every_transform
@both_precisions
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_a_transform_stays_finite(case: TransformCase, dtype: torch.dtype, direction: str) -> None:
    transform, x = disturb(case.make().to(dtype)), case.points().to(dtype)
    points = x if direction == "forward" else transform(x)[0]
    for row in extremes(*points.shape[1:]).to(dtype):
        with contextlib.suppress(flows.InputOutsideDomain):
            assert_finite(*getattr(transform, direction)(row[None]))


@every_flow
@both_precisions
def test_a_flow_stays_finite(case: FlowCase, dtype: torch.dtype) -> None:
    flow = disturb(case.make().to(dtype))
    assert_finite_or_typed(flow, extremes(*case.item_shape).to(dtype), extremes(*flow.prior.shape).to(dtype))


@every_flow
@both_precisions
def test_a_flow_stays_finite_at_any_combination_of_extremes(case: FlowCase, dtype: torch.dtype) -> None:
    flow = disturb(case.make().to(dtype))
    slow = case.architecture == "lattice"  # it decodes by bisection

    @settings(max_examples=3 if slow else 20)
    @given(drawn=st.lists(values, min_size=1, max_size=7))
    def check(drawn: list[float]) -> None:
        repeated = torch.tensor(drawn, dtype=dtype)[torch.arange(flow.dimensions) % len(drawn)]
        assert_finite_or_typed(flow, repeated.reshape(1, *case.item_shape), repeated.reshape(1, *flow.prior.shape))

    check()


@every_flow
@both_precisions
def test_gradients_stay_finite(case: FlowCase, dtype: torch.dtype) -> None:
    """Otherwise one such item in a batch would spoil the weights, and one such pixel an inpainting."""
    flow = disturb(case.make().to(dtype))
    for item in extremes(*case.item_shape).to(dtype).split(1):
        x = item.clone().requires_grad_()
        with contextlib.suppress(flows.InputOutsideDomain):
            assert_finite(*torch.autograd.grad(flow.log_prob(x).sum(), [x, *flow.parameters()]))


@every_flow
@both_precisions
@pytest.mark.parametrize("start", ["zeros", "all-equal", "one-item"])
def test_initialising_from_constant_items_gives_finite_values(case: FlowCase, dtype: torch.dtype, start: str) -> None:
    flow, points = case.make().to(dtype), case.points().to(dtype)
    batch = {"zeros": torch.zeros_like(points), "all-equal": torch.full_like(points, 0.7), "one-item": points[:1]}
    flow.initialise(batch[start])
    assert_finite(*flow.state_dict().values(), flow.log_prob(batch[start]))
    assert_finite_or_typed(flow, extremes(*case.item_shape).to(dtype), extremes(*flow.prior.shape).to(dtype))


@pytest.mark.parametrize("case", [case for case in FLOWS.values() if not case.make().is_image])
@pytest.mark.parametrize("beyond", [1e30, 3e38, -3e38, math.inf, math.nan])
def test_a_row_that_overflows_leaves_its_neighbours_unchanged(case: FlowCase, beyond: float) -> None:
    flow, x = disturb(case.make()), case.points().float()
    alone = flow.log_prob(x)
    x[2] = beyond
    together = flow.log_prob(x)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(together[others], alone[others])
    assert not together[2] > alone.min(), "what lies beyond is never the likeliest"
