"""The residual net of Real NVP's couplings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.errors import ArchitectureError
from flows.nets.net import ACTIVATIONS, Net, zeroed
from flows.nets.pointwise import Pointwise


class ResidualNet(Net):
    """Real NVP's net (section 4.1), (B, inputs, H, W) -> (B, outputs, H, W).

    There is one residual block for each entry of ``hidden``, the channels of the block. The net has weight
    normalisation and no batch normalisation, because an item's density must not depend on its neighbours in the batch.
    The last layer starts at zero. Raises ArchitectureError if the entries of ``hidden`` differ: a block adds its output
    to its input.

    >>> flows.ResidualNet(2, [8, 8], 4)(torch.randn(5, 2, 6, 6)).shape
    torch.Size([5, 4, 6, 6])
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu") -> None:
        super().__init__()
        if len(set(hidden)) != 1:
            raise ArchitectureError(
                f"hidden: all residual blocks must have the same number of channels, got {list(hidden)}"
            )
        width = hidden[0]
        self.layers = nn.Sequential(
            NormedConvolution(inputs, width),
            *(ResidualBlock(width, activation) for _ in hidden),
            ACTIVATIONS[activation](),
            zeroed(Pointwise(width, outputs)),
        )

    def compute(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class ResidualBlock(nn.Module):
    """x + g(x) on (B, width, H, W), with g two 3x3 convolutions, each after an activation."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ACTIVATIONS[activation](),
            NormedConvolution(width, width),
            ACTIVATIONS[activation](),
            NormedConvolution(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y


class NormedConvolution(nn.Module):
    """A 3x3 convolution with kernels w = g v / |v|: a length g and a direction v for each output channel.

    Salimans & Kingma 2016, "Weight normalization" (arXiv:1602.07868), eq. 2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.length = nn.Parameter(torch.full((outputs,), 3**-0.5))  # the length of the initial kernels of nn.Conv2d
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        norms = self.direction.flatten(1).square().sum(dim=1).sqrt()
        weight = self.direction * (self.length / norms.clamp_min(1e-12))[:, None, None, None]
        return functional.conv2d(x, weight, self.bias, padding=1)

    def extra_repr(self) -> str:
        outputs, inputs = self.direction.shape[:2]
        return f"{inputs}, {outputs}"
