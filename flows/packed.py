"""A linear layer of bfloat16 for a CPU, its weight laid out once as the kernels want it.

A plain layer rearranges its weight in every pass, which for a few rows costs more than the product itself. Not for
training: the weight is fixed, and gradients flow to the input alone.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class PackedLinear(nn.Module):
    """x (B, inputs) bfloat16 -> (B, outputs) bfloat16, as ``linear`` gives it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().bfloat16()
        self.bias = nn.Parameter(linear.bias.detach().bfloat16(), requires_grad=False)
        self._there = torch.ops.mkldnn._reorder_linear_weight(weight)
        self._back = torch.ops.mkldnn._reorder_linear_weight(weight.t().contiguous())

    @staticmethod
    def possible() -> bool:
        """Whether this build of PyTorch has the kernels, which are oneDNN's."""
        return torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")

    def forward(self, x: Tensor) -> Tensor:
        product = _Product.apply(x, self._there, self.bias, self._back)  # type: ignore[no-untyped-call]
        return cast("Tensor", product)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, bias: Tensor, back: Tensor) -> Tensor:
        ctx.back = back
        return _multiply(x, there, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _multiply(gradient.contiguous(), ctx.back, None), None, None, None


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product
