"""Draws that are published with a flow, for the initial points of its inpaintings: drawing them at load takes long."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow, inpainting
from model_store import DRAWS_IN_A_ROW, LARGEST_SHEET, draws_to_png, fits_a_sheet

DRAWS = 8192
LARGEST = 2_200_000
"""Bytes of the picture of the draws at most, so that a model that ships stays small."""
_FIRST = 256
"""Draws that tell how many will fit: to draw thousands of colour pictures and leave most out would take minutes."""


@torch.no_grad()
def initial_draws(flow: Flow, count: int = DRAWS) -> Tensor | None:
    """At most ``count`` items (N, *item_shape) drawn from a flow with sharp modes, N a multiple of 64.

    None for any other flow: it needs few draws and makes them itself. None, too, where 64 draws are already too
    large.
    """
    if not isinstance(flow, inpainting.SharpModes) or not fits_a_sheet(flow.item_shape):
        return None
    height, width = flow.item_shape[:2]
    while count * height * width > LARGEST_SHEET:
        count = _half(count)
    if not count:
        return None
    items = inpainting.draws(flow, min(count, _FIRST))
    each = len(draws_to_png(items)) / len(items)
    while count > _FIRST and count * each > 1.1 * LARGEST:  # an estimate, so what is a little too large may fit
        count = _half(count)
    if count > len(items):
        items = inpainting.draws(flow, count)
    while len(items) and len(draws_to_png(items)) > LARGEST:
        items = items[: _half(len(items))]
    return items if len(items) else None


def _half(count: int) -> int:
    """Half of so many draws, in whole rows of the sheet; 0 where that is less than a row."""
    return count // (2 * DRAWS_IN_A_ROW) * DRAWS_IN_A_ROW
