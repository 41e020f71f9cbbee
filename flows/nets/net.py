"""What the networks inside couplings have in common."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}


class Net(nn.Module):
    """A net inside a coupling. It answers in the type of what came in, whatever it computes in.

    So a flow of float32 may have nets of bfloat16: by autocast, or by weights of that type (see ``precision``).
    """

    dtype: torch.dtype | None = None
    """What its weights are, where that is another type than the flow's."""

    def compute(self, x: Tensor, *more: Any) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor, *more: Any) -> Tensor:
        return self.compute(x if self.dtype is None else x.to(self.dtype), *more).to(x.dtype)


def zeroed(layer: Layer) -> Layer:
    """The layer with weights and bias of zero: behind it a coupling starts as the identity, well conditioned."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
