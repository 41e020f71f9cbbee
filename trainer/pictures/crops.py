"""Crops of pictures, at random places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def cut(pictures: Sequence[Tensor], side: int, count: int, seed: int) -> Tensor:
    """``count`` squares (count, side, side[, C]) of uint8 pictures (H, W[, C]), both sides at least ``side``.

    Every pixel of the pictures together is about equally likely to be in one: larger pictures give more squares.
    """
    generator = torch.Generator().manual_seed(seed)
    areas = torch.tensor([float(picture.shape[0] * picture.shape[1]) for picture in pictures])
    chosen = torch.multinomial(areas, count, replacement=True, generator=generator).tolist()
    places = torch.rand(count, 2, generator=generator, dtype=torch.float64).tolist()
    found = []
    for index, (down, across) in zip(chosen, places, strict=True):
        picture = pictures[index]
        row = int(down * (picture.shape[0] - side + 1))
        column = int(across * (picture.shape[1] - side + 1))
        found.append(picture[row : row + side, column : column + side])
    return torch.stack(found)
