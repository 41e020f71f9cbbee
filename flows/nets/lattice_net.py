"""The net of a lattice level, and the code in which it gets pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.nets.net import Net, zeroed
from flows.nets.pointwise import Pointwise

# Ramps between grey levels. The first two are nearly steps; a finite slope keeps a rounding error small.
_STEEP = 1 / 8
_KNOTS = (1, 4, 16, 64, 128, 192, 240, 252, 255)
_RAMPS = ((1, 1 + _STEEP), (255 - _STEEP, 255), *pairwise(_KNOTS))
_LEVELS = 256


class PixelCode(nn.Module):
    """A pixel in [0, 1] as E values, each a learnt curve over the grey levels: (B, C, H, W) -> (B, C E, H, W).

    A convolution can hardly use the pixel itself: the difference between black and nearly black is 1/256 of its range,
    and says much about its neighbours. The curves are piecewise linear, with a steep part right after black and right
    before white. So dequantisation noise of black and white, the most frequent levels, has little effect.

    Under autocast the code has the dtype that nets take, which halves the memory that it moves.
    """

    # Constants of the ramps: they are not saved.
    low: Tensor
    width: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.curves = Pointwise(1 + len(_RAMPS), size, bias=False)
        # The pixel itself, from -1 to 1, is a ramp as well: then all of them take one pass.
        middle = _LEVELS / 2
        ramps = torch.tensor([(middle, 2 * middle, -1), *((*ramp, 0) for ramp in _RAMPS)], device="cpu")
        low, high, least = ramps[:, :, None, None].unbind(1)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("width", high - low, persistent=False)
        self.register_buffer("least", least, persistent=False)
        self.register_buffer("most", torch.ones_like(least), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        level = (_LEVELS * x).flatten(0, 1).unsqueeze(1)
        code: Tensor = self.curves(((level - self.low) / self.width).clamp(self.least, self.most))
        return code.reshape(len(x), -1, *x.shape[2:])


class CellNet(Net):
    """A residual net on the grid of cells, for several groups of pixels: (G B, channels, H, W) -> (G B, outputs, H, W).

    Rows are ordered group after group. A learnt offset for each cell of each group tells the net the place of a pixel
    and its group; on a small grid that helps more than depth, since margins are black. The last layer starts with
    weights of zero and the bias ``start`` (outputs,).
    """

    def __init__(
        self, channels: int, groups: int, cells: Sequence[int], width: int, blocks: int, start: Tensor
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(groups, width, *cells))
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.last = Pointwise(width, len(start))
        with torch.no_grad():
            self.last.weight.zero_()
            self.last.bias.copy_(start)  # type: ignore[union-attr]

    def compute(self, x: Tensor, groups: slice = slice(None)) -> Tensor:
        place = self.place[groups].unsqueeze(1)
        hidden = self.first(x)
        hidden = (hidden.reshape(len(place), -1, *hidden.shape[1:]) + place).flatten(0, 1)
        y: Tensor = self.last(functional.relu(self.blocks(hidden)))
        return y


class PlaceNet(Net):
    """A residual net on the grid of cells for all colours of several places: (P B, channels, H, W) -> parameters.

    One pass of the body serves all colours of a place. A head for each colour then sees the body's output and the codes
    of the place's colours before, ``earlier`` (P B, (colours - 1) E, H, W). A head has ``head_layers`` layers: all but
    the last are residual, so that a pixel's colours can meet what the body found. Rows are ordered place after place.

    The result is (P B, colours * outputs, H, W), or (P B, outputs, H, W) of one colour only. As in ``CellNet`` there is
    a learnt offset for each cell of each place, and the last layers start with weights of zero and the bias ``start``.

    With ``template`` channels, ``compute`` may be given what is usual at each cell (P B, template, H, W). The layer
    that reads it starts with weights of zero. Its bias tells the net whether it was given.
    """

    def __init__(
        self,
        channels: int,
        places: int,
        cells: Sequence[int],
        width: int,
        blocks: int,
        start: Tensor,
        colours: int,
        code: int,
        head_layers: int = 1,
        template: int = 0,
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(places, width, *cells))
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.turn = Pointwise(width, colours * width)
        self.earlier = nn.ModuleList(nn.Conv2d(code * c, width, 3, padding=1) for c in range(1, colours))
        self.mixes = nn.ModuleList(
            nn.Sequential(*(Mix(width) for _ in range(1, head_layers)))
            for _ in range(colours if head_layers > 1 else 0)
        )
        last = [Pointwise(width, len(start)) for _ in range(colours)]
        with torch.no_grad():
            for layer in last:
                layer.weight.zero_()
                layer.bias.copy_(start)  # type: ignore[union-attr]
        self.last = nn.ModuleList(last)
        self.code = code
        if template:
            self.template = zeroed(Pointwise(template, width))

    def compute(
        self,
        x: Tensor,
        earlier: Tensor,
        places: slice = slice(None),
        colour: int | None = None,
        template: Tensor | None = None,
    ) -> Tensor:
        turned = self._turned(x, places, template)
        asked = range(len(self.last)) if colour is None else (colour,)
        return torch.cat([self._head(turned[c], earlier, c) for c in asked], dim=1)

    def body(self, x: Tensor, places: slice) -> tuple[Tensor, ...]:
        """What the heads of all colours take, in the net's own dtype: for colours that are asked for one by one."""
        return self._turned(x if self.dtype is None else x.to(self.dtype), places, None)

    def of_colour(self, body: Sequence[Tensor], earlier: Tensor, colour: int) -> Tensor:
        """The parameters (P B, outputs, H, W) of one colour, as ``forward`` gives them, from ``body``."""
        return self._head(body[colour], earlier, colour).to(earlier.dtype)

    def _turned(self, x: Tensor, places: slice, template: Tensor | None) -> tuple[Tensor, ...]:
        place = self.place[places].unsqueeze(1)
        hidden = self.first(x)
        if template is not None:
            hidden = hidden + self.template(template.to(hidden.dtype))
        hidden = (hidden.reshape(len(place), -1, *hidden.shape[1:]) + place).flatten(0, 1)
        turned: Tensor = self.turn(functional.relu(self.blocks(hidden)))
        return turned.chunk(len(self.last), dim=1)

    def _head(self, hidden: Tensor, earlier: Tensor, colour: int) -> Tensor:
        if colour:
            hidden = hidden + self.earlier[colour - 1](earlier[:, : colour * self.code].to(hidden.dtype))
        if self.mixes:
            hidden = self.mixes[colour](hidden)
        y: Tensor = self.last[colour](functional.relu(hidden))
        return y


class Mix(nn.Module):
    """x + g(x), with g a 1x1 convolution after a ReLU: channels of one cell meet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = Pointwise(width, width)
        with torch.no_grad():
            self.mix.weight.mul_(0.5)  # as in ``Residual``

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mix(functional.relu(x))
        return x + y


class Residual(nn.Module):
    """x + g(x), with g a 3x3 and a 1x1 convolution, each after a ReLU (pre-activation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(width, width, 3, padding=1)
        self.mix = Pointwise(width, width)
        with torch.no_grad():
            self.mix.weight.mul_(0.5)  # at the start the sum of the branches must not dominate the input

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mix(functional.relu(self.look(functional.relu(x))))
        return x + y
