"""The ten masks of NICE (figure 6): what is hidden of a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import noise


def masks(count: int, height: int, width: int, seed: int = 0) -> dict[str, Tensor]:
    """Ten masks by name, (B, H, W) bool, true where hidden. The random ones differ from item to item."""
    row = torch.arange(height)[:, None].expand(height, width)
    column = torch.arange(width)[None, :].expand(height, width)
    index = row * width + column
    fixed = {
        "top": row < height // 2,
        "bottom": row >= height // 2,
        "left": column < width // 2,
        "right": column >= width // 2,
        "even": index % 2 == 0,
        "odd": index % 2 == 1,
        "middle rows": (row >= height // 4) & (row < 3 * height // 4),
        "middle columns": (column >= width // 4) & (column < 3 * width // 4),
    }
    draws = noise.uniform(noise.keys(seed, count), (height, width))
    random = {f"random {share:.0%}": draws < share for share in (0.75, 0.9)}
    return {**{name: mask.expand(count, height, width) for name, mask in fixed.items()}, **random}
