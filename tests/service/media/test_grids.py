"""Grids of pictures, and previews of a bounded size."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from service.media.grids import grid, preview
from service.media.pictures import to_png
from service.protocol.defaults import PICTURED
from service.protocol.snapshots import SNAPSHOT_SIDE, reduced


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3), (28, 28, 1)])
def test_a_preview_of_small_pictures_is_their_grid(shape: tuple[int, ...]) -> None:
    for count in (1, 4, PICTURED):
        images = noise(count, *shape)
        np.testing.assert_array_equal(preview(images), grid(images))


@pytest.mark.parametrize(
    "shape", [(64, 64, 3), (SNAPSHOT_SIDE, SNAPSHOT_SIDE, 3), (8, SNAPSHOT_SIDE), (SNAPSHOT_SIDE, 9, 3)]
)
@pytest.mark.parametrize("count", [1, 2, PICTURED])
def test_a_preview_is_small_whatever_is_filled_in(shape: tuple[int, ...], count: int) -> None:
    # Noise is what PNG packs least.
    shown = preview(noise(count, *shape))
    assert max(shown.shape[:2]) <= 136
    assert shown.shape[2:] == shape[2:]
    assert len(base64.b64encode(to_png(shown))) <= 76_000


def test_a_picture_is_scaled_down_by_means_of_squares() -> None:
    picture = np.repeat(np.repeat(noise(3, 4, 3), 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(reduced(picture[None], 2)[0], picture[::2, ::2])
    assert reduced(noise(7, 5)[None], 2).shape == (1, 4, 3)
