"""The strange regions of a picture: connected places of its map, each with its box, area, p-value and peak."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

Places = NDArray[np.floating[Any]]
"""(H, W): a value for each place."""


class Peak(Struct):
    """The strangest place of a region."""

    row: int
    column: int
    rarity: Annotated[float, Meta(description="-log10 of the share of places of ordinary pictures as strange.")]


class Region(Struct):
    """Connected places that are each rarer than alpha, as the strangest place of a whole picture."""

    box: Annotated[
        tuple[int, int, int, int], Meta(description="First row, first column, last row + 1, last column + 1.")
    ]
    area: Annotated[int, Meta(description="Its number of pixels.")]
    p_value: Annotated[
        float, Meta(description="The share of ordinary pictures that have a place as strange as its peak.")
    ]
    peak: Peak


def regions(rarity: Places, p_values: Places, alpha: float) -> list[Region]:
    """The regions of one picture at alpha, the strangest first, from both maps (H, W) of a score.

    Places that touch at a side or a corner belong to one region.
    """
    found = []
    for places in _components(p_values <= alpha):
        rows, columns = places // rarity.shape[1], places % rarity.shape[1]
        peak = int(rarity[rows, columns].argmax())
        row, column = int(rows[peak]), int(columns[peak])
        box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        found.append(
            Region(box, len(places), float(p_values[row, column]), Peak(row, column, float(rarity[row, column])))
        )
    return sorted(found, key=lambda region: -region.peak.rarity)


def scaled(region: Region, size: tuple[int, int], sent: tuple[int, int]) -> Region:
    """A region in the pixels of the picture that was ``sent``, from a map of ``size``: both (height, width).

    Whole numbers throughout: the rounding of a quotient could take the end of a box beyond the picture.
    """
    if size == sent:
        return region
    (height, width), (sent_height, sent_width) = size, sent
    top, left, bottom, right = region.box
    box = (
        top * sent_height // height,
        left * sent_width // width,
        -(-bottom * sent_height // height),
        -(-right * sent_width // width),
    )
    row, column = (2 * place + 1 for place in (region.peak.row, region.peak.column))
    peak = Peak(row * sent_height // (2 * height), column * sent_width // (2 * width), region.peak.rarity)
    area = round(region.area * sent_height * sent_width / (height * width))
    return Region(box, area, region.p_value, peak)


def _components(flags: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The flat places of each connected part of flags (H, W).

    Every place takes the least number among itself and its neighbours until nothing changes; numbers jump to the
    number that theirs has taken, so that this ends after few rounds whatever the shape.
    """
    height, width = flags.shape
    places = np.flatnonzero(flags)
    if not len(places):
        return []
    numbers = np.full((height + 2, width + 2), height * width, dtype=np.int64)
    inner = numbers[1:-1, 1:-1]
    inner[flags] = places
    while True:
        least = inner.copy()
        for down in range(3):
            for across in range(3):
                np.minimum(least, numbers[down : down + height, across : across + width], out=least)
        least = least[flags]
        parents = np.arange(height * width + 1)
        np.minimum.at(parents, inner[flags], least)
        while not np.array_equal(jumped := parents[parents], parents):
            parents = jumped
        changed = parents[least]
        if np.array_equal(changed, inner[flags]):
            break
        inner[flags] = changed
    order = np.argsort(changed, kind="stable")
    starts = np.flatnonzero(np.diff(changed[order])) + 1
    return np.split(places[order], starts)
