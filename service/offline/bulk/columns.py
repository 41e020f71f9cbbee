"""Columns of Parquet: items as pyarrow arrays, and the fields that every command's rows begin with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from service.media.npy import Array
from service.offline.bulk.decoding import Chunk
from service.protocol.model_info import ModelInfo
from tables.cells import cell_of
from tables.schema import CATEGORY, INTEGER, TIME, Column

PLACE = [pa.field("file", pa.string()), pa.field("item", pa.int64())]


def place_columns(chunk: Chunk, repeats: int = 1) -> list[Any]:
    """Where each row comes from, each ``repeats`` times: the columns of ``PLACE``."""
    count = len(chunk) * repeats
    if isinstance(chunk.files, str):
        files = pa.repeat(pa.scalar(chunk.files, pa.string()), count)
    else:
        names = chunk.files if repeats == 1 else [file for file in chunk.files for _ in range(repeats)]
        files = pa.array(names, pa.string())
    return [files, pa.array(np.repeat(chunk.places, repeats), pa.int64())]


def item_fields(model: ModelInfo) -> list[Any]:
    """The columns of an item: `pixels` of an image, else one for each entry, by name where the model knows names.

    `pixels` is a list of fixed length; the shape of an image is in the field's metadata, as JSON under `shape`.
    """
    if model.is_image:
        shape = json.dumps(list(model.item_shape))
        return [pa.field("pixels", pa.list_(pa.uint8(), model.dimensions), metadata={"shape": shape})]
    if model.table is None:
        return [pa.field(f"x{place}", pa.float32()) for place in range(model.dimensions)]
    return [pa.field(column.name, _type_of(column)) for column in model.table.columns]


def item_columns(model: ModelInfo, items: Array, absent: Array | None = None) -> list[Any]:
    """Items (B, *S) as the columns of ``item_fields``, null in rows where ``absent`` (B,) is true."""
    if model.is_image:
        flat = pa.array(np.ascontiguousarray(items).reshape(-1), pa.uint8())
        mask = None if absent is None else pa.array(absent)
        return [pa.FixedSizeListArray.from_arrays(flat, model.dimensions, mask=mask)]
    if model.table is None:
        return [pa.array(np.ascontiguousarray(column), pa.float32(), mask=absent) for column in items.T]
    numbers = model.table.numbers(items)
    return [_cells(column, numbers[:, place], absent) for place, column in enumerate(model.table.columns)]


def _type_of(column: Column) -> Any:
    if column.kind in (CATEGORY, TIME):
        return pa.string()
    return pa.int64() if _is_whole(column) else pa.float64()


def _is_whole(column: Column) -> bool:
    return column.kind == INTEGER and float(column.resolution).is_integer() and float(column.offset).is_integer()


def _cells(column: Column, numbers: Array, absent: Array | None) -> Any:
    if column.kind == CATEGORY:
        places = np.clip(np.rint(numbers), 0, len(column.categories) - 1).astype(np.int64)
        words = np.array(column.categories, dtype=object)[places]
        return pa.array(words, pa.string(), mask=absent)
    if column.kind == TIME:
        texts = [None if cell is None else str(cell) for cell in (cell_of(column, each) for each in numbers.tolist())]
        return pa.array(texts, pa.string(), mask=absent)
    if _is_whole(column):
        return pa.array(np.rint(numbers).astype(np.int64), pa.int64(), mask=absent)
    return pa.array(numbers, pa.float64(), mask=absent)


def scattered(values: Array, rows: Sequence[int] | Array, count: int) -> Array:
    """Values (K, ...) in their rows of an array (count, ...) of zeros."""
    found = np.zeros((count, *values.shape[1:]), values.dtype)
    found[rows] = values
    return found


def reasons(faults: dict[int, str], count: int) -> Any:
    """The column `reason`: null where there is nothing to say."""
    return pa.array([faults.get(row) for row in range(count)], pa.string()) if faults else pa.nulls(count, pa.string())
