"""Pictures of which a part is hidden: made smaller, so that what is hidden does not show in the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_AROUND = 64
"""Pixels around the hidden part that tell what it is filled with: of a vast picture, no more are looked at."""


def filled(picture: Image.Image, hidden: NDArray[np.bool_]) -> Image.Image:
    """A picture in mode L or RGB whose ``hidden`` places (H, W) look like the known ones nearby.

    Pictures of half the size are made of the known pixels alone, until all places are known, and each hidden place is
    taken from the largest that knows it ("pull" and "push": Gortler et al. 1996, "The lumigraph").
    """
    rows, columns = (np.flatnonzero(hidden.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return picture
    box = (
        max(0, int(columns[0]) - _AROUND),
        max(0, int(rows[0]) - _AROUND),
        min(picture.width, int(columns[-1]) + 1 + _AROUND),
        min(picture.height, int(rows[-1]) + 1 + _AROUND),
    )
    known = Image.fromarray(np.where(hidden[box[1] : box[3], box[0] : box[2]], 0, 255).astype(np.uint8))
    part = picture.crop(box)
    part.putalpha(known)
    levels = [part]
    while levels[-1].getchannel("A").getextrema()[0] == 0 and max(levels[-1].size) > 1:
        half = levels[-1].reduce(2)
        half.putalpha(half.getchannel("A").point(lambda share: 255 * (share > 0)))
        levels.append(half)
    found = levels.pop()
    for level in reversed(levels):
        guess = found.resize(level.size, Image.Resampling.BILINEAR)
        found = Image.composite(level, guess, level.getchannel("A"))
    whole = picture.copy()
    whole.paste(found.convert(picture.mode), box)
    return whole


def shrunk(places: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Places (H, W) of a smaller picture (height, width): each that holds any, in whole or in part."""
    for axis, side in enumerate((height, width)):
        places = _any_of_parts(places, side, axis)
    return places


def _any_of_parts(places: NDArray[np.bool_], parts: int, axis: int) -> NDArray[np.bool_]:
    side = places.shape[axis]
    if parts == side:
        return places
    starts = np.arange(parts) * side // parts
    ends = -(-(np.arange(parts) + 1) * side // parts)
    one_more = np.concatenate([places, np.zeros_like(places.take([0], axis=axis))], axis=axis)  # ends may be its place
    bounds = np.stack([starts, ends], axis=1).flatten()
    found: NDArray[np.bool_] = np.logical_or.reduceat(one_more, bounds, axis=axis)
    return found[::2] if axis == 0 else found[:, ::2]
