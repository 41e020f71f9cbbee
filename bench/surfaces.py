"""Pictures of surfaces, cut from photographs inside scikit-image: some stripes to train on, those between to test on.

Light and scale change across a photograph. With one half to train on and the other to test on, half of the ordinary
bricks were rightly unusual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_ROOM = 1.25
"""The width of a stripe in sides of a picture, at least."""
_LEAST = 3
"""Stripes of a photograph: two to train on and one between them."""

WINDOWS: Mapping[str, tuple[slice, slice]] = {
    "brick": (slice(None), slice(None)),
    "grass": (slice(None), slice(None)),
    "gravel": (slice(None), slice(None)),
    "immunohistochemistry": (slice(None), slice(None)),
    "retina": (slice(220, 1190), slice(220, 1190)),  # within the eye
    "hubble_deep_field": (slice(None), slice(None)),
    "moon": (slice(None), slice(None)),
}
"""The photographs, and the part of each that is taken. All of them come inside the wheel."""


class Surface(NamedTuple):
    """uint8 pictures (N, side, side[, 3])."""

    train: Tensor
    test: Tensor
    known: Tensor = torch.empty(0, dtype=torch.uint8)
    """Other pictures of the places that were trained on, where they were asked for."""


def surface(name: str, side: int, train: int, test: int, seed: int = 0) -> Surface:
    """Square pictures at random places of a photograph's stripes; the same on every machine."""
    from skimage import data

    photographs: Any = data
    whole = np.asarray(getattr(photographs, name)())[WINDOWS[name]]
    stripes = np.array_split(whole, _stripes(whole.shape[1], side), axis=1)
    generator = np.random.default_rng(seed)
    return Surface(_cut(stripes[0::2], side, train, generator), _cut(stripes[1::2], side, test, generator))


def has_room(name: str, side: int) -> bool:
    """Whether a photograph is wide enough for three stripes of pictures of this side."""
    from skimage import data

    photographs: Any = data
    return int(np.asarray(getattr(photographs, name)())[WINDOWS[name]].shape[1] / (_ROOM * side)) >= _LEAST


def _stripes(width: int, side: int) -> int:
    """An odd number of stripes, so that test pictures always lie between training pictures. Raises ValueError."""
    count = int(width / (_ROOM * side))
    if count < _LEAST:
        raise ValueError(f"a photograph {width} pixels wide has no room for three stripes of pictures of {side}")
    return count - (count + 1) % 2


def _cut(stripes: Sequence[np.ndarray], side: int, count: int, generator: np.random.Generator) -> Tensor:
    found = []
    for stripe in generator.integers(0, len(stripes), count):
        part = stripes[stripe]
        row, column = (int(generator.integers(0, extent - side + 1)) for extent in part.shape[:2])
        found.append(part[row : row + side, column : column + side])
    return torch.from_numpy(np.stack(found))
