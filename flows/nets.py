"""The networks inside couplings. They need no inverse: any function of the kept half will do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}


class MLP(nn.Module):
    """A fully connected net, (B, inputs) -> (B, outputs), with one activation behind each hidden layer.

    The last layer starts at zero, so that a coupling starts as the identity and a deep flow starts well conditioned.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu") -> None:
        super().__init__()
        widths = [inputs, *hidden]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
        last = nn.Linear(widths[-1], outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, x: Tensor) -> Tensor:
        # Under autocast the layers answer in a half type; the flow around them goes on in the type that came in.
        y: Tensor = self.layers(x)
        return y.to(x.dtype)
