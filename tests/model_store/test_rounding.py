"""The self-test's tolerances: the float32 of another machine passes, convolutions of TF32 do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model_store import Store, selftest
from model_store.weights import from_bytes
from service.settings import shipped_store

Change = Callable[[Tensor], Tensor]


def complaint(name: str, *, products: Change | None = None, factors: Change | None = None) -> str | None:
    """What the self-test of a shipped model says where convolutions change their products, or round their factors."""
    store = Store(shipped_store())
    model = store.load(*store.resolve(name))
    for module in model.flow.modules():
        if isinstance(module, nn.Conv2d):
            if products is not None:
                module.register_forward_hook(lambda _module, _inputs, output: products(output))
            if factors is not None:
                module.register_forward_pre_hook(lambda _module, inputs: (factors(inputs[0]),))
    golden, seed = from_bytes((model.directory / "golden.safetensors").read_bytes()), model.manifest.golden.seed
    deviation = selftest.measure(model.flow, golden["items"][:4], golden["log_likelihood"][:4], seed)
    return selftest.complaint(deviation, model.manifest.golden)


def other_order_of_summation(size: float) -> Change:
    generator = torch.Generator().manual_seed(0)
    return lambda sums: sums * (1 + size * torch.randn(sums.shape, generator=generator))


def tf32(values: Tensor) -> Tensor:
    """float32 with ten bits of mantissa: what a GPU multiplies in TF32."""
    return (values.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_another_order_of_summation_passes(name: str) -> None:
    assert complaint(name, products=other_order_of_summation(3e-6)) is None


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_factors_rounded_to_tf32_do_not_pass(name: str) -> None:
    said = complaint(name, factors=tf32, products=other_order_of_summation(1e-6))
    assert said is not None
    assert "round trip errs" in said
