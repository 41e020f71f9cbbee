"""What a published flow's inpaintings set out from: items that it drew, made once, since drawing them takes long."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow, inpainting
from model_store import draws_to_png, fits_a_sheet

DRAWS = 8192
LARGEST = 2_200_000
"""Bytes of their picture."""


@torch.no_grad()
def draws_of(flow: Flow, count: int = DRAWS) -> Tensor | None:
    """At most ``count`` items (N, *item_shape) of a flow with sharp modes; others draw for themselves, and need few."""
    if not isinstance(flow, inpainting.SharpModes) or not fits_a_sheet(flow.item_shape):
        return None
    items = inpainting.draws(flow, count)
    while len(draws_to_png(items)) > LARGEST:
        items = items[: len(items) // 2]
    return items
