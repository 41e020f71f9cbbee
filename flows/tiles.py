"""The density of pictures of any size, tile by tile, in memory that does not grow with the picture.

A picture is covered by tiles that overlap. Every pixel belongs to the core of one tile, and its density is the one that
the flow gives it there, given the pixels of the tile that come before it. Tiles begin where the order of a lattice
flow's pixels repeats, at multiples of 8 pixels (16 and 32 with ``quartered`` 2 and 3), so all tiles share one order of
the whole picture. The product of the
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
from flows.transforms.lattice_cells import CELL, least_side

TILE, MARGIN = 160, 16
"""Sides of a tile, and the context around its core, in pixels: a net of three blocks looks 16 to 20 pixels far."""
LEAST_SIDE = 2 * CELL
_KEPT = 8 * TILE**2
"""Pixels of all sizes of tiles together whose masks are kept, about 200 MB in colour. A picture has four at most."""


class TiledDensity:
    """Log-densities of the pixels of pictures (H, W) or (H, W, C), both sides at least 8, under a flow.

    The flow must work ``anywhere`` (see ``flows.lattice``); its item shape says how many colours there are.
    ``template`` (h, w[, C]) uint8 is the usual picture, for a flow that takes one; it is scaled to a picture's size.
    Raises ValueError unless ``tile`` less twice the ``margin`` is a multiple of the order's period.

    >>> flow = flows.lattice((16, 16), width=4, blocks=1, components=2, joint=True, anywhere=True)
    >>> density = flows.tiles.TiledDensity(flow, tile=32, margin=8)
    >>> picture = torch.randint(0, 256, (41, 50), dtype=torch.uint8)
    >>> density.pixel_log_densities(density.to_continuous(picture)).shape
    torch.Size([41, 50])
    """

    def __init__(
        self, flow: LatticeFlow, tile: int = TILE, margin: int = MARGIN, template: Tensor | None = None
    ) -> None:
        step, period = tile - 2 * margin, CELL << flow.quartered
        if step <= 0 or step % period:
            raise ValueError(f"tiles must begin {period} pixels or a multiple of it apart, not {step}")
        self.flow, self.tile, self.margin = flow, tile, margin
        self.template: Tensor | None = None
        self._fitted: Tensor | None = None
        if template is not None:
            self.take_template(template)
        self._sized: OrderedDict[tuple[int, int], LatticeFlow] = OrderedDict()
        self._masks_of: TiledDensity | None = None

    def take_template(self, template: Tensor) -> None:
        """Make ``template`` the usual picture. Raises ValueError unless it is uint8 and has the flow's colours."""
        colours = tuple(self.flow.item_shape[2:])
        fits = template.ndim == 2 + len(colours) and tuple(template.shape[2:]) == colours and template.numel() > 0
        if template.dtype != torch.uint8 or not fits:
            raise ValueError(
                f"a template is a uint8 picture of the flow's colours, not {template.dtype} {tuple(template.shape)}"
            )
        self.template, self._fitted = template.to(self.flow.device), None

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
        return self.pixel_statistics(x)[0]

    def pixel_statistics(self, x: Tensor) -> Tensor:
        """A continuous point (H, W[, C]) -> the log-density and the surprise of each pixel, (2, H, W).

        As ``LatticeFlow.pixel_statistics``.
        """
        found, usual = x.new_empty(2, *x.shape[:2]), self._usual(x)
        for (top, bottom), (first, last) in self._spans(x.shape[0]):
            for (left, right), (start, stop) in self._spans(x.shape[1]):
                beside = None if usual is None else usual[top:bottom, left:right]
                part = self._of_tile(x[top:bottom, left:right], beside)
                found[:, first:last, start:stop] = part[:, first - top : last - top, start - left : stop - left]
        return found

    def tile_pixels(self, height: int, width: int) -> int:
        """Pixels of all tiles of a picture of this size together: what its density costs grows with them."""
        down, across = (sum(end - start for (start, end), _ in self._spans(side)) for side in (height, width))
        return down * across

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

    def _usual(self, x: Tensor) -> Tensor | None:
        """The template in [0, 1] at the size of a picture x (H, W[, C])."""
        if self.template is None:
            return None
        if self._fitted is None or self._fitted.shape != x.shape or self._fitted.dtype != x.dtype:
            planes = self.template.to(x.dtype).reshape(*self.template.shape[:2], -1).movedim(2, 0) / 255
            fitted = functional.interpolate(planes[None], size=x.shape[:2], mode="bilinear", align_corners=False)
            self._fitted = fitted[0].movedim(0, 2).reshape(x.shape)
        return self._fitted

    def _of_tile(self, x: Tensor, template: Tensor | None) -> Tensor:
        height, width = x.shape[:2]
        least = least_side(self.flow.quartered)
        down, across = (max(side + -side % CELL, least) - side for side in (height, width))
        inside = None
        if down or across:
            beyond = (*([0, 0] * (x.ndim - 2)), 0, across, 0, down)
            x = functional.pad(x, beyond)
            template = None if template is None else functional.pad(template, beyond)
            inside = torch.zeros(1, *x.shape[:2], dtype=torch.bool, device=x.device)
            inside[:, :height, :width] = True
        beside = None if template is None else template[None]
        flow = self.sized(x.shape[0], x.shape[1])
        return flow.pixel_statistics(x[None], inside, beside)[0, :, :height, :width]

    def share_masks(self, other: TiledDensity) -> None:
        """Take the masks of tiles from another density, whose flow has the same arguments, for less memory."""
        self._masks_of = None if other is self else other

    @torch.inference_mode(False)  # what is kept must serve passes with gradients too
    def sized(self, height: int, width: int) -> LatticeFlow:
        """The flow for tiles of this size, with the same nets."""
        sides = height, width
        if sides == self.flow.item_shape[:2]:
            return self.flow
        if sides not in self._sized:
            while self._sized and height * width + sum(down * across for down, across in self._sized) > _KEPT:
                self._sized.popitem(last=False)
            masks = None if self._masks_of is None else self._masks_of.sized(height, width)
            self._sized[sides] = self.flow.on_sides(height, width, masks)
        self._sized.move_to_end(sides)
        return self._sized[sides]
