"""One picture of any size and what of it is to be filled in, as a request for an inpainting holds them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pictures import Preparation
from pictures.preparation import LEAST_SIDE, MOST_FILE_PIXELS, turned
from service.media.any_pictures import prepared
from service.media.items import Body, ItemSpec, Part, numbers_with_gaps, with_hidden_places
from service.media.npy import Array, from_npy
from service.media.pictures import Pixels, open_picture, split_transparency
from service.media.types import CSV, NPY
from service.protocol import windows
from service.protocol.errors import TooLarge, WrongType, WrongValue
from service.protocol.windows import Window, window_of

_MOST_PIXELS = 2**24
"""Pixels of all completions of a request together."""


class ToFill(NamedTuple):
    """A picture, where it is hidden, and the window on which the work is done."""

    item: Pixels
    """(1, H, W) or (1, H, W, 3), black in its hidden places."""
    hidden: NDArray[np.bool_]
    """As ``item``."""
    window: Window


def picture_to_fill(body: Body, preparation: Preparation, fit: bool, n: int) -> ToFill:
    """The picture of a body, for ``n`` completions, in the forms that ``items.inpainting_of`` takes.

    A picture with a longer side than the model works at is refused unless ``fit``, which scales it and its mask down;
    so is a grey one for a colour model, or the other way round. Raises as ``inpainting_of``; WrongValue too where the
    window is too large, and TooLarge for too many completions of it.
    """
    if body.type == CSV:
        raise WrongType("the model's items are pictures; send PNG, JPEG, npy or JSON", "Content-Type")
    largest = preparation.longest, preparation.longest, preparation.colours
    array, hidden = numbers_with_gaps(body, largest) or _picture_and_mask(body, preparation, fit)
    spec = ItemSpec(_checked_shape(array, preparation), True)
    item, places = with_hidden_places(array, hidden, spec)
    window = window_of(places)
    if window.pixels > windows.MOST_PIXELS:
        height, width = window.shape
        raise WrongValue(
            f"mask: what is hidden, with {windows.MARGIN} pixels around it, spans {width}x{height}; at most "
            f"{windows.MOST_PIXELS:,} pixels are filled in at once: hide less in one request",
            "mask",
        )
    if n * places.shape[1] * places.shape[2] > _MOST_PIXELS:
        raise TooLarge(f"n={n} completions of this picture have more than {_MOST_PIXELS:,} pixels; ask for fewer", "n")
    return ToFill(item, places, window)


def _checked_shape(array: Array, preparation: Preparation) -> tuple[int, ...]:
    """The shape of one picture, which numbers must have. Raises WrongValue."""
    colours = () if preparation.colours == 1 else (3,)
    shape = array.shape[1:] if array.ndim == 3 + len(colours) and len(array) == 1 else array.shape
    if len(shape) != 2 + len(colours) or shape[2:] != colours:
        wanted = "(H, W)" if preparation.colours == 1 else "(H, W, 3)"
        raise WrongValue(f"image must be of shape {wanted}, not {tuple(array.shape)}", "image")
    if min(shape[:2]) < LEAST_SIDE or max(shape[:2]) > preparation.longest:
        raise WrongValue(
            f"image is {shape[1]}x{shape[0]}; the sides must have {LEAST_SIDE} to {preparation.longest} pixels", "image"
        )
    return shape


def _picture_and_mask(body: Body, preparation: Preparation, fit: bool) -> tuple[Array, Array]:
    parts = {part.name: part for part in body.parts}
    for name in parts.keys() - {"image", "mask"}:
        raise WrongValue(f"there is no part {name[:40]!r}; the parts are image and mask", name[:40])
    if "image" not in parts:
        raise WrongValue("the multipart body lacks the file image", "image")
    if parts["image"].type == NPY:
        array, own = from_npy(parts["image"].data), None
        pixels = array.reshape(_checked_shape(array, preparation))
        size = pixels.shape[1], pixels.shape[0]
    else:
        pixels, own, size = _picture(parts["image"], preparation, fit)
    masks = [] if own is None else [own]
    if "mask" in parts:
        masks.append(_mask(parts["mask"], pixels, size))
    if not masks:
        raise WrongValue("send a mask, or an image with transparent pixels", "mask")
    return pixels, masks[0] if len(masks) == 1 else masks[0] | masks[1]


def _picture(part: Part, preparation: Preparation, fit: bool) -> tuple[Pixels, Array | None, tuple[int, int]]:
    """Pixels, where they are transparent, and the width and height of the picture that was sent, turned by its EXIF."""
    picture = turned(open_picture(part.data, "image", largest=MOST_FILE_PIXELS))
    size = picture.size
    if max(size) > preparation.longest and not fit:
        raise WrongValue(
            f"image is {size[0]}x{size[1]}; the model works at a longer side of at most {preparation.longest} pixels; "
            "fit=true scales the image and the mask down",
            "image",
        )
    opaque, transparent = split_transparency(picture)
    pixels = prepared(opaque, preparation, fit, "image").pixels
    return pixels, None if transparent is None else _scaled(transparent, pixels), size


def _mask(part: Part, pixels: Pixels, size: tuple[int, int]) -> Array:
    """Where a mask for pixels (H, W[, 3]) hides them; it must have the ``size`` of the picture that was sent."""
    if part.type == NPY:
        places = from_npy(part.data).astype(bool)
        if places.shape == pixels.shape[:2]:
            return _of_colours(places, pixels)
        if places.shape not in (pixels.shape, (1, *pixels.shape)):
            raise WrongValue(f"mask must be of shape {pixels.shape[:2]}, not {places.shape}", "mask")
        return places.reshape(pixels.shape)
    mask = open_picture(part.data, "mask", largest=MOST_FILE_PIXELS)
    if mask.size != size:
        raise WrongValue(f"mask is {mask.width}x{mask.height}, and the image {size[0]}x{size[1]}", "mask")
    return _scaled(mask, pixels)


def _scaled(mask: Image.Image, pixels: Pixels) -> Array:
    """Where a mask of any size is white; of a larger one, each pixel that holds any white."""
    white = mask.convert("L").point(lambda level: 255 * (level >= 128))
    size = (pixels.shape[1], pixels.shape[0])
    found = np.asarray(white if white.size == size else white.resize(size, Image.Resampling.BOX)) > 0
    return _of_colours(found, pixels)


def _of_colours(places: Array, pixels: Pixels) -> Array:
    """Places (H, W) as those of all colours of pixels (H, W[, 3])."""
    return places if pixels.ndim == 2 else np.broadcast_to(places[..., None], pixels.shape)
