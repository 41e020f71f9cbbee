"""Pictures of an aligned part, drawn: a brushed metal plate with holes, a slot and a ring, always at the same places.

What varies, as in a real fixture: the plate lies up to 1/64 of the side off, turned by up to one degree; the radius of
each hole is off by 4 % and its place by a tenth of its radius (standard deviations); light comes from a random
direction, of a random strength; brush marks and the camera's noise are new in each picture.

Three defects can only be told by place, since each shows what an ordinary picture has elsewhere: a hole is missing, a
hole is shifted by its diameter, and there is one hole too many.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.defects import VISIBLE

PLACE_DEFECTS = ("missing hole", "shifted hole", "extra hole")
_HOLES = ((0.22, 0.2), (0.22, 0.5), (0.22, 0.8), (0.78, 0.2), (0.78, 0.8))
"""Centres (row, column) as shares of the side. The sixth place of the two rows has none."""
_EXTRA = (0.78, 0.5)
_RADIUS = 0.055
Floats = NDArray[np.float64]


class _Hole(NamedTuple):
    row: float
    column: float
    radius: float


def parts(side: int, count: int, seed: int) -> Tensor:
    """Ordinary pictures (count, side, side) uint8; the same on every machine."""
    drawn = [_drawn(side, np.random.default_rng([seed, index]), None) for index in range(count)]
    return torch.from_numpy(np.stack(drawn))


def faulty_parts(side: int, count: int, seed: int, defect: str) -> tuple[Tensor, Tensor]:
    """Pictures (count, side, side) uint8 with a defect of the place, and masks of the pixels that it changed, bool."""
    both = [
        [_drawn(side, np.random.default_rng([seed, index]), change) for change in (None, defect)]
        for index in range(count)
    ]
    ordinary, faulty = (torch.from_numpy(np.stack(each)) for each in zip(*both, strict=True))
    return faulty, (faulty.int() - ordinary.int()).abs() >= VISIBLE


def _drawn(side: int, generator: np.random.Generator, defect: str | None) -> NDArray[np.uint8]:
    angle = math.radians(generator.uniform(-1, 1))
    off_down, off_across = generator.uniform(-1 / 64, 1 / 64, 2)
    down, across = ((np.mgrid[:side, :side] + 0.5) / side - 0.5).astype(np.float64)
    row = math.cos(angle) * down - math.sin(angle) * across + 0.5 - off_down
    column = math.sin(angle) * down + math.cos(angle) * across + 0.5 - off_across
    holes = [
        _Hole(
            r + generator.normal(0, 0.1 * _RADIUS),
            c + generator.normal(0, 0.1 * _RADIUS),
            _RADIUS * (1 + generator.normal(0, 0.04)),
        )
        for r, c in _HOLES
    ]
    which, way = int(generator.integers(len(holes))), generator.choice([-1.0, 1.0])
    direction, strength = generator.uniform(0, 2 * math.pi), generator.uniform(0, 0.35)
    level = generator.uniform(0.9, 1.1)
    marks = generator.normal(0, 1, (side, 1)) + 0.5 * generator.normal(0, 1, (side, side)).cumsum(axis=1) / side**0.5
    noise = generator.normal(0, 3, (side, side))

    # From here on nothing is drawn at random: a faulty picture differs from its ordinary one in the defect alone.
    if defect == "missing hole":
        del holes[which]
    elif defect == "shifted hole":
        moved = holes[which]
        inwards = way if 0.3 < moved.column < 0.7 else math.copysign(1, 0.5 - moved.column)
        holes[which] = moved._replace(column=moved.column + inwards * 2 * _RADIUS)
    elif defect == "extra hole":
        holes.append(_Hole(_EXTRA[0], _EXTRA[1], _RADIUS))
    elif defect is not None:
        raise ValueError(f"no defect of the place is called {defect}")
    return _lit(side, row, column, holes, marks, noise, level * (1 + strength * _slope(down, across, direction)))


def _slope(down: Floats, across: Floats, direction: float) -> Floats:
    return math.cos(direction) * down + math.sin(direction) * across


def _lit(
    side: int, row: Floats, column: Floats, holes: list[_Hole], marks: Floats, noise: Floats, light: Floats
) -> NDArray[np.uint8]:
    def inside(distance: Floats) -> Floats:
        """1 within a shape, 0 outside, with an edge of one pixel; the distance is negative within."""
        return (0.5 - distance * side).clip(0, 1)

    plate = inside(np.maximum(abs(row - 0.5), abs(column - 0.5)) - 0.42)
    grey = 30 + plate * (150 - 30 + 5 * marks)
    ring = abs(np.hypot(row - 0.5, column - 0.5) - 0.13) - 0.02
    grey += (95 - grey) * inside(ring)
    slot = np.maximum(abs(row - 0.5) - 0.02, abs(column - 0.5) - 0.07)
    grey += (35 - grey) * inside(slot)
    for hole in holes:
        away = np.hypot(row - hole.row, column - hole.column)
        grey += (200 - grey) * inside(away - 1.3 * hole.radius)  # a bright chamfer
        grey += (25 - grey) * inside(away - hole.radius)
    return (grey * light + noise).round().clip(0, 255).astype(np.uint8)
