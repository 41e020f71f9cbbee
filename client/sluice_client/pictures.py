"""Items as pictures: grids of images, and points of the plane."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING

import numpy as np

from sluice_client.npy import Array

if TYPE_CHECKING:
    from PIL.Image import Image

_GAP, _GREY = 2, 96
_SIDE, _MARGIN, _RADIUS = 480, 20, 2
_COLOURS = np.array([(13, 8, 75), (84, 39, 143), (188, 55, 84), (249, 142, 9), (252, 255, 164)])
"""Colours of a map, evenly spaced; each is lighter than the one before."""
_SHOWN_SIDE = 320
"""Pixels that the longer side of a small picture has at least where it is shown."""
MOST_SHOWN = 256
"""Items of one picture in a notebook."""


def to_image(pixels: Array) -> Image:
    """uint8 pixels (H, W) or (H, W, C) as an image of Pillow's."""
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)


def grid(images: Array) -> Array:
    """Images (N, H, W[, C]) as one picture: row by row, near-square, a grey line between. One image comes as it is."""
    if len(images) == 1:
        alone: Array = images[0]
        return alone
    count, height, width = images.shape[:3]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full(
        (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, *images.shape[3:]), _GREY, np.uint8
    )
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def coloured(maps: Array) -> Array:
    """Numbers (N, H, W) as colours (N, H, W, 3), all on one scale from the least to the greatest."""
    finite = np.nan_to_num(maps.astype(np.float64))
    low, high = float(finite.min()), float(finite.max())
    places = (finite - low) / max(high - low, 1e-12) * (len(_COLOURS) - 1)
    channels = [np.interp(places, np.arange(len(_COLOURS)), _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def scatter(points: Array) -> Image:
    """Points (N, 2) as a square picture, both axes on one scale."""
    from PIL import Image, ImageDraw

    low, high = points.min(axis=0), points.max(axis=0)
    reach = max(float((high - low).max()), 1e-9)
    places = (points - (low + high) / 2) / reach * (_SIDE - 2 * _MARGIN) + _SIDE / 2
    picture = Image.new("RGB", (_SIDE, _SIDE), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((_MARGIN / 2, _MARGIN / 2, _SIDE - _MARGIN / 2, _SIDE - _MARGIN / 2), outline="grey")
    for x, y in places.tolist():
        draw.ellipse((x - _RADIUS, _SIDE - y - _RADIUS, x + _RADIUS, _SIDE - y + _RADIUS), fill=(31, 119, 180))
    draw.text(
        (_MARGIN, _SIDE - 1.5 * _MARGIN), f"{low[0]:.3g} to {high[0]:.3g}, {low[1]:.3g} to {high[1]:.3g}", fill="grey"
    )
    return picture


def png(picture: Image) -> bytes:
    """An image as PNG."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def shown(picture: Image) -> bytes:
    """An image as PNG for a notebook: a small one in larger pixels."""
    from PIL import Image

    factor = max(_SHOWN_SIDE // max(picture.size), 1)
    if factor > 1:
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return png(picture)


def from_data_url(url: str) -> Image:
    """The image in a `data:image/png;base64,…` address."""
    from PIL import Image

    data = base64.b64decode(url.partition(",")[2])
    return Image.open(io.BytesIO(data), formats=("PNG",))
