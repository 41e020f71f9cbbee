"""A flow with bfloat16 nets is exact, nearly the same flow, and gives a row the same result in any batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import flows
from flows import Flow, inpainting, noise
from flows.nets import Net
from flows.nets.packed import PackedLinear
from flows.nets.precision import exact_float32, with_bfloat16_nets
from tests.flows.cases import disturb

ARCHITECTURES: dict[str, dict[str, object]] = {
    "nice": {"hidden": [40, 40]},
    "lattice": {"width": 8, "blocks": 1, "components": 3},
    "lattice-joint": {"width": 8, "blocks": 1, "components": 3, "joint": True},
    "lattice-stepped": {"width": 8, "blocks": 1, "components": 3, "joint": True, "stepped": True},
    "realnvp": {"hidden": [8, 8], "levels": 2},
    "glow": {"hidden": [8, 8], "steps": 2, "levels": 2},
}


def items(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=ARCHITECTURES)
def flow(request: pytest.FixtureRequest) -> Flow:
    torch.manual_seed(0)
    return (
        disturb(flows.build(request.param.split("-")[0], (8, 8), ARCHITECTURES[request.param]))
        .eval()
        .requires_grad_(False)
    )


def switches() -> tuple[bool, bool, bool, str]:
    cudnn = torch.backends.cudnn
    return cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, torch.get_float32_matmul_precision()


def test_exact_float32_keeps_tf32_out_and_ends_with_its_context() -> None:
    before = switches()
    assert before[0], "PyTorch no longer allows TF32 by default: the context may be superfluous"
    with exact_float32():
        torch.set_float32_matmul_precision("high")
        with exact_float32():
            assert switches() == (False, True, False, "highest")
        assert torch.get_float32_matmul_precision() == "high"
    assert switches() == before


def test_only_the_nets_change_and_only_in_the_copy(flow: Flow) -> None:
    fast = with_bfloat16_nets(flow)
    inside = {id(p) for net in fast.modules() if isinstance(net, Net) for p in net.parameters()}
    assert inside
    assert all((p.dtype == torch.bfloat16) == (id(p) in inside) for p in fast.parameters())
    assert all(p.dtype == torch.float32 for p in flow.parameters())
    assert (fast.dtype, fast.device) == (torch.float32, flow.device)


def test_the_likelihood_is_nearly_the_same_and_keeps_its_dtype(flow: Flow) -> None:
    fast, x = with_bfloat16_nets(flow), flow.to_continuous(items(20))
    found = fast.log_prob(x)
    assert found.dtype == torch.float32
    assert not torch.equal(found, flow.log_prob(x)), "nothing was rounded"
    torch.testing.assert_close(found, flow.log_prob(x), atol=0.1 * flow.dimensions, rtol=0.1)


def test_a_flow_with_bfloat16_nets_is_invertible(flow: Flow) -> None:
    """To float32 precision, except in a few items where an entry comes back rounding to another bfloat16."""
    fast, x = with_bfloat16_nets(flow), flow.to_continuous(items(20))
    z, there = fast.encode(x)
    back, here = fast.decode(z)
    assert (back - x).abs().median() < 1e-4
    assert (there + here).abs().median() < 0.1


def test_a_flow_with_bfloat16_nets_has_a_gradient(flow: Flow) -> None:
    fast = with_bfloat16_nets(flow)
    x = flow.to_continuous(items(4))
    hidden = torch.zeros(4, 8, 8, dtype=torch.bool)
    hidden[:, 4:] = True
    climbs = [
        inpainting.start(f, x, hidden, noise.keys(0, 4), survey=inpainting.survey(f), steps=5) for f in (flow, fast)
    ]
    exact, rounded = (climb.gradient.flatten(1) for climb in climbs)
    similarity = torch.cosine_similarity(exact, rounded)
    assert bool((similarity > 0.9).all())
    assert bool(inpainting.step(fast, climbs[1]).x.isfinite().all())


@pytest.mark.skipif(not PackedLinear.possible(), reason="this build of PyTorch has no packed weights")
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 2, 9, 300])
def test_a_packed_layer_computes_the_same_as_its_layer(rows: int, relu: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(30, 17).bfloat16()
    layer = nn.Sequential(linear, nn.ReLU()) if relu else linear
    packed = PackedLinear(linear, relu=relu)
    x = torch.randn(60, rows).bfloat16().T[:, ::2].requires_grad_()  # strided like the kept half of a vector
    cotangent = torch.randn(rows, 17).bfloat16()
    (expected,) = torch.autograd.grad(layer(x), x, cotangent)
    (found,) = torch.autograd.grad(packed(x), x, cotangent)
    torch.testing.assert_close(packed(x), layer(x), atol=0.02, rtol=0.02)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
    with torch.inference_mode():
        assert torch.equal(packed(x), packed(x.clone()))
