"""How large the pictures of a snapshot are, and how larger ones are scaled down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SNAPSHOT_SIDE = 128
"""The longer side in pixels of a picture in a snapshot, at most."""


def snapshot_factor(height: int, width: int) -> int:
    """The whole number by which pictures of this size are scaled down in snapshots."""
    return -(-max(height, width) // SNAPSHOT_SIDE)


def reduced_shape(shape: Sequence[int], factor: int) -> tuple[int, ...]:
    """The shape of a picture (H, W[, C]) that is scaled down by a whole number."""
    return (-(-shape[0] // factor), -(-shape[1] // factor), *shape[2:])


def reduced(pictures: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Pictures (K, H, W[, C]) as means of squares of ``factor`` pixels a side, smaller at the far borders."""
    if factor == 1:
        return pictures
    sums, counts = pictures.astype(np.uint32), np.ones(pictures.shape[1:3], dtype=np.uint32)
    for axis in (1, 2):
        sums = np.add.reduceat(sums, np.arange(0, pictures.shape[axis], factor), axis=axis)
        counts = np.add.reduceat(counts, np.arange(0, pictures.shape[axis], factor), axis=axis - 1)
    counts = counts.reshape(1, *counts.shape, *[1] * (pictures.ndim - 3))
    means: NDArray[np.uint8] = ((sums + counts // 2) // counts).astype(np.uint8)
    return means
