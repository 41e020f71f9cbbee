"""The base class of the networks inside couplings, and the choice of activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)

ACTIVATIONS: Mapping[str, type[nn.Module]] = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}


class Net(nn.Module):
    """A net inside a coupling. Its output has the dtype of its input, whatever dtype it computes in.

    So a float32 flow may have bfloat16 nets: by autocast, or with weights of that dtype (see ``nets.precision``).
    """

    dtype: torch.dtype | None = None
    """The dtype of the weights, if it differs from the flow's."""

    def compute(self, x: Tensor, *more: Any) -> Tensor:
        """The output of the net, in the dtype of its weights."""
        raise NotImplementedError

    def forward(self, x: Tensor, *more: Any) -> Tensor:
        return self.compute(x if self.dtype is None else x.to(self.dtype), *more).to(x.dtype)


def zeroed(layer: Layer) -> Layer:
    """The layer with weights and bias set to zero. As the last layer it makes a coupling start as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
