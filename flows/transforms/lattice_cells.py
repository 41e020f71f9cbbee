"""The cells of a lattice flow: an image as lattices of pixels, and the order of these lattices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.transforms.images import Planes, Shape
from flows.transforms.transform import Transform, within_domain

CELL = 4
"""The side of a cell in pixels. A lattice holds one pixel of each cell: those with the same offset in it."""

# Offsets (row, column) in a cell, level by level. Within a level each is about as far as possible from those before.
_LEVELS = (
    ((0, 0),),
    ((2, 2),),
    ((0, 2), (2, 0)),
    ((1, 1), (3, 3), (1, 3), (3, 1)),
    ((0, 1), (2, 3), (0, 3), (2, 1), (1, 0), (3, 2), (1, 2), (3, 0)),
)


class Cells(Transform):
    """Images (B, H, W) or (B, H, W, C) in [0, 1] to (B, 16 C, H/4, W/4), one lattice a channel; preserves volume."""

    rearranges = True

    def __init__(self, item_shape: Sequence[int]) -> None:
        super().__init__()
        self.planes = Planes(item_shape)
        channels, height, width = self.planes.shape
        self.shape: Shape = (channels * CELL * CELL, height // CELL, width // CELL)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values outside [0, 1], where the density is zero, and NaN are outside the domain (see ``within_domain``)."""
        inside = (x >= 0) & (x <= 1)  # false for NaN too
        x = within_domain(x, inside, "a lattice flow is defined for pixels in [0, 1] only")
        planes, log_abs_det = self.planes(x)
        return functional.pixel_unshuffle(planes, CELL), log_abs_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.planes.inverse(functional.pixel_shuffle(y, CELL))


def groups_by_level(shape: Sequence[int], quartered: int = 1) -> Iterator[Tensor]:
    """For each level in order, masks (G, C, H, W) of its groups of pixels, each group within one channel.

    The pixels of a group are independent given those before. That is a good approximation where each pixel has a close
    known neighbour. The pixels of the first lattice have none, so it has four groups; the second has two.

    ``quartered`` says how often the first lattice is divided into a first quarter and three others: each time the
    first quarter is divided again, until few pixels are drawn without a known neighbour.
    """
    channels, height, width = shape
    colours = channels // CELL**2
    with torch.device("cpu"):
        row, column = torch.arange(height)[:, None], torch.arange(width)
        everywhere = torch.ones(height, width, dtype=torch.bool)
        quarters: list[Tensor] = []
        for step in (2**power for power in reversed(range(quartered))):
            first = (row % step == 0) & (column % step == 0)
            four = [
                first & (row // step % 2 == r) & (column // step % 2 == c) for r, c in ((0, 0), (1, 1), (0, 1), (1, 0))
            ]
            quarters += four[1:] if quarters else four
        halves = [(row + column) % 2 == parity for parity in (0, 1)]
        for number, offsets in enumerate(_LEVELS):
            groups = []
            for r, c in offsets:
                for part in quarters if number == 0 else halves if number == 1 else [everywhere]:
                    for colour in range(colours):
                        mask = torch.zeros(tuple(shape), dtype=torch.bool)
                        mask[colour * CELL**2 + r * CELL + c] = part
                        if mask.any():  # an image of one cell has one quarter only
                            groups.append(mask)
            yield torch.stack(groups)


def least_side(quartered: int) -> int:
    """The shorter side in pixels with which no group of the first lattice is empty."""
    return CELL * ((1 << (quartered - 1)) + 1)


def masks_by_level(shape: Sequence[int], quartered: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """For each level in order, the entries (C, H, W) of the levels before, and the masks (G, C, H, W) of its groups."""
    known = torch.zeros(tuple(shape), dtype=torch.bool, device="cpu")
    for groups in groups_by_level(shape, quartered):
        yield known, groups
        known = known | groups.any(dim=0)
