"""The convolutional net of Glow's couplings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from flows.nets.net import ACTIVATIONS, Net, zeroed
from flows.nets.pointwise import Pointwise


class ConvNet(Net):
    """Glow's net, (B, inputs, H, W) -> (B, outputs, H, W): 3x3 convolutions at both ends, 1x1 convolutions between.

    ``hidden`` are the channels of the hidden layers. The last layer starts at zero (Kingma & Dhariwal 2018, "Glow",
    arXiv:1807.03039, sections 3.3 and 5).

    >>> flows.ConvNet(2, [8, 8], 4)(torch.randn(5, 2, 6, 6)).shape
    torch.Size([5, 4, 6, 6])
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (fan_in, fan_out) in enumerate(pairwise([inputs, *hidden])):
            layer: nn.Module = nn.Conv2d(fan_in, fan_out, 3, padding=1) if index == 0 else Pointwise(fan_in, fan_out)
            layers += [layer, ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, zeroed(nn.Conv2d([inputs, *hidden][-1], outputs, 3, padding=1)))

    def compute(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y
