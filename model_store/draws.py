"""Items drawn from a flow, stored as one PNG: small, checked before it is unpacked, and readable for people."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from model_store.weights import DamagedTensors

DRAWS_IN_A_ROW = 64
"""Items in a row of the sheet."""
_MODES = {1: "L", 3: "RGB"}
LARGEST_SHEET = 1 << 24
"""Pixels of the largest sheet that is unpacked, and so of the largest that can be published."""


def fits_a_sheet(item_shape: Sequence[int]) -> bool:
    """Whether items of this shape, (H, W) or (H, W, C), can be stored as a PNG."""
    return len(item_shape) == 2 or (len(item_shape) == 3 and item_shape[2] in _MODES)


def draws_to_png(items: Tensor) -> bytes:
    """Items (N, H, W) or (N, H, W, C) uint8, N a multiple of 64, to a PNG with 64 items in a row."""
    height, width, colours = _sides(items.shape[1:])
    sheet = items.reshape(-1, DRAWS_IN_A_ROW, height, width, colours).permute(0, 2, 1, 3, 4)
    pixels = sheet.reshape(-1, DRAWS_IN_A_ROW * width, colours).squeeze(2)
    stream = io.BytesIO()
    Image.fromarray(pixels.cpu().numpy()).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def draws_from_png(data: bytes, item_shape: Sequence[int]) -> Tensor:
    """The items (N, *item_shape) uint8 that ``draws_to_png`` wrote. Raises DamagedTensors for any other picture."""
    if not fits_a_sheet(item_shape):
        raise DamagedTensors(f"items of shape {tuple(item_shape)} are not pictures")
    height, width, colours = _sides(item_shape)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            across, down = picture.size
            whole = across == DRAWS_IN_A_ROW * width and down % height == 0 and picture.mode == _MODES.get(colours)
            raw = picture.tobytes() if whole and across * down <= LARGEST_SHEET else None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DamagedTensors("the draws are not a readable PNG") from error
    if raw is None:
        raise DamagedTensors(f"the draws are not a sheet of {DRAWS_IN_A_ROW} items of {height}x{width} in a row")
    pixels = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
    sheet = pixels.reshape(-1, height, DRAWS_IN_A_ROW, width, colours).permute(0, 2, 1, 3, 4)
    return sheet.reshape(-1, *item_shape)


def _sides(item_shape: Sequence[int]) -> tuple[int, int, int]:
    """Height, width and number of colours of an item."""
    height, width = item_shape[:2]
    return height, width, math.prod(item_shape[2:])
