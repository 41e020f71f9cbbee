"""Random square windows of an image, chosen independently of the pixels in them."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import noise
from flows.inpainting.climb import Climb

_PARTS = (1, 2, 2, 3, 3, 4, 4, 6, 10)
"""The side of a single window is the shorter side of the image divided by a random one of these."""
_TILES = (4, 6, 10, 14)
"""The side of each of many windows at once is the shorter side of the image divided by a random one of these."""


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


def tiles(climb: Climb, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Squares as far apart as they are wide (B, H, W, ...), bool, and the cell number of each pixel, int64.

    A cell holds one square and half of the gaps around it. Cell numbers of a row are from 0 to H W - 1.
    """
    height, width = climb.x.shape[1:3]
    size, above, left = noise.uniform(keys, (3,)).T
    side = _side(climb, _TILES, size)[:, None]
    rows = torch.arange(height, device=keys.device) + (above[:, None] * 2 * side).floor()
    columns = torch.arange(width, device=keys.device) + (left[:, None] * 2 * side).floor()
    down, across = (
        (line % (2 * side) >= side // 2) & (line % (2 * side) < side // 2 + side) for line in (rows, columns)
    )
    cells = (rows // (2 * side))[:, :, None] * width + (columns // (2 * side))[:, None, :]
    return _like(down[:, :, None] & across[:, None, :], climb.x), _like(cells.long(), climb.x)


def _side(climb: Climb, parts: tuple[int, ...], uniform: Tensor) -> Tensor:
    """Sides (B,) in pixels, scaled by each row's step size; ``uniform`` (B,) chooses the divisor."""
    height, width = climb.x.shape[1:3]
    part = torch.tensor(parts, device=uniform.device)[(uniform * len(parts)).long()]
    return (climb.step_size.double() * min(height, width) / part).round().clamp(1, max(height, width))


def _interval(first: Tensor, side: Tensor, length: int) -> Tensor:
    """(B, length) bool: true at ``side`` places from ``first`` on."""
    places = torch.arange(length, device=first.device)
    found: Tensor = (places >= first[:, None]) & (places < (first + side)[:, None])
    return found


def _like(planes: Tensor, x: Tensor) -> Tensor:
    """Planes (B, H, W) reshaped to broadcast against x (B, H, W) or (B, H, W, C)."""
    return planes.reshape(*planes.shape, *[1] * (x.dim() - 3))
