"""The maps of a score's pictures, each in its own size, with its regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from service.media.pictures import Pixels
from service.media.regions import Places, Region, regions
from service.protocol.messages import Arrays


class Maps(NamedTuple):
    """Pictures as the model looks at them, and their maps, a list of each."""

    items: Sequence[Pixels]
    rarity: Sequence[Places]
    p_values: Sequence[Places]

    def regions(self, alpha: float) -> list[list[Region]]:
        """The regions of each picture, in the pixels of its map."""
        return [regions(values, p_values, alpha) for values, p_values in zip(self.rarity, self.p_values, strict=True)]


def cropped(scored: Arrays, items: Pixels) -> Maps:
    """Of items (N, H, W[, C]) and their scores with maps. What fills up pictures of several sizes is cut off."""
    if "sides" not in scored:
        return Maps(list(items), list(scored["rarity"]), list(scored["place_p_value"]))

    def own(array: NDArray[Any]) -> list[NDArray[Any]]:
        sides = scored["sides"].tolist()
        return [whole[:height, :width] for whole, (height, width) in zip(array, sides, strict=True)]

    return Maps(own(items), own(scored["rarity"]), own(scored["place_p_value"]))
