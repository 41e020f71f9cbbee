"""What a lattice flow's net sees of a pixel, and the net itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.nets import Net

# Between these grey levels the curves bend: two are steps, but for a slope that lets a rounding error stay one.
_STEEP = 1 / 8
_KNOTS = (1, 4, 16, 64, 128, 192, 240, 252, 255)
_RAMPS = ((1, 1 + _STEEP), (255 - _STEEP, 255), *pairwise(_KNOTS))
_LEVELS = 256


class PixelCode(nn.Module):
    """A pixel in [0, 1] as a few learnt numbers, each a curve over the grey levels: (B, C, H, W) -> (B, C E, H, W).

    The pixel itself is next to nothing to a convolution: whether it is black or nearly black, which decides what its
    neighbours are, is one part in 256 of its range. The curves are linear between the levels above, and steep behind
    black and before white, so that noise of dequantisation does not come through where most pixels are.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.curves = nn.Conv2d(1 + len(_RAMPS), size, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        level = _LEVELS * x.flatten(0, 1)
        ramps = [((level - low) / (high - low)).clamp(0, 1) for low, high in _RAMPS]
        code: Tensor = self.curves(torch.stack([2 * level / _LEVELS - 1, *ramps], dim=1))
        return code.to(x.dtype).reshape(len(x), -1, *x.shape[2:])


class CellNet(Net):
    """A residual net on the grid of cells that answers for several groups of pixels and knows where each pixel is.

    Rows are (G B, channels, H, W), group after group. Each cell of each group has an offset of its own, which tells a
    net of few cells more than any depth (margins are black), and says which group it is. The last layer starts as
    ``answer`` (outputs,), whatever goes in.
    """

    def __init__(
        self, channels: int, groups: int, cells: Sequence[int], width: int, blocks: int, answer: Tensor
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(groups, width, *cells))
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, len(answer), 1)
        with torch.no_grad():
            self.last.weight.zero_()
            self.last.bias.copy_(answer)  # type: ignore[union-attr]

    def compute(self, x: Tensor, groups: slice = slice(None)) -> Tensor:
        place = self.place[groups].unsqueeze(1)
        start = self.first(x)
        start = (start.reshape(len(place), -1, *start.shape[1:]) + place).flatten(0, 1)
        y: Tensor = self.last(functional.relu(self.blocks(start)))
        return y


class Residual(nn.Module):
    """x + g(x), with g one look at the neighbouring cells and one mixing of channels (pre-activation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)
        with torch.no_grad():
            self.mix.weight.mul_(0.5)  # the sum of a few branches should not drown the input at the start

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mix(functional.relu(self.look(functional.relu(x))))
        return x + y
