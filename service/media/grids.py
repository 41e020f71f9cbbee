"""Many items in one picture: a grid of images, or a scatter of points in the plane."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.media.pictures import Pixels
from service.protocol.snapshots import reduced

_GAP, _GREY = 2, 96
_PREVIEW_SIDE = 136
"""Holds 16 pictures of 32x32 as they are; in colour a PNG of it takes 56 KB at most."""
_SIDE, _MARGIN, _RADIUS, _OVERSAMPLING = 512, 40, 2.0, 2
_PAPER, _AXIS, _POINT = (255, 255, 255), (128, 128, 128), (31, 119, 180)


def grid(images: Pixels) -> Pixels:
    """Images (N, H, W[, C]) as one picture: row by row, near-square, a grey line between. One image comes as it is."""
    count, height, width = images.shape[:3]
    if count == 1:
        alone: Pixels = images[0]
        return alone
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, *images.shape[3:])
    sheet = np.full(shape, _GREY, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def preview(images: Pixels) -> Pixels:
    """The grid of images (N, H, W[, C]), scaled down by a whole number to at most 136 pixels a side."""
    sheet = grid(images)
    smaller: Pixels = reduced(sheet[None], -(-max(sheet.shape[:2]) // _PREVIEW_SIDE))[0]
    return smaller


def scatter(points: NDArray[np.floating]) -> Pixels:
    """Points (N, 2) as a square picture (H, W, 3): both axes on one scale, the extent written on the frame."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, reach = (low + high) / 2, max(float((high - low).max()) / 2 * 1.05, 1e-6)
    side, margin, radius = (value * _OVERSAMPLING for value in (_SIDE, _MARGIN, _RADIUS))
    inner = side - 2 * margin
    picture = Image.new("RGB", (int(side), int(side)), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((margin, margin, side - margin, side - margin), outline=_AXIS, width=_OVERSAMPLING)
    places = margin + ((points - centre) / reach + 1) / 2 * inner
    for x, y in zip(places[:, 0].tolist(), (side - places[:, 1]).tolist(), strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_POINT)
    picture = picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    _label(ImageDraw.Draw(picture), centre - reach, centre + reach)
    return np.asarray(picture)


def _label(draw: ImageDraw.ImageDraw, low: NDArray[np.floating], high: NDArray[np.floating]) -> None:
    far = _SIDE - _MARGIN
    draw.text((_MARGIN, far + 4), f"{low[0]:.3g}", fill=_AXIS, anchor="lt")
    draw.text((far, far + 4), f"{high[0]:.3g}", fill=_AXIS, anchor="rt")
    draw.text((_MARGIN - 4, far), f"{low[1]:.3g}", fill=_AXIS, anchor="rb")
    draw.text((_MARGIN - 4, _MARGIN), f"{high[1]:.3g}", fill=_AXIS, anchor="rt")
