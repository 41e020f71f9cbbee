"""Pictures of surfaces, cut from photographs inside scikit-image: one part to train on, another to test on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_TRAIN_SHARE = 0.6
"""Of a photograph's width: what lies to the left is trained on, what lies to the right is tested on."""

WINDOWS: Mapping[str, tuple[slice, slice]] = {
    "brick": (slice(None), slice(None)),
    "grass": (slice(None), slice(None)),
    "gravel": (slice(None), slice(None)),
    "immunohistochemistry": (slice(None), slice(None)),
    "retina": (slice(300, 1100), slice(300, 1100)),  # within the eye
    "moon": (slice(None), slice(None)),
}
"""The photographs, and the part of each that is taken. All of them come inside the wheel."""


class Surface(NamedTuple):
    """uint8 pictures (N, side, side[, 3])."""

    train: Tensor
    test: Tensor


def surface(name: str, side: int, train: int, test: int, seed: int = 0) -> Surface:
    """Square pictures at random places of both parts of a photograph; the same on every machine."""
    from skimage import data

    photographs: Any = data
    whole = np.asarray(getattr(photographs, name)())[WINDOWS[name]]
    border = round(whole.shape[1] * _TRAIN_SHARE)
    generator = np.random.default_rng(seed)
    return Surface(
        _cut(whole[:, :border], side, train, generator),
        _cut(whole[:, border:], side, test, generator),
    )


def _cut(part: np.ndarray, side: int, count: int, generator: np.random.Generator) -> Tensor:
    rows = generator.integers(0, part.shape[0] - side + 1, count)
    columns = generator.integers(0, part.shape[1] - side + 1, count)
    found = [part[row : row + side, column : column + side] for row, column in zip(rows, columns, strict=True)]
    return torch.from_numpy(np.stack(found))
