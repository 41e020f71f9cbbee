"""The density of pictures of any size, tile by tile, in memory that does not grow with the picture.

A picture is covered by tiles that overlap. Every pixel belongs to the core of one tile, and its density is the one that
the flow gives it there, given the pixels of the tile that come before it. Tiles begin at multiples of 8 pixels, where
the order of a lattice flow's pixels repeats, so all tiles share one order of the whole picture. The product of the
pixels' densities is therefore a density of the whole picture, and integrates to one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from flows import noise
from flows.architectures.lattice_flow import LatticeFlow
from flows.errors import ShapeMismatch
from flows.transforms.lattice_cells import CELL

TILE, MARGIN = 160, 16
"""Sides of a tile, and the context around its core, in pixels: a net of three blocks looks 16 to 20 pixels far."""
LEAST_SIDE = 2 * CELL
_KEPT = 8 * TILE**2
"""Pixels of all sizes of tiles together whose masks are kept, about 200 MB in colour. A picture has four at most."""


class TiledDensity:
    """Log-densities of the pixels of pictures (H, W) or (H, W, C), both sides at least 8, under a flow.

    The flow must work ``anywhere`` (see ``flows.lattice``); its item shape says how many colours there are.

    >>> flow = flows.lattice((16, 16), width=4, blocks=1, components=2, joint=True, anywhere=True)
    >>> density = flows.tiles.TiledDensity(flow, tile=32, margin=8)
    >>> picture = torch.randint(0, 256, (41, 50), dtype=torch.uint8)
    >>> density.pixel_log_densities(density.to_continuous(picture)).shape
    torch.Size([41, 50])
    """

    def __init__(self, flow: LatticeFlow, tile: int = TILE, margin: int = MARGIN) -> None:
        self.flow, self.tile, self.margin = flow, tile, margin
        self._sized: OrderedDict[tuple[int, int], LatticeFlow] = OrderedDict()

    def to_continuous(self, picture: Tensor, seed: int | Tensor = 0) -> Tensor:
        """A uint8 picture (H, W[, C]) -> a continuous point, with noise that follows from the picture and the seed."""
        sides, colours = picture.shape[:2], picture.shape[2:]
        if tuple(colours) != self.flow.item_shape[2:] or min(sides) < LEAST_SIDE:
            raise ShapeMismatch(
                f"expected a picture of at least {LEAST_SIDE}x{LEAST_SIDE} with the colours "
                f"{tuple(self.flow.item_shape[2:])}, got {tuple(picture.shape)}"
            )
        assert self.flow.dequantise is not None
        levels = picture.to(self.flow.device)[None]
        draws = noise.uniform(noise.content_keys(levels, seed), levels.shape[1:])
        x, _ = self.flow.dequantise(levels.to(self.flow.dtype), draws.to(self.flow.dtype))
        return x[0]

    def pixel_log_densities(self, x: Tensor) -> Tensor:
        """A continuous point (H, W[, C]) -> the log-density (H, W) of each pixel, in nats; its sum is log p(x)."""
        found = x.new_empty(x.shape[:2])
        for (top, bottom), (first, last) in self._spans(x.shape[0]):
            for (left, right), (start, stop) in self._spans(x.shape[1]):
                part = self._of_tile(x[top:bottom, left:right])
                found[first:last, start:stop] = part[first - top : last - top, start - left : stop - left]
        return found

    def _spans(self, side: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """For each tile along a side, where it lies and where its core lies, from and up to which pixel."""
        step = self.tile - 2 * self.margin
        starts = range(0, max(side - self.tile, 0) + step, step) if side > self.tile else range(1)
        for start in starts:
            end = min(start + self.tile, side)
            core_end = side if end == side else end - self.margin
            yield (start, end), (start + self.margin if start else 0, core_end)
            if end == side:
                return

    def _of_tile(self, x: Tensor) -> Tensor:
        height, width = x.shape[:2]
        down, across = -height % CELL, -width % CELL
        inside = None
        if down or across:
            x = functional.pad(x, (*([0, 0] * (x.ndim - 2)), 0, across, 0, down))
            inside = torch.zeros(1, *x.shape[:2], dtype=torch.bool, device=x.device)
            inside[:, :height, :width] = True
        return self._flow_of(x.shape[0], x.shape[1]).pixel_log_densities(x[None], inside)[0, :height, :width]

    def _flow_of(self, height: int, width: int) -> LatticeFlow:
        sides = height, width
        if sides == self.flow.item_shape[:2]:
            return self.flow
        if sides not in self._sized:
            while self._sized and height * width + sum(down * across for down, across in self._sized) > _KEPT:
                self._sized.popitem(last=False)
            self._sized[sides] = self.flow.on_sides(height, width)
        self._sized.move_to_end(sides)
        return self._sized[sides]
