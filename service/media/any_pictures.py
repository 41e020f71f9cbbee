"""Pictures of any size to items of a model that takes them: prepared as in training, and filled up to one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pictures import BadPicture, Preparation
from pictures.preparation import MOST_FILE_PIXELS, turned_size
from service.media import effort
from service.media.items import Body, levels
from service.media.json_items import items_from_json
from service.media.npy import Array, from_npy
from service.media.pictures import Pixels, open_picture
from service.media.types import CSV, JSON, NPY
from service.protocol.errors import TooLarge, WrongType, WrongValue
from service.protocol.messages import Arrays
from service.protocol.model_info import ModelInfo

MOST_PIXELS = 2**24
"""Pixels of all pictures of a request together, once they are filled up to one size."""
_SAME_SCALE = 1.25
"""Up to here pictures that are scaled down by more, or by less, than those that calibrate have about their scale."""


def preparation_of(model: ModelInfo, *, judged: bool) -> Preparation | None:
    """What a model that takes pictures of any size does to each; None for any other model.

    Where they are ``judged``, a model of aligned pictures takes one size alone. It fills in pictures of any size.
    """
    pictures = model.pictures
    if pictures is None:
        return None
    colours = 3 if len(model.item_shape) > 2 else 1
    return Preparation(pictures.longest, colours, pictures.bits, pictures.aligned_size if judged else None)


class SentPictures(NamedTuple):
    """Pictures of a request, in the order sent."""

    items: Pixels
    """(N, H, W) or (N, H, W, 3): each in the upper left corner, black beyond."""
    sides: NDArray[np.int64]
    """(N, 2): the height and width of each picture as the model looks at it."""
    scale: NDArray[np.float64]
    """(N, 2): by how much the picture that was sent is higher and wider."""

    def each(self) -> list[Pixels]:
        """The pictures without what fills them up."""
        return [item[:height, :width] for item, (height, width) in zip(self.items, self.sides.tolist(), strict=True)]

    def arrays(self) -> Arrays:
        """What the device is sent."""
        return {"items": self.items, "sides": self.sides}

    def take(self, rows: Sequence[int]) -> SentPictures:
        """Some of the pictures."""
        return SentPictures(self.items[rows], self.sides[rows], self.scale[rows])


def pictures_of(body: Body, preparation: Preparation, fit: bool, most: int) -> SentPictures:
    """The pictures of a body: files, or a npy or JSON batch of one size. Raises as ``items.items_of``.

    A picture in colour for a grey model, or the other way round, is refused unless ``fit``.
    """
    if body.type == CSV:
        raise WrongType("the model's items are pictures; send PNG, JPEG, npy or JSON", "Content-Type")
    if body.type in (NPY, JSON):
        data, entries = body.parts[0].data, preparation.colours * preparation.longest**2
        array = from_npy(data) if body.type == NPY else items_from_json(data, "items", most, entries)
        return pictures_of_array(array, preparation, "items")
    return filled_up(_files(body, preparation, fit))


def _files(body: Body, preparation: Preparation, fit: bool) -> Iterator[Prepared]:
    for index, part in enumerate(body.parts):
        field = f"items[{index}]"
        if part.type == NPY:
            raise WrongType("a multipart body holds PNG or JPEG files; send a npy batch as the whole body", field)
        picture = open_picture(part.data, field, largest=MOST_FILE_PIXELS)
        yield prepared(picture, preparation, fit, field)


class Prepared(NamedTuple):
    """One picture as a model looks at it, and by how much the one that was sent is higher and wider."""

    pixels: Pixels
    scale: tuple[float, float]


def prepared(
    picture: Image.Image, preparation: Preparation, fit: bool, field: str, hidden: NDArray[np.bool_] | None = None
) -> Prepared:
    """One decoded picture, of which some places may be ``hidden``. Raises WrongValue where the model cannot take it."""
    try:
        pixels = preparation(picture, convert=fit, hidden=hidden)
    except BadPicture as error:
        hint = "; fit=true converts" if "the model's pictures are" in str(error) else ""
        raise WrongValue(f"{field} {error}{hint}", field) from error
    turned = turned_size(picture)
    return Prepared(pixels, (turned[1] / pixels.shape[0], turned[0] / pixels.shape[1]))


def pictures_of_array(array: Array, preparation: Preparation, field: str) -> SentPictures:
    """Pixels (H, W[, 3]) or (N, H, W[, 3]), levels or fractions. Raises WrongValue."""
    wanted, colours = ("(H, W)", ()) if preparation.colours == 1 else ("(H, W, 3)", (3,))
    if array.ndim == 2 + len(colours):
        array = array[None]
    if array.ndim != 3 + len(colours) or array.shape[3:] != colours or not array.size:
        raise WrongValue(f"{field} must be of shape {wanted} or (N, ...), not {tuple(array.shape)}", field)
    effort.spend(int(np.prod(array.shape[:3])), field)
    pixels = levels(array, field, 0)
    return filled_up(
        prepared(Image.fromarray(item), preparation, True, f"{field}[{k}]") for k, item in enumerate(pixels)
    )


def picture_of_array(array: Array, preparation: Preparation, field: str, item: int) -> Prepared:
    """Pixels (H, W[, 3]), levels or fractions, of the picture with this number. Raises WrongValue."""
    wanted, colours = ("(H, W)", ()) if preparation.colours == 1 else ("(H, W, 3)", (3,))
    if array.ndim != 2 + len(colours) or array.shape[2:] != colours or not array.size:
        raise WrongValue(f"{field} must be of shape {wanted}, not {tuple(array.shape)}", field)
    pixels = levels(array[None], field, item)[0]
    return prepared(Image.fromarray(pixels), preparation, True, field)


def filled_up(pictures: Iterable[Prepared]) -> SentPictures:
    """Pictures of several sizes in one array. Raises TooLarge at the first with which they would not fit a request."""
    found: list[Prepared] = []
    height = width = 0
    for picture in pictures:  # which may be decoded one by one: no more of them than may be kept
        height, width = max(height, picture.pixels.shape[0]), max(width, picture.pixels.shape[1])
        found.append(picture)
        if len(found) * height * width > MOST_PIXELS:
            raise TooLarge(
                f"{len(found)} pictures of up to {width}x{height} have more than {MOST_PIXELS:,} pixels; send fewer in "
                "one request",
                "items",
            )
    sides = np.array([each.pixels.shape[:2] for each in found], dtype=np.int64)
    items = np.zeros((len(found), height, width, *found[0].pixels.shape[2:]), dtype=np.uint8)
    for item, each in zip(items, found, strict=True):
        item[: each.pixels.shape[0], : each.pixels.shape[1]] = each.pixels
    return SentPictures(items, sides, np.array([each.scale for each in found], dtype=np.float64))


def notes_on(sides: NDArray[np.int64], scale: NDArray[np.float64], model: ModelInfo) -> tuple[str, ...]:
    """What the sender should know: pictures of other sizes, or of another scale, than those behind the p-values.

    ``sides`` and ``scale`` (N, 2) are as in ``SentPictures``.
    """
    known = model.pictures
    if known is None:
        return ()
    found, count = [], len(sides)
    other = ((sides < known.shortest_side) | (sides > known.longest_side)).any(axis=1)
    if other.any():
        found.append(
            f"{other.sum()} of {count} pictures have a side outside {known.shortest_side} to {known.longest_side} "
            "pixels, the sizes that p-values rest on"
        )
    if known.reductions is not None:
        least, most = known.reductions
        by = scale.max(axis=1)
        # Aligned parts fill their pictures at any scale, but noise and edges are averaged.
        looks = "larger or smaller" if known.aligned_size is None else "smoother or rougher"
        elsewhere = (by < least / _SAME_SCALE) | (by > most * _SAME_SCALE)
        if elsewhere.any():
            found.append(
                f"{elsewhere.sum()} of {count} pictures were scaled down {_times(by[elsewhere])}, those that p-values "
                f"rest on {_times(np.array([least, most]))}: what they show looks {looks} to the model"
            )
    return tuple(found)


def _times(factors: NDArray[np.float64]) -> str:
    low, high = (f"{each:.1f}" for each in (factors.min(), factors.max()))
    return f"{low} times" if low == high else f"{low} to {high} times"
