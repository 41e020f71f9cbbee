"""Columns of a table as tensors: a tensor for each column, by the column's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.media.npy import Array
from service.media.table_rows import Table, items_of_array
from service.protocol.errors import Malformed, WrongValue
from tables import CATEGORY, CONTINUOUS, INTEGER, Column, Schema
from tables.cells import BadCell, cell_of, number_of

Numbers = NDArray[np.float64]


def is_whole(column: Column) -> bool:
    """Whether a column holds whole numbers only."""
    return column.kind == INTEGER and column.resolution.is_integer() and column.offset.is_integer()


def items_of_columns(columns: Mapping[str, Array], table: Table) -> NDArray[np.float32]:
    """Items (N, D) from an array (N,) for each column of the schema: numbers, or objects that are bytes of text.

    NaN and empty text mean that a cell is missing. A category is its word, a point in time ISO 8601 or its number, and
    numbers may be text. Raises Malformed or WrongValue; the problem names the column.
    """
    numbers = np.stack([_numbers_of(column, columns[column.name]) for column in table.schema.columns], axis=1)
    return items_of_array(numbers, table, "items")


def column_of(numbers: Numbers, schema: Schema, name: str) -> Array:
    """One column (N,) of ``Schema.numbers``: float64, int64 of whole numbers, or bytes of a word or of a time.

    A number that is not finite is empty where the column is sent as text. Raises WrongValue where it would have to be
    whole.
    """
    place = schema.places[name]
    column, values = schema.columns[place], numbers[:, place]
    if is_whole(column):
        if not (np.abs(values) < 2.0**63).all():  # also false for NaN
            raise WrongValue(f"an item has no whole number in column {name[:60]!r}", "outputs")
        return np.rint(values).astype(np.int64)
    if column.kind in (CONTINUOUS, INTEGER):
        return values
    found = np.empty(len(values), dtype=object)
    found[:] = [str(cell_of(column, each)).encode() if np.isfinite(each) else b"" for each in values.tolist()]
    return found


def _numbers_of(column: Column, values: Array) -> Numbers:
    """The numbers (N,) of a column, NaN where a cell is missing."""
    if values.dtype.kind != "O" and column.kind != CATEGORY:
        return values.astype(np.float64)
    numbers = np.full(len(values), np.nan)
    known: dict[Any, float] = {}  # words repeat
    for row, cell in enumerate(values.tolist()):
        if cell != cell:  # NaN
            continue
        if cell not in known:
            known[cell] = _number_of(column, cell, row)
        numbers[row] = known[cell]
    return numbers


def _number_of(column: Column, cell: Any, row: int) -> float:
    try:
        return number_of(column, cell.decode() if isinstance(cell, bytes) else cell)
    except UnicodeDecodeError as error:
        raise Malformed(f"item {row}: column {column.name[:60]!r} is no text in UTF-8", column.name[:60]) from error
    except BadCell as error:
        raise WrongValue(f"item {row}: column {column.name[:60]!r} {error}", column.name[:60]) from error
