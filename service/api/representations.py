"""The representations of a model's items: pictures of images and of points in the plane, numbers of all."""

from __future__ import annotations

from typing import Any

from service.media.grids import grid, scatter
from service.media.npy import Array, to_npy
from service.media.pictures import to_png
from service.media.table_rows import records, to_csv
from service.media.types import CSV, JSON, NPY, PNG
from service.protocol.model_info import ModelInfo


def forms_of(model: ModelInfo) -> tuple[str, ...]:
    """Media types in which items of a model can be sent, the default first."""
    if model.table is not None:
        return (JSON, CSV, NPY, PNG) if model.item_shape == (2,) else (JSON, CSV, NPY)
    pictured = model.is_image or model.item_shape == (2,)
    return (PNG, NPY, JSON) if pictured else (JSON, NPY)


def listed(items: Array, model: ModelInfo) -> list[Any]:
    """Items (N, *S) as JSON holds them: nested lists, or objects by column name of a table's model."""
    return items.tolist() if model.table is None else records(items, model.table)


def encoded(items: Array, model: ModelInfo, form: str) -> bytes:
    """Items (N, *S) as PNG, npy or CSV."""
    if model.table is not None and form == CSV:
        return to_csv(items, model.table)
    if form == NPY:
        return to_npy(items if model.table is None else model.table.numbers(items))
    return to_png(grid(items) if model.is_image else scatter(items))
