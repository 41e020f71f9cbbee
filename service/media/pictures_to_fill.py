"""One picture of any size and what of it is to be filled in, as a request for an inpainting holds them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pictures import Preparation
from pictures.hidden import shrunk
from pictures.preparation import LEAST_SIDE, MOST_FILE_PIXELS, turned
from service.media.any_pictures import prepared
from service.media.items import Body, ItemSpec, Part, numbers_with_gaps, with_hidden_places
from service.media.npy import Array, from_npy
from service.media.pictures import Pixels, open_picture, split_transparency, white_places
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
            f"image is {shape[1]}x{shape[0]}; the sides must have {LEAST_SIDE} to {preparation.longest} pixels; "
            "only files are scaled down",
            "image",
        )
    return shape


def _picture_and_mask(body: Body, preparation: Preparation, fit: bool) -> tuple[Array, Array]:
    parts = {part.name: part for part in body.parts}
    for name in parts.keys() - {"image", "mask"}:
        raise WrongValue(f"there is no part {name[:40]!r}; the parts are image and mask", name[:40])
    if "image" not in parts:
        raise WrongValue("the multipart body lacks the file image", "image")
    image, mask = parts["image"], parts.get("mask")
    if image.type != NPY:
        return _scaled(image, mask, preparation, fit)
    array = from_npy(image.data)
    pixels = array.reshape(_checked_shape(array, preparation))
    if mask is None:
        raise _no_mask()
    return pixels, _of_colours(_places(mask, pixels.shape[:2], preparation.colours), pixels)


def _scaled(image: Part, mask: Part | None, preparation: Preparation, fit: bool) -> tuple[Pixels, Array]:
    """Pixels of a file, turned by its EXIF and perhaps scaled down, and where they are transparent or masked."""
    picture = turned(open_picture(image.data, "image", largest=MOST_FILE_PIXELS))
    if max(picture.size) > preparation.longest and not fit:
        raise WrongValue(
            f"image is {picture.width}x{picture.height}; the model works at a longer side of at most "
            f"{preparation.longest} pixels; fit=true scales the image and the mask down",
            "image",
        )
    opaque, transparent = split_transparency(picture, grey=preparation.colours == 1)
    hidden = None if transparent is None else white_places(transparent)
    if mask is not None:
        places = _places(mask, (picture.height, picture.width), preparation.colours)
        hidden = places if hidden is None else places | (hidden if places.ndim == 2 else hidden[..., None])
    if hidden is None:
        raise _no_mask()
    anywhere = hidden.reshape(*hidden.shape[:2], -1).any(axis=2)
    pixels = prepared(opaque, preparation, fit, "image", np.asarray(anywhere)).pixels
    return pixels, _of_colours(shrunk(hidden, *pixels.shape[:2]), pixels)


def _no_mask() -> WrongValue:
    return WrongValue("send a mask, or an image with transparent pixels", "mask")


def _places(mask: Part, size: tuple[int, ...], colours: int) -> NDArray[np.bool_]:
    """Where a mask hides a picture of the ``size`` (H, W): so shaped, or (H, W, 3) where an array tells each colour."""
    if mask.type == NPY:
        places = from_npy(mask.data).astype(bool)
        whole = size if colours == 1 else (*size, colours)
        if places.shape not in (size, whole, (1, *whole)):
            raise WrongValue(f"mask must be of shape {size}, not {places.shape}", "mask")
        return places.reshape(size if places.shape == size else whole)
    picture = turned(open_picture(mask.data, "mask", largest=MOST_FILE_PIXELS))
    if picture.size != size[::-1]:
        raise WrongValue(f"mask is {picture.width}x{picture.height}, and the image {size[1]}x{size[0]}", "mask")
    return white_places(picture)


def _of_colours(places: Array, pixels: Array) -> Array:
    """Places (H, W) as those of all colours of pixels (H, W[, 3])."""
    return places if places.ndim == pixels.ndim else np.broadcast_to(places[..., None], pixels.shape)
