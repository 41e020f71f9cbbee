"""The networks inside couplings. They need no inverse: any function of the kept half will do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.errors import ArchitectureError

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


class MLP(Net):
    """A fully connected net, (B, inputs) -> (B, outputs), with one activation behind each hidden layer.

    The last layer starts at zero, so that a coupling starts as the identity and a deep flow starts well conditioned.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu") -> None:
        super().__init__()
        widths = [inputs, *hidden]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation](inplace=True)]
        self.layers = nn.Sequential(*layers, _zero(nn.Linear(widths[-1], outputs)))

    def compute(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class ConvNet(Net):
    """Glow's net (section 3.3), (B, inputs, H, W) -> (B, outputs, H, W): 3x3 convolutions outside, 1x1 between.

    ``hidden`` are the channels between them. The last layer starts at zero.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (fan_in, fan_out) in enumerate(pairwise([inputs, *hidden])):
            side = 1 if index else 3
            layers += [nn.Conv2d(fan_in, fan_out, side, padding=side // 2), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, _zero(nn.Conv2d([inputs, *hidden][-1], outputs, 3, padding=1)))

    def compute(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class ResidualNet(Net):
    """Real NVP's net (section 4.1), (B, inputs, H, W) -> (B, outputs, H, W): a residual block an entry of ``hidden``.

    Weight normalisation, and no batch normalisation: an item's density must not depend on its neighbours in the batch.
    The last layer starts at zero. Raises ArchitectureError when the entries of ``hidden`` differ, since what a block
    gives is added to what it got.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu") -> None:
        super().__init__()
        if len(set(hidden)) != 1:
            raise ArchitectureError(f"hidden: residual blocks must all have as many channels, got {list(hidden)}")
        width = hidden[0]
        self.layers = nn.Sequential(
            NormedConvolution(inputs, width),
            *(ResidualBlock(width, activation) for _ in hidden),
            ACTIVATIONS[activation](),
            _zero(nn.Conv2d(width, outputs, 1)),
        )

    def compute(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class ResidualBlock(nn.Module):
    """x + g(x) on (B, width, H, W), with g two 3x3 convolutions, each behind its activation."""

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
    """A 3x3 convolution with kernels w = g v / |v|, a length g and a direction v for each output.

    Salimans & Kingma 2016, "Weight normalization" (arXiv:1602.07868), eq. 2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.length = nn.Parameter(torch.full((outputs,), 3**-0.5))  # as long as those that nn.Conv2d starts with
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        norms = self.direction.flatten(1).square().sum(dim=1).sqrt()
        weight = self.direction * (self.length / norms.clamp_min(1e-12))[:, None, None, None]
        return functional.conv2d(x, weight, self.bias, padding=1)


def _zero(layer: Layer) -> Layer:
    """The layer with weights and bias of zero: behind it a coupling starts as the identity, well conditioned."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
