"""A lattice flow: pixels in the order of ever finer lattices, each given all those before it.

A coarse grid of pixels comes first, then the ones between, until every pixel has neighbours on all sides that are
known. Each step is a coupling, hence exact and invertible, but what it conditions on are pixels, never latents: the
flow is triangular in blocks, and twenty blocks are nearly as good as 784 single pixels, at a fortieth of the cost of
sampling. The order is that of Reed, van den Oord, Kalchbrenner et al., "Parallel Multiscale Autoregressive Density
Estimation", 2017 (arXiv:1703.03664); the elementwise map is Flow++'s mixture (see ``mixture``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.errors import ArchitectureError, InputOutsideDomain
from flows.flow import Flow
from flows.images import Planes, Shape
from flows.mixture import UnitMixture
from flows.nets import Net
from flows.preprocessing import Dequantise, Flatten
from flows.priors import StandardLogistic
from flows.transform import Transform

CELL = 4
"""Pixels along one side of a cell: a lattice holds one pixel of each cell."""

# Offsets within a cell, row and column, each roughly as far as can be from those before it.
_OFFSETS = (
    *((0, 0), (2, 2), (0, 2), (2, 0)),
    *((1, 1), (3, 3), (1, 3), (3, 1)),
    *((0, 1), (2, 3), (0, 3), (2, 1), (1, 0), (3, 2), (1, 2), (3, 0)),
)


def lattice(item_shape: Sequence[int], *, width: int = 56, blocks: int = 3, components: int = 8) -> Flow:
    """The flow of 8-bit images (H, W) or (H, W, C) whose sides are multiples of four.

    ``width`` and ``blocks`` are those of each coupling's residual net, ``components`` the logistics of each pixel.
    """
    if len(item_shape) not in (2, 3) or any(side % CELL for side in item_shape[:2]):
        raise ArchitectureError(
            f"item_shape must be (H, W) or (H, W, C) with sides that are multiples of {CELL}, got {tuple(item_shape)}"
        )
    cells = Cells(item_shape)
    orders = list(_groups(cells.shape))
    couplings: list[Transform] = []
    # The last group goes first: what it needs to know are pixels that nothing has changed yet.
    for index in reversed(range(len(orders))):
        known = torch.stack([torch.zeros(cells.shape, dtype=torch.bool, device="cpu"), *orders[:index]]).any(dim=0)
        couplings.append(LatticeCoupling(known, orders[index], width, blocks, components))
    latent = StandardLogistic((math.prod(item_shape),))
    return LatticeFlow(item_shape, [cells, *couplings, Flatten(cells.shape)], latent, Dequantise())


class LatticeFlow(Flow):
    """A flow of lattice couplings: given what is known, a pixel is nearly sure of a few grey levels."""

    @property
    def has_sharp_modes(self) -> bool:
        return True

    def smoothed_log_prob(self, x: Tensor, width: Tensor) -> Tensor:
        cells, *couplings = self.transforms
        y, _ = cells(x)
        # Every group looks at pixels, so that no coupling has to wait for another.
        parts = [coupling.smoothed(y, width) for coupling in couplings if isinstance(coupling, LatticeCoupling)]
        return torch.stack(parts).sum(dim=0)


class Cells(Transform):
    """Images (B, H, W) or (B, H, W, C) in [0, 1] to (B, 16 C, H/4, W/4), a channel a lattice; preserves volume."""

    rearranges = True

    def __init__(self, item_shape: Sequence[int]) -> None:
        super().__init__()
        self.planes = Planes(item_shape)
        channels, height, width = self.planes.shape
        self.shape: Shape = (channels * CELL * CELL, height // CELL, width // CELL)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Raises InputOutsideDomain for values outside [0, 1], where the density is zero."""
        planes, log_abs_det = self.planes(x)
        if not bool(((x >= 0) & (x <= 1)).all()):  # also false for NaN
            raise InputOutsideDomain("a lattice flow knows pixels in [0, 1] only")
        return functional.pixel_unshuffle(planes, CELL), log_abs_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.planes.inverse(functional.pixel_shuffle(y, CELL))


