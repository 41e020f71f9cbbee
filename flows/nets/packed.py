"""A bfloat16 linear layer for CPUs whose weight is reordered once, into the layout of oneDNN's kernels.

A plain layer reorders its weight in every pass, which for a few rows costs more than the product. Not for training: the
weight is fixed, and only the input gets a gradient.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class PackedLinear(nn.Module):
    """x (B, inputs) bfloat16 -> ``linear``, or the ReLU of it, (B, outputs) bfloat16, in one kernel.

    Fewer kernels matter in a service: its thread releases Python's interpreter for each, and may wait to get it back.
    """

    def __init__(self, linear: nn.Linear, relu: bool = False) -> None:
        super().__init__()
        self._activation = "relu" if relu else "none"
        weight = linear.weight.detach().bfloat16()
        self.bias = nn.Parameter(linear.bias.detach().bfloat16(), requires_grad=False)
        self._there = torch.ops.mkldnn._reorder_linear_weight(weight)
        self._back = torch.ops.mkldnn._reorder_linear_weight(weight.t().contiguous())

    @staticmethod
    def possible() -> bool:
        """Whether this build of PyTorch has oneDNN's kernels."""
        return torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")

    def forward(self, x: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return _multiply(x, self._there, self.bias, self._activation)
        product = _Product.apply(x, self._there, self.bias, self._back, self._activation)  # type: ignore[no-untyped-call]
        return cast("Tensor", product)

    def extra_repr(self) -> str:
        return f"outputs={len(self.bias)}, activation={self._activation}"


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, bias: Tensor, back: Tensor, activation: str) -> Tensor:
        ctx.back, ctx.activation = back, activation
        product = _multiply(x, there, bias, activation)
        if activation == "relu":
            ctx.save_for_backward(product)
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        if ctx.activation == "relu":
            gradient = torch.ops.aten.threshold_backward(gradient, *ctx.saved_tensors, 0)
        return _multiply(gradient.contiguous(), ctx.back), None, None, None, None


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "")
    return product
