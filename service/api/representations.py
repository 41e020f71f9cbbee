"""The representations of a model's items: pictures of images and of points in the plane, numbers of all."""

from __future__ import annotations

from service.media.grids import grid, scatter
from service.media.npy import Array, to_npy
from service.media.pictures import to_png
from service.media.types import JSON, NPY, PNG
from service.protocol.model_info import ModelInfo


def forms_of(model: ModelInfo) -> tuple[str, ...]:
    """Media types in which items of a model can be sent, the default first."""
    pictured = model.is_image or model.item_shape == (2,)
    return (PNG, NPY, JSON) if pictured else (JSON, NPY)


def encoded(items: Array, model: ModelInfo, form: str) -> bytes:
    """Items (N, *S) as PNG or npy."""
    if form == NPY:
        return to_npy(items)
    return to_png(grid(items) if model.is_image else scatter(items))
