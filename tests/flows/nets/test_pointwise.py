"""Convolutions of single pixels: those of PyTorch, with bits that do not depend on company."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from flows.nets.pointwise import Pointwise


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_it_is_a_convolution(bias: bool, fixed: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = Pointwise(5, 7, bias=bias).to(dtype).requires_grad_(not fixed)
    x = torch.randn(3, 5, 4, 6, dtype=dtype, requires_grad=True)
    y = layer(x)
    expected = functional.conv2d(x, layer.weight, layer.bias)
    torch.testing.assert_close(y, expected)
    towards = torch.randn_like(y)
    torch.testing.assert_close(torch.autograd.grad(y, x, towards), torch.autograd.grad(expected, x, towards))


def test_weights_that_are_trained_get_a_gradient() -> None:
    layer = Pointwise(5, 7)
    layer(torch.randn(3, 5, 4, 6)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.bias is not None
    assert layer.bias.grad is not None


def test_an_item_has_the_same_bits_in_any_company() -> None:
    torch.manual_seed(0)
    layer, x = Pointwise(96, 64).requires_grad_(False), torch.randn(40, 96, 8, 8)
    together = layer(x)
    for count in (2, 3, 8, 16, 24):  # of 16 items and more PyTorch's own convolution takes another kernel
        assert torch.equal(layer(x[:count]), together[:count])
