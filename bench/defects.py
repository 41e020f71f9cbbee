"""Defects that are put into ordinary pictures, each with the mask of the pixels that it changed.

A defect takes one picture (H, W, C) of floats in [0, 1], a soft region (H, W) in [0, 1], another ordinary picture, and
a generator; it gives the damaged picture. No training and no calibration uses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

SEED = 31
VISIBLE = 24
"""Grey levels by which a pixel of the mask differs from the ordinary picture at least, in one colour."""
_LEAST, _TRIES = 6, 200
"""A defect has at least this number of mask pixels; places are drawn until one has."""

Defect = Callable[[Tensor, Tensor, Tensor, torch.Generator], Tensor]


class Invisible(ValueError):
    """A picture shows a defect at no place, such as a blur where all is smooth."""


class Damaged(NamedTuple):
    """A picture with a defect, or several stacked."""

    picture: Tensor
    """(H, W[, C]) uint8."""
    mask: Tensor
    """(H, W) bool: the pixels that changed visibly."""
    outline: Tensor
    """(H, W) bool: all that the defect covers, as a person would draw it, with pixels that happen to look as before."""


def damaged(items: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Items (N, H, W) or (N, H, W, C) uint8 -> copies with the defect ``name``, and masks (N, H, W) bool.

    The same on every machine. Raises ValueError where a picture shows the defect at no place.
    """
    generator = torch.Generator().manual_seed(SEED)
    copies, masks = [], []
    for index, item in enumerate(items):
        found = damage(item, items[(index + 1) % len(items)], name, generator)
        copies.append(found.picture)
        masks.append(found.mask)
    return torch.stack(copies), torch.stack(masks)


def damage(item: Tensor, other: Tensor, name: str, generator: torch.Generator) -> Damaged:
    """One picture with the defect at the first place drawn that changes enough pixels. Raises Invisible."""
    region, defect = DEFECTS[name]
    picture, second = (each.float().reshape(*item.shape[:2], -1) / 255 for each in (item, other))
    for _ in range(_TRIES):
        soft = region(item.shape[0], item.shape[1], generator)
        changed = defect(picture, soft, second, generator).clamp(0, 1)
        copy = (changed * 255).round().to(torch.uint8).reshape(item.shape)
        difference = (copy.int() - item.int()).abs().reshape(*item.shape[:2], -1).amax(dim=2)
        mask = difference >= VISIBLE
        if int(mask.sum()) >= _LEAST:
            return Damaged(copy, mask, mask | (soft >= 0.5))
    raise Invisible(f"a picture shows no {name}")


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))


def _blob(height: int, width: int, generator: torch.Generator) -> Tensor:
    """An ellipse at a random place, its axes a fifth to two fifths of the shorter side, with an edge of one pixel."""
    side = min(height, width)
    long, short = (_uniform(0.1, 0.2, generator) * side for _ in range(2))
    angle = _uniform(0, math.pi, generator)
    down = torch.arange(height)[:, None] - _uniform(0.15, 0.85, generator) * height
    across = torch.arange(width) - _uniform(0.15, 0.85, generator) * width
    along, beside = (
        math.cos(angle) * across + math.sin(angle) * down,
        math.cos(angle) * down - math.sin(angle) * across,
    )
    radius = ((along / long).square() + (beside / short).square()).sqrt()
    return ((1 - radius) * min(long, short) + 0.5).clamp(0, 1)


def _line(height: int, width: int, generator: torch.Generator) -> Tensor:
    """A straight stroke of a random direction, a third to two thirds of the shorter side long."""
    side = min(height, width)
    length, thickness = _uniform(1 / 3, 2 / 3, generator) * side, max(side / 64, 0.6)
    angle = _uniform(0, math.pi, generator)
    down = torch.arange(height)[:, None] - _uniform(0.25, 0.75, generator) * height
    across = torch.arange(width) - _uniform(0.25, 0.75, generator) * width
    along, beside = (
        math.cos(angle) * across + math.sin(angle) * down,
        math.cos(angle) * down - math.sin(angle) * across,
    )
    outside = ((along.abs() - length / 2).clamp_min(0).square() + beside.square()).sqrt()
    return (thickness - outside + 0.5).clamp(0, 1)


def _mixed(picture: Tensor, soft: Tensor, instead: Tensor) -> Tensor:
    return picture + soft[:, :, None] * (instead - picture)


def _stain(picture: Tensor, soft: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
    """A spot of one random colour, half see-through."""
    return _mixed(picture, 0.6 * soft, torch.rand(picture.shape[2], generator=generator).expand_as(picture))


def _scratch(picture: Tensor, soft: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
    """A thin stroke, bright or dark."""
    return _mixed(picture, 0.8 * soft, torch.full_like(picture, float(_uniform(0, 1, generator) < 0.5)))


def _hole(picture: Tensor, soft: Tensor, _: Tensor, __: torch.Generator) -> Tensor:
    """What lies in the region is gone: it has the darkest colour of the picture."""
    return _mixed(picture, soft, picture.flatten(0, 1).amin(dim=0).expand_as(picture))


def _blur(picture: Tensor, soft: Tensor, _: Tensor, __: torch.Generator) -> Tensor:
    """Out of focus: the mean of 5x5 pixels, twice."""
    planes = picture.movedim(2, 0)[None]
    for _repeat in range(2):
        planes = functional.avg_pool2d(functional.pad(planes, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    return _mixed(picture, soft, planes[0].movedim(0, 2))


def _grain(picture: Tensor, soft: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of a standard deviation of 0.25."""
    return _mixed(picture, soft, picture + 0.25 * torch.randn(picture.shape, generator=generator))


def _foreign(picture: Tensor, soft: Tensor, other: Tensor, _: torch.Generator) -> Tensor:
    """A piece of another ordinary picture, turned by 90 degrees where the picture is square."""
    turned = other.rot90() if other.shape[0] == other.shape[1] else other.flip(0)
    return _mixed(picture, soft, turned)


def _fading(picture: Tensor, soft: Tensor, _: Tensor, __: torch.Generator) -> Tensor:
    """Half of the contrast, around mid-grey."""
    return _mixed(picture, soft, picture / 2 + 0.25)


DEFECTS: dict[str, tuple[Callable[[int, int, torch.Generator], Tensor], Defect]] = {
    "stain": (_blob, _stain),
    "scratch": (_line, _scratch),
    "hole": (_blob, _hole),
    "blur": (_blob, _blur),
    "grain": (_blob, _grain),
    "foreign piece": (_blob, _foreign),
    "fading": (_blob, _fading),
}
