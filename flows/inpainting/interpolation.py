"""Smooth interpolation of the hidden pixels of pictures from the known ones around them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SMOOTHINGS = 8
"""Relaxations at each scale: without them the pixels of the coarser scale show as squares."""


def interpolated(x: Tensor, hidden: Tensor, otherwise: Tensor) -> Tensor:
    """Pictures (B, H, W) or (B, H, W, C) whose hidden entries are interpolated; the values there are ignored.

    By push and pull over a pyramid: means of the known pixels at ever coarser scales, until every place has one, and
    back, each scale relaxed towards a harmonic function (Gortler, Grzeszczuk, Szeliski & Cohen 1996, "The lumigraph",
    section 3.4). ``otherwise`` (H, W[, C]) is the value where a colour has no known entry.

    >>> from flows.inpainting.interpolation import interpolated
    >>> picture = torch.linspace(0, 1, 8).expand(1, 8, 8)
    >>> hidden = torch.zeros(1, 8, 8, dtype=torch.bool)
    >>> hidden[:, 2:6, 2:6] = True
    >>> bool((interpolated(picture, hidden, picture[0] * 0) - picture).abs().max() < 0.05)
    True
    """
    planes, known = (_planes(each) for each in (torch.where(hidden, 0, x), (~hidden).to(x.dtype)))
    filled = _filled(planes, known)
    found = torch.where(known.flatten(2).any(dim=2)[:, :, None, None], filled, _planes(otherwise[None]))
    return torch.where(hidden, found.movedim(1, 3).reshape(x.shape), x)


def _planes(x: Tensor) -> Tensor:
    """(B, H, W) or (B, H, W, C) -> (B, C, H, W)."""
    return x.reshape(*x.shape[:3], -1).movedim(3, 1)


def _filled(values: Tensor, known: Tensor) -> Tensor:
    """Values (B, C, H, W) that are zero where ``known`` is, with these places filled in."""
    height, width = values.shape[2:]
    if height == width == 1:
        return values
    weights = functional.avg_pool2d(known, 2, ceil_mode=True)
    means = functional.avg_pool2d(values, 2, ceil_mode=True) / weights.clamp_min(1e-6)
    coarse = _filled(means, (weights > 0).to(values.dtype))
    fine = functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    found = torch.where(known > 0, values, fine)
    for _ in range(_SMOOTHINGS):
        around = functional.pad(found, (1, 1, 1, 1), mode="replicate")
        mean = around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
        found = torch.where(known > 0, values, mean / 4)
    return found
