"""The usual picture of aligned pictures: their mean, at a bounded size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

LONGEST = 128
"""Pixels of the longer side of a template at most: the templates of three flows then take at most 150 kB."""


def template_of(pictures: Sequence[Tensor]) -> Tensor:
    """The mean (h, w[, C]) uint8 of pictures (H, W[, C]) uint8 of one size, scaled down where they are large."""
    total = torch.zeros(pictures[0].shape, dtype=torch.float32)
    for each in pictures:
        total += each
    mean = total / len(pictures)
    share = LONGEST / max(mean.shape[:2])
    if share < 1:
        size = [max(8, round(side * share)) for side in mean.shape[:2]]
        mean = _resized(mean, size, "area")
    return mean.round().to(torch.uint8)


def fitted(template: Tensor, picture: Tensor) -> Tensor:
    """A template at the size of a picture (H, W[, C]), uint8, as ``flows.tiles.TiledDensity`` scales it."""
    return _resized(template.float(), list(picture.shape[:2]), "bilinear").round().to(torch.uint8)


def templates_by_half(pictures: Sequence[Tensor]) -> list[Tensor]:
    """For each picture the template, at its size, of the half of the pictures that it is not in.

    A template that holds the picture itself would tell a net more than that of a new picture will, and so would one
    that holds others of its scene. These follow one another in the order of ``Dealt.apart``, so a half is the first.
    """
    middle = (len(pictures) + 1) // 2
    first, second = (fitted(template_of(half), pictures[0]) for half in (pictures[:middle], pictures[middle:]))
    return [second] * middle + [first] * (len(pictures) - middle)


def _resized(picture: Tensor, size: list[int], mode: str) -> Tensor:
    planes = picture.reshape(*picture.shape[:2], -1).movedim(2, 0)[None]
    options = {} if mode == "area" else {"align_corners": False}
    scaled = functional.interpolate(planes, size=size, mode=mode, **options)
    return scaled[0].movedim(0, 2).reshape(*size, *picture.shape[2:])
