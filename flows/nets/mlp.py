"""The fully connected net of couplings on vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from flows.nets.net import ACTIVATIONS, Net, zeroed


class MLP(Net):
    """A fully connected net, (B, inputs) -> (B, outputs), with an activation after each hidden layer.

    ``hidden`` are the widths of the hidden layers. The last layer starts at zero, so a coupling starts as the identity
    and a deep flow starts well conditioned.

    >>> flows.MLP(2, [16, 16], 3)(torch.randn(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu") -> None:
        super().__init__()
        widths = [inputs, *hidden]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation](inplace=True)]
        self.layers = nn.Sequential(*layers, zeroed(nn.Linear(widths[-1], outputs)))

    def compute(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y
