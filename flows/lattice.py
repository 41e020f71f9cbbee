"""A lattice flow: pixels in the order of ever finer lattices, each given all those before it.

A coarse grid of pixels comes first, then the ones between, until every pixel has neighbours on all sides that are
known. Each group of pixels is coupled to those before it, hence exact and invertible, but what it is coupled to are
pixels, never latents: the flow is triangular in blocks, and twenty blocks are nearly as good as 784 single pixels, at a
fortieth of the cost of sampling. On the way to latents all groups of a level go through their net together.

The order is that of Reed, van den Oord, Kalchbrenner et al., "Parallel Multiscale Autoregressive Density Estimation",
2017 (arXiv:1703.03664); the elementwise map is Flow++'s mixture (see ``mixture``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.errors import ArchitectureError, InputOutsideDomain
from flows.flow import Flow
from flows.images import Planes, Shape
from flows.lattice_net import CellNet, PixelCode
from flows.mixture import UnitMixture
from flows.preprocessing import Dequantise, Flatten
from flows.priors import StandardLogistic
from flows.transform import Transform, no_volume_change

CELL = 4
"""Pixels along one side of a cell: a lattice holds one pixel of each cell."""

CODE = 6
"""Numbers that a net sees of each pixel."""

# Offsets within a cell, row and column, by level; within a level each roughly as far as can be from those before it.
_LEVELS = (
    ((0, 0),),
    ((2, 2),),
    ((0, 2), (2, 0)),
    ((1, 1), (3, 3), (1, 3), (3, 1)),
    ((0, 1), (2, 3), (0, 3), (2, 1), (1, 0), (3, 2), (1, 2), (3, 0)),
)


def lattice(item_shape: Sequence[int], *, width: int = 64, blocks: int = 3, components: int = 8) -> Flow:
    """The flow of 8-bit images (H, W) or (H, W, C) whose sides are multiples of four.

    ``width`` and ``blocks`` are those of each level's residual net, ``components`` the logistics of each pixel.
    """
    if len(item_shape) not in (2, 3) or any(side % CELL for side in item_shape[:2]):
        raise ArchitectureError(
            f"item_shape must be (H, W) or (H, W, C) with sides that are multiples of {CELL}, got {tuple(item_shape)}"
        )
    cells = Cells(item_shape)
    known = torch.zeros(cells.shape, dtype=torch.bool, device="cpu")
    levels: list[Transform] = []
    for groups in _levels(cells.shape):
        # The last level goes first: what it needs to know are pixels that nothing has changed yet.
        levels.insert(0, LatticeLevel(known, groups, width, blocks, components))
        known = known | groups.any(dim=0)
    latent = StandardLogistic((math.prod(item_shape),))
    return LatticeFlow(item_shape, [cells, *levels, Flatten(cells.shape)], latent, Dequantise())


class LatticeFlow(Flow):
    """A flow of lattice levels: given what is known, a pixel is nearly sure of a few grey levels."""

    @property
    def has_sharp_modes(self) -> bool:
        return True

    def encode_locally(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.check(x)
        cells, *levels, flatten = self.transforms
        y, total = cells(x)
        log_slopes = torch.zeros_like(y)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            y, own = level.to_latent(y)
            level.put(log_slopes, own)
            total = total + level.total(own)
        return flatten(y)[0], total, cells.put_back(log_slopes)

    def landscape(self, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x)
        cells, *levels, flatten = self.transforms
        y, total = cells(x)
        latents, smoothed = y.detach().clone(), torch.zeros_like(total)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            # A level looks at pixels that no level has changed, so that none has to wait for another.
            mixture, own = level.mixture(y), level.own(y)
            smoothed = smoothed + level.total(mixture.smoothed(own, width.repeat(len(level.channels))))
            with torch.no_grad():
                z, log_slope = mixture.to_latent(own)
                level.put(latents, z)
                total = total + level.total(log_slope)
        return self.prior.log_prob(flatten(latents)[0]) + total.detach(), smoothed

    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        cells, *levels, flatten = self.transforms
        y, drawn, lots = (cells(each)[0] for each in (x, chosen.to(x.dtype), uniform))
        latents, log_slopes = torch.zeros_like(y), torch.zeros_like(y)
        for level in reversed(levels):
            assert isinstance(level, LatticeLevel)
            level.redraw(y, drawn.bool(), lots, latents, log_slopes)
        log_densities = self.prior.log_density(flatten(latents)[0]) + flatten(log_slopes)[0]
        return cells.inverse(y)[0], self.in_place(log_densities)


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


class LatticeLevel(Transform):
    """Takes the groups of one level to latents by mixtures that one net chooses from the pixels known before.

    To each group the net is shown the image moved so that the group's own pixels stand in the same place of their
    cells, colours beginning with theirs: pixels of one level stand between known ones in much the same way, and what
    is learnt of one serves all. ``known`` and ``groups`` are masks over cells: (C, H, W) of what levels before have
    settled, and (G, C, H, W), each group in one channel and knowing those before it.
    """

    known: Tensor
    """(G, colours, rows, columns): the pixels that each group knows."""
    groups: Tensor
    """(G, H, W): the entries that each has in its channel."""

    def __init__(self, known: Tensor, groups: Tensor, width: int, blocks: int, components: int) -> None:
        super().__init__()
        self.channels = [int(group.flatten(1).any(dim=1).nonzero()) for group in groups]
        self.colours = groups.shape[1] // CELL**2
        self.components = components
        before = torch.stack([torch.stack([known, *groups[:index]]).any(dim=0) for index in range(len(groups))])
        # They follow from the shape: no state, and there even where the weights are not (the meta device).
        self.register_buffer("known", functional.pixel_shuffle(before.float(), CELL).bool(), persistent=False)
        self.register_buffer("groups", groups.any(dim=1), persistent=False)
        self.code = PixelCode(CODE)
        channels, answer = CODE * groups.shape[1], UnitMixture.start(components)
        self.net = CellNet(channels, len(groups), groups.shape[2:], width, blocks, answer)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self.to_latent(x)
        return y, self.total(log_slope)

    def to_latent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W) -> y, and the log-slopes (G B, H, W) of the groups' own planes: see ``put`` and ``total``."""
        z, log_slope = self.mixture(x).to_latent(self.own(x))
        y = x.clone()
        self.put(y, z)
        return y, log_slope

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        x, total = y.clone(), no_volume_change(y)
        for index, channel in enumerate(self.channels):
            pixels, log_slope = self.mixture(x, index).from_latent(y[:, channel])
            self._put(x, pixels, index)
            total = total + torch.where(self.groups[index], log_slope, 0).flatten(1).sum(dim=1)
        return x, total

    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor, latents: Tensor, log_slopes: Tensor) -> None:
        """Draw the chosen entries of x (B, C, H, W) anew where they are the level's, in place, group after group.

        Puts the latents and log-slopes of all entries of the level, those of the new x, into theirs.
        """
        for index, channel in enumerate(self.channels):
            mixture = self.mixture(x, index)
            pixels = x[:, channel].where(~chosen[:, channel], mixture.draw(uniform[:, channel]))
            self._put(x, pixels, index)
            for target, plane in zip((latents, log_slopes), mixture.to_latent(pixels), strict=True):
                self._put(target, plane, index)

    def mixture(self, x: Tensor, index: int | None = None) -> UnitMixture:
        """Of the pixels of one group, or of all, group after group; x holds pixels wherever they are known."""
        which = range(len(self.channels)) if index is None else range(index, index + 1)
        # What is not known may be a latent, which is no pixel and may be large.
        code = self.code(torch.where(self.known[which[-1]], functional.pixel_shuffle(x, CELL), 0))
        seen = torch.cat([self._seen(code, index) for index in which])
        return UnitMixture(self.net(seen, slice(which[0], which[-1] + 1)), self.components)

    def _seen(self, code: Tensor, index: int) -> Tensor:
        """Codes (B, C E, rows, columns) to what a group knows of them, moved: (B, C E CELL^2, H, W)."""
        colour, offset = divmod(self.channels[index], CELL**2)
        row, column = divmod(offset, CELL)
        code = code.reshape(len(code), self.colours, CODE, *code.shape[2:]) * self.known[index].unsqueeze(1)
        code = code.roll(-colour, dims=1).flatten(1, 2)
        down, right = CELL // 2 - row, CELL // 2 - column
        return functional.pixel_unshuffle(functional.pad(code, (right, -right, down, -down)), CELL)

    def own(self, x: Tensor) -> Tensor:
        """The groups' own planes (G B, H, W) of x (B, C, H, W)."""
        return torch.cat([x[:, channel] for channel in self.channels])

    def put(self, x: Tensor, planes: Tensor) -> None:
        """Put the groups' entries of planes (G B, H, W) in their places of x (B, C, H, W)."""
        for index, plane in enumerate(planes.chunk(len(self.channels))):
            self._put(x, plane, index)

    def _put(self, x: Tensor, plane: Tensor, index: int) -> None:
        """Put a group's entries of a plane (B, H, W) in their place."""
        channel = self.channels[index]
        x[:, channel] = torch.where(self.groups[index], plane, x[:, channel])

    def total(self, planes: Tensor) -> Tensor:
        """The groups' entries of planes (G B, H, W), summed up for each item: (B,)."""
        own = torch.where(self.groups.unsqueeze(1), planes.reshape(len(self.channels), -1, *planes.shape[1:]), 0)
        return own.sum(dim=(0, 2, 3))


def _levels(shape: Sequence[int]) -> Iterator[Tensor]:
    """Masks (G, C, H, W) over cells, each group in one channel, in the order in which pixels become known.

    A group's pixels are taken as independent, given those before. That is nearly so where each has a close neighbour;
    the first lattice, which has none, comes in four parts, and the second in two.
    """
    channels, height, width = shape
    colours = channels // CELL**2
    with torch.device("cpu"):
        row, column = torch.arange(height)[:, None], torch.arange(width)
        everywhere = torch.ones(height, width, dtype=torch.bool)
        quarters = [(row % 2 == r) & (column % 2 == c) for r, c in ((0, 0), (1, 1), (0, 1), (1, 0))]
        halves = [(row + column) % 2 == parity for parity in (0, 1)]
        for number, offsets in enumerate(_LEVELS):
            groups = []
            for r, c in offsets:
                for part in quarters if number == 0 else halves if number == 1 else [everywhere]:
                    for colour in range(colours):
                        mask = torch.zeros(tuple(shape), dtype=torch.bool)
                        mask[colour * CELL**2 + r * CELL + c] = part
                        if mask.any():  # an image of one cell has no second quarter
                            groups.append(mask)
            yield torch.stack(groups)
