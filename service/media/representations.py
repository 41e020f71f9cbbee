"""The representations of a model's items: pictures of images and of points in the plane, numbers of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.media.animation import animate, frames_of
from service.media.completions import completions_of
from service.media.documents import to_json
from service.media.grids import grid, scatter
from service.media.npy import Array, to_npy
from service.media.pictures import to_png
from service.media.table_rows import records, to_csv
from service.media.types import CSV, GIF, JSON, NPY, PNG, WEBP
from service.protocol.messages import Completed
from service.protocol.model_info import ModelInfo


def forms_of(model: ModelInfo) -> tuple[str, ...]:
    """Media types in which items of a model can be sent, the default first."""
    if model.table is not None:
        return (JSON, CSV, NPY, PNG) if model.item_shape == (2,) else (JSON, CSV, NPY)
    pictured = model.is_image or model.item_shape == (2,)
    return (PNG, NPY, JSON) if pictured else (JSON, NPY)


def completion_forms(model: ModelInfo) -> tuple[str, ...]:
    """Media types in which completions of an item can be sent as a whole, the default first."""
    return (*forms_of(model), *((WEBP, GIF) if model.is_image else ()))


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


def encoded_completions(completed: Completed, model: ModelInfo, form: str, notes: Sequence[str] = ()) -> bytes:
    """Completions, of an inpainting that was watched, in one of their forms. Notes have a place in JSON only."""
    if form == JSON:
        return to_json(completions_of(completed, model.table, notes))
    if form in (WEBP, GIF):
        return animate(frames_of(completed), form)
    return encoded(completed.arrays["items"], model, form)
