"""Maps of where pictures are strange, as pictures: the map's colours beside the picture, with a legend.

The colours are five points of matplotlib's "plasma", whose lightness rises all the way: they can be told apart by
people who see few colours, and on a grey print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.media.pictures import Pixels
from service.media.regions import Places, Region
from service.protocol.errors import TooLarge

_COLOURS = np.array([(13, 8, 135), (126, 3, 168), (204, 71, 120), (248, 149, 64), (240, 249, 33)], dtype=np.float64)
_COMMON, _RARE = 1.0, 5.0
"""The rarities between which a colour turns from the first to the last: 1 place in 10, and 1 in 100,000."""
_STRENGTH = 0.85
"""The share of the rarest colour over the picture."""
_SIDE = 224
"""Pixels of a panel's shorter side at least: small pictures are magnified by whole numbers."""
_LONGEST = 1024
"""Pixels to which the longer side is magnified at most: of a narrow picture the shorter one has less than above."""
_MOST_PIXELS = 2**25
"""Pixels of a sheet of several pictures: 64 squares have at most 28 million, of those that the service takes."""
_GAP, _LEGEND = 8, 44
_INK, _FRAME = (32, 32, 32), (0, 220, 255)


def heat_sheet(
    items: Sequence[Pixels] | Pixels, rarity: Sequence[Places] | Places, found: Sequence[Sequence[Region]]
) -> Pixels:
    """Pictures (H, W[, C]), of any sizes, with their maps (H, W) and regions -> one picture (H', W', 3) with a legend.

    Each row shows pictures and, to the right of each, its map over it, with a frame around every region. Raises
    TooLarge as ``sheet_size``.
    """
    sheet_height, sheet_width = sheet_size([each.shape for each in rarity])
    panels = [_panel(item, each, regions) for item, each, regions in zip(items, rarity, found, strict=True)]
    height, width = max(len(panel) for panel in panels), max(panel.shape[1] for panel in panels)
    rows, columns = _grid(len(panels))
    sheet = np.full((sheet_height, sheet_width, 3), 255, dtype=np.uint8)
    for index, panel in enumerate(panels):
        top, left = (index // columns) * (height + _GAP) + _GAP, (index % columns) * (width + _GAP) + _GAP
        sheet[top : top + len(panel), left : left + panel.shape[1]] = panel
    picture = Image.fromarray(sheet)
    _draw_legend(picture, rows * (height + _GAP) + _GAP)
    return np.asarray(picture)


def sheet_size(sides: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Height and width of the sheet of pictures with these sides (height, width).

    A picture alone is always shown. Raises TooLarge where a sheet of several has too many pixels: each cell has the
    size of the highest and of the widest picture.
    """
    sizes = [(_scale(height, width) * height, 2 * _scale(height, width) * width + _GAP) for height, width in sides]
    height, width = (max(size[side] for size in sizes) for side in (0, 1))
    rows, columns = _grid(len(sizes))
    whole = rows * (height + _GAP) + _LEGEND, max(columns * (width + _GAP), 2 * _SIDE) + _GAP
    if len(sizes) > 1 and whole[0] * whole[1] > _MOST_PIXELS:
        raise TooLarge(
            f"the maps of these {len(sizes)} pictures make a PNG of {whole[1]}x{whole[0]}, of more than "
            f"{_MOST_PIXELS:,} pixels; send fewer, or those of one shape together, or ask for npy or JSON",
            "items",
        )
    return whole


def _grid(count: int) -> tuple[int, int]:
    """Rows and columns of a sheet: panels are about twice as wide as high."""
    columns = math.ceil(math.sqrt(count / 2))
    return math.ceil(count / columns), columns


def _scale(height: int, width: int) -> int:
    """By how much a picture is magnified."""
    return max(min(math.ceil(_SIDE / min(height, width)), _LONGEST // max(height, width)), 1)


def levels_of(items: NDArray[Any]) -> Pixels:
    """Items as a user sends them, uint8 or fractions in [0, 1], as 8-bit levels: floor(256 v)."""
    if items.dtype == np.uint8:
        return items
    levels: Pixels = np.clip(np.floor(items.astype(np.float64) * 256), 0, 255).astype(np.uint8)
    return levels


def _panel(item: Pixels, rarity: Places, regions: Sequence[Region]) -> Pixels:
    """The picture, and the map over it in grey: (H', W', 3)."""
    colour = item if item.ndim == 3 and item.shape[2] >= 3 else np.repeat(item.reshape(*item.shape[:2], 1), 3, axis=2)
    grey = colour[..., :3].mean(axis=2, keepdims=True)
    share = np.clip((rarity - _COMMON) / (_RARE - _COMMON), 0, 1)
    opacity = (_STRENGTH * np.sqrt(share))[..., None]
    heat = (1 - opacity) * grey + opacity * colours(share)
    scale = _scale(rarity.shape[0], rarity.shape[1])
    large, over = (
        np.repeat(np.repeat(each.round().astype(np.uint8), scale, axis=0), scale, axis=1)
        for each in (colour[..., :3].astype(np.float64), heat)
    )
    framed = Image.fromarray(over)
    draw = ImageDraw.Draw(framed)
    for region in regions:
        top, left, bottom, right = (scale * side for side in region.box)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=2)
    gap = np.full((large.shape[0], _GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([large, gap, np.asarray(framed)], axis=1)


def colours(share: Places) -> NDArray[np.float64]:
    """Colours (..., 3) from 0 to 255 of shares in [0, 1], dark to light."""
    place = share * (len(_COLOURS) - 1)
    below = np.minimum(place.astype(np.int64), len(_COLOURS) - 2)
    mixed: NDArray[np.float64] = _COLOURS[below] + (place - below)[..., None] * (_COLOURS[below + 1] - _COLOURS[below])
    return mixed


def _draw_legend(picture: Image.Image, top: int) -> None:
    """A bar of the colours, with how rare a place of each is among ordinary pictures."""
    width = min(picture.width - 2 * _GAP, 2 * _SIDE)
    shares = np.linspace(0, 1, width)
    bar = np.repeat(colours(shares)[None], 10, axis=0).round().astype(np.uint8)
    picture.paste(Image.fromarray(bar), (_GAP, top))
    draw = ImageDraw.Draw(picture)
    steps = range(int(_COMMON), int(_RARE) + 1)
    for step in steps:
        share = (step - _COMMON) / (_RARE - _COMMON)
        anchor = "la" if step == steps[0] else "ra" if step == steps[-1] else "ma"
        text = f"1 place in {10**step:,}" if step == steps[0] else f"{10**step:,}"
        draw.text((_GAP + share * (width - 1), top + 13), text, fill=_INK, anchor=anchor)
