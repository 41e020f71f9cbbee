"""Random square windows of an image, chosen independently of the pixels in them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from flows import noise
from flows.inpainting.climb import Climb, along

_PARTS = (1, 2, 2, 3, 3, 4, 4, 6, 10)
"""The side of a single window is the shorter side of the image divided by a random one of these."""
_TILES = (4, 6, 10, 14)
"""The side of each of many windows at once is the shorter side of the image divided by a random one of these."""

_LARGE = 1e300


def window(climb: Climb, weights: Tensor, keys: Tensor) -> Tensor:
    """A square in each row (B, H, W, ...), bool, around a pixel drawn with probabilities proportional to the weights.

    Weights are (B, H, W, ...), summed over channels.
    """
    height, width = climb.x.shape[1:3]
    which, size, above, left = noise.uniform(keys, (4,)).T
    shares = weights.reshape(len(weights), height * width, -1).sum(dim=2).double().cumsum(dim=1)
    pixel = (shares <= (which * shares[:, -1])[:, None]).sum(dim=1).clamp_max(height * width - 1)
    side = _side(climb, _PARTS, size)
    down = _interval(torch.div(pixel, width, rounding_mode="floor") - (above * side).floor(), side, height)
    across = _interval(pixel % width - (left * side).floor(), side, width)
    return _like(down[:, :, None] & across[:, None, :], climb.x)


class Tiles(NamedTuple):
    """Squares as far apart as they are wide. A cell holds one square and half of the gaps around it."""

    squares: Tensor
    """(B, H, W, ...) bool."""
    down: Tensor
    """(B, H) int64: each row's number among the rows of cells, from 0 to H - 1."""
    across: Tensor
    """(B, W) int64: each column's number among the columns of cells, from 0 to W - 1."""

    def where(self, rows: Tensor) -> Tiles:
        """The same in the rows (B,) bool of the batch where the mask is true; elsewhere one cell holds the image."""
        down, across = (torch.where(rows[:, None], each, 0) for each in (self.down, self.across))
        return Tiles(self.squares & along(rows, self.squares), down, across)

    def sums(self, values: Tensor) -> Tensor:
        """The sum of float64 values (B, H, W, ...) over each cell, (B, H W); no cell has a higher number.

        As matrix products, which add in the same order every time; a scatter on a GPU does not. NaN counts as a large
        negative number: times zero it would spoil all cells.
        """
        planes = values.reshape(*values.shape[:3], -1).sum(dim=3).nan_to_num(-_LARGE, _LARGE, -_LARGE)
        return (_members(self.down).mT @ planes @ _members(self.across)).flatten(1)

    def of(self, cells: Tensor, like: Tensor) -> Tensor:
        """The value of each pixel's cell, (B, H, W, ...) as ``like``, from values of cells (B, H W)."""
        width = like.shape[2]
        numbers = self.down[:, :, None] * width + self.across[:, None, :]
        return _like(cells.gather(1, numbers.flatten(1)).view(numbers.shape), like)


def tiles(climb: Climb, keys: Tensor) -> Tiles:
    """Tiles of a random size and place for each row, scaled by its step size."""
    height, width = climb.x.shape[1:3]
    size, above, left = noise.uniform(keys, (3,)).T
    side = _side(climb, _TILES, size)[:, None]
    rows = torch.arange(height, device=keys.device) + (above[:, None] * 2 * side).floor()
    columns = torch.arange(width, device=keys.device) + (left[:, None] * 2 * side).floor()
    down, across = (
        (line % (2 * side) >= side // 2) & (line % (2 * side) < side // 2 + side) for line in (rows, columns)
    )
    squares = _like(down[:, :, None] & across[:, None, :], climb.x)
    return Tiles(squares, (rows // (2 * side)).long(), (columns // (2 * side)).long())


def _side(climb: Climb, parts: tuple[int, ...], uniform: Tensor) -> Tensor:
    """Sides (B,) in pixels, scaled by each row's step size; ``uniform`` (B,) chooses the divisor."""
    height, width = climb.x.shape[1:3]
    part = _on(uniform.device, parts)[(uniform * len(parts)).long()]
    return (climb.step_size.double() * min(height, width) / part).round().clamp(1, max(height, width))


def _members(numbers: Tensor) -> Tensor:
    """For numbers (B, N) below N, a matrix (B, N, N), float64: 1 at [b, i, numbers[b, i]], 0 elsewhere."""
    return (numbers[:, :, None] == torch.arange(numbers.shape[1], device=numbers.device)).double()


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _on(device: torch.device, numbers: tuple[int, ...]) -> Tensor:
    """Constants on a device, copied there once; nothing writes to them."""
    return torch.tensor(numbers).to(device)


def _interval(first: Tensor, side: Tensor, length: int) -> Tensor:
    """(B, length) bool: true at ``side`` places from ``first`` on."""
    places = torch.arange(length, device=first.device)
    found: Tensor = (places >= first[:, None]) & (places < (first + side)[:, None])
    return found


def _like(planes: Tensor, x: Tensor) -> Tensor:
    """Planes (B, H, W) reshaped to broadcast against x (B, H, W) or (B, H, W, C)."""
    return planes.reshape(*planes.shape, *[1] * (x.dim() - 3))