class LatticeCoupling(Transform):
    """Takes one group of pixels to latents by a mixture that a net chooses from the pixels known before.

    ``known`` and ``group`` are masks over (C, H, W) cells; the group lies in one channel.
    """

    known: Tensor
    group: Tensor

    def __init__(self, known: Tensor, group: Tensor, width: int, blocks: int, components: int) -> None:
        super().__init__()
        self.channel = int(group.flatten(1).any(dim=1).nonzero())
        self.components = components
        # They follow from the shape: no state, and there even where the weights are not (the meta device).
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("group", group[self.channel], persistent=False)
        self.sources = known.flatten(1).any(dim=1).nonzero().flatten().tolist()
        self.net = CellNet(len(self.sources), known.shape[1:], width, blocks, UnitMixture.start(components))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._replace(x, *self._mixture(x).to_latent(x[:, self.channel]))

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._replace(y, *self._mixture(y).from_latent(y[:, self.channel]))

    def smoothed(self, x: Tensor, width: Tensor) -> Tensor:
        """The group's share (B,) of the smoothed log-density at pixels x (B, C, H, W) that nothing has changed."""
        density = self._mixture(x).smoothed(x[:, self.channel], width)
        return torch.where(self.group, density, 0).flatten(1).sum(dim=1)

    def _mixture(self, x: Tensor) -> UnitMixture:
        # Pixels go in from -1 to 1, and what is not known as 0.
        pixels = torch.where(self.known, 2 * x - 1, 0)
        return UnitMixture(self.net(pixels[:, self.sources]), self.components)

    def _replace(self, x: Tensor, plane: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        """x with the group's entries taken from a plane (B, H, W), and the log-determinant of that."""
        y = x.clone()
        y[:, self.channel] = torch.where(self.group, plane, x[:, self.channel])
        return y, torch.where(self.group, log_slope, 0).flatten(1).sum(dim=1)


class CellNet(Net):
    """A residual net on the grid of cells, (B, channels, H, W) -> (B, outputs, H, W), that knows where it is.

    Each cell has an offset of its own, which tells a net of few cells more than any depth: margins are black. The last
    layer starts as ``answer`` (outputs,), whatever goes in. With no channel at all, the place is all there is to know.
    """

    def __init__(self, channels: int, cells: Sequence[int], width: int, blocks: int, answer: Tensor) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1) if channels else None
        self.place = nn.Parameter(torch.zeros(width, *cells))
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, len(answer), 1)
        with torch.no_grad():
            self.last.weight.zero_()
            self.last.bias.copy_(answer)  # type: ignore[union-attr]

    def compute(self, x: Tensor) -> Tensor:
        start = self.place.expand(len(x), -1, -1, -1)
        if self.first is not None:
            start = self.first(x) + start
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


def _groups(shape: Sequence[int]) -> Iterator[Tensor]:
    """Masks over cells (C, H, W), each in one channel, in the order in which pixels become known.

    A lattice's pixels are taken as independent, given those before. That is nearly so where each has a close
    neighbour; the first lattice, which has none, comes in four parts, and the second in two.
    """
    channels, height, width = shape
    colours = channels // CELL**2
    with torch.device("cpu"):
        row, column = torch.arange(height)[:, None], torch.arange(width)
        everywhere = torch.ones(height, width, dtype=torch.bool)
        quarters = [(row % 2 == r) & (column % 2 == c) for r, c in ((0, 0), (1, 1), (0, 1), (1, 0))]
        halves = [(row + column) % 2 == parity for parity in (0, 1)]
        for index, (r, c) in enumerate(_OFFSETS):
            for part in quarters if index == 0 else halves if index == 1 else [everywhere]:
                for colour in range(colours):
                    mask = torch.zeros(tuple(shape), dtype=torch.bool)
                    mask[colour * CELL**2 + r * CELL + c] = part
                    if mask.any():  # an image of one cell has no second quarter
                        yield mask
