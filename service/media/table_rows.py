"""Rows of a table's model: from CSV, JSON and npy bodies to items, and from items to records and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.media.npy import Array, from_npy
from service.media.types import CSV, JSON
from service.protocol.errors import Malformed, TooLarge, WrongValue
from tables import CATEGORY, Schema
from tables.cells import cell_of
from tables.errors import TableError
from tables.rows import ColumnMismatch, Rows, rows_of_objects, rows_of_text


class Table(NamedTuple):
    """What the decoders need to know of a table's model."""

    schema: Schema
    takes_missing: bool


class SentRows(NamedTuple):
    """Items of a table's model, and what the sender should know."""

    items: NDArray[np.float32]
    """(N, D), NaN where a cell is missing. Rows with a fault are left out."""
    notes: tuple[str, ...] = ()
    faults: Mapping[int, str] = {}
    """Why rows cannot be items, by their places among all rows that were sent."""


def rows_of_body(kind: str, data: bytes, table: Table, most: int, skip_bad: bool = False) -> SentRows:
    """The rows of a body of type text/csv, application/json (under ``items``) or application/x-npy.

    Rows are objects by column name, or lists in the model's order. Raises WrongValue, Malformed or TooLarge; the
    problem's field is ``items`` or ``items[3]``. With ``skip_bad`` rows with a fault are left out instead, as long as
    one row has none.
    """
    try:
        if kind == CSV:
            return _sent(rows_of_text(table.schema, data, most), table, skip_bad)
        if kind == JSON:
            return _sent(_rows_of_json(_member(data, "items"), table.schema, most), table, skip_bad)
    except ColumnMismatch as error:
        raise WrongValue(str(error), "items") from error
    except TableError as error:
        raise WrongValue(f"the body {error}", "items") from error
    return _sent(Rows(_numbers_of_array(from_npy(data), table.schema, "items"), {}), table, skip_bad)


def items_of_array(array: Array, table: Table, field: str, first: int = 0) -> NDArray[np.float32]:
    """Items (N, D) from numbers (N, D), or (D,) of one, in the columns' units; NaN is a missing cell."""
    return _checked(Rows(_numbers_of_array(array, table.schema, field), {}), table, field, first).items


def items_of_json(elements: Sequence[bytes], table: Table, field: str) -> NDArray[np.float32]:
    """Items (N, D) from rows that are JSON texts: objects by column name, or lists in the model's order."""
    rows = []
    for place, data in enumerate(elements):
        try:
            rows.append(msgspec.json.decode(data))
        except (ValueError, RecursionError) as error:
            raise Malformed(f"item {place} is not valid JSON", f"{field}[{place}]") from error
        if not isinstance(rows[-1], list | dict):
            raise WrongValue(f"item {place} must be a JSON object by column name, or a list", f"{field}[{place}]")
    try:
        return _checked(_rows_of_json(rows, table.schema, len(rows), field), table, field).items
    except ColumnMismatch as error:
        raise WrongValue(str(error), field) from error


def row_to_complete(
    kind: str, data: bytes, table: Table
) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[str, ...]]:
    """One row (1, D) whose missing cells are to be filled in, which those are (1, D), and notes for the sender.

    From CSV or npy of one row, or from JSON under ``image``, with a ``mask`` of the same form where it has one.
    """
    if kind != JSON:
        sent = rows_of_body(kind, data, table._replace(takes_missing=True), 1)
        items, notes, hidden = sent.items, sent.notes, np.isnan(sent.items)
    else:
        document = _document(data)
        try:
            rows = _rows_of_json(document.get("image", document.get("items")), table.schema, 1, "image")
        except ColumnMismatch as error:
            raise WrongValue(str(error), "image") from error
        sent = _checked(rows, table._replace(takes_missing=True), "image")
        items, notes, hidden = sent.items, sent.notes, np.isnan(sent.items)
        if "mask" in document:
            hidden = hidden | _mask(document["mask"], table.schema)
        elif not hidden.any():
            raise WrongValue("send a mask, or null where a cell is unknown", "mask")
    if len(items) != 1:
        raise WrongValue("one row is completed in one request; n= asks for several completions", "image")
    return np.where(hidden, np.float32(0), items), hidden, notes


def records(items: Array, schema: Schema) -> list[dict[str, Any]]:
    """Items (N, D) as JSON objects by column name."""
    return [dict(zip(schema.names, cells, strict=True)) for cells in _cells(items, schema)]


def to_csv(items: Array, schema: Schema) -> bytes:
    """Items (N, D) as CSV with a line of names; a missing cell is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(schema.names)
    writer.writerows(["" if cell is None else cell for cell in cells] for cells in _cells(items, schema))
    return text.getvalue().encode()


def _cells(items: Array, schema: Schema) -> list[list[Any]]:
    numbers = schema.numbers(items)
    return [
        [
            cell_of(column, number) if np.isfinite(number) else None
            for column, number in zip(schema.columns, row, strict=True)
        ]
        for row in numbers.tolist()
    ]


def _rows_of_json(found: Any, schema: Schema, most: int, field: str = "items") -> Rows:
    if isinstance(found, Mapping) or (isinstance(found, list) and found and not isinstance(found[0], list | Mapping)):
        found = [found]
    if not isinstance(found, list) or not found:
        raise WrongValue(f"{field} must hold rows: objects by column name, or lists", field)
    if len(found) > most:
        raise TooLarge(f"at most {most} items are taken in one request", field)
    by_name = isinstance(found[0], Mapping)
    for index, row in enumerate(found):
        if by_name and not isinstance(row, Mapping):
            raise WrongValue(f"item {index} is no object by column name as the first is", f"{field}[{index}]")
        if not by_name and (not isinstance(row, list) or len(row) != len(schema)):
            what = f"has {len(row)} cells" if isinstance(row, list) else "is no list as the first is"
            raise WrongValue(f"item {index} {what}; a row has {len(schema)} cells", f"{field}[{index}]")
    if by_name:
        return rows_of_objects(schema, found)
    return rows_of_objects(schema, [_named(row, schema) for row in found])


def _named(row: list[Any], schema: Schema) -> dict[str, Any]:
    """A list of cells by column name. A number in a category column is the index of a word, as in an array."""
    cells = dict(zip(schema.names, row, strict=True))
    for column in schema.columns:
        cell = cells[column.name]
        if column.kind == CATEGORY and isinstance(cell, int | float) and cell in range(len(column.categories)):
            cells[column.name] = column.categories[int(cell)]
    return cells


def _numbers_of_array(array: Array, schema: Schema, field: str) -> NDArray[np.float64]:
    if array.dtype.kind not in "iufb":
        raise WrongValue(f"{field} must hold numbers only", field)
    batch = array[None] if array.ndim == 1 else array
    if batch.ndim != 2 or batch.shape[1] != len(schema) or not len(batch):
        raise WrongValue(f"{field} must be of shape ({len(schema)}) or (N, {len(schema)}), not {array.shape}", field)
    return batch.astype(np.float64)


def _sent(rows: Rows, table: Table, skip_bad: bool) -> SentRows:
    """Rows as items: all of them, or those without a fault."""
    if not skip_bad:
        return _checked(rows, table)
    faults = {place: str(fault) for place, fault in rows.faults.items()}
    items = table.schema.entries(rows.numbers)
    for place in np.flatnonzero(_unfit(items, table).any(axis=1)).tolist():
        faults.setdefault(place, _unfit_cell(items[place], table))
    if len(faults) == len(items):
        return _checked(rows, table)
    return SentRows(np.delete(items, list(faults), axis=0), rows.notes, dict(sorted(faults.items())))


def _unfit(items: NDArray[np.float32], table: Table) -> NDArray[np.bool_]:
    """Which entries (N, D) no item may hold: infinite ones, and missing ones unless the model takes them."""
    return np.isinf(items) if table.takes_missing else ~np.isfinite(items)


def _unfit_cell(item: NDArray[np.float32], table: Table) -> str:
    """What is wrong with the first unfit entry of an item (D,)."""
    place = int(_unfit(item, table).argmax())
    what = "is missing, and this model takes no missing values" if np.isnan(item[place]) else "is too large"
    return f"column {table.schema.names[place]!r} {what}"


def _checked(rows: Rows, table: Table, field: str = "items", start: int = 0) -> SentRows:
    """Rows as items. Raises WrongValue for the first that has a fault, or a missing cell where none may be."""
    if rows.faults:
        first = min(rows.faults)
        raise WrongValue(f"item {first}: {rows.faults[first]}", f"{field}[{first}]")
    items = table.schema.entries(rows.numbers)
    unfit = _unfit(items, table).any(axis=1)
    if unfit.any():
        row = int(unfit.argmax())
        raise WrongValue(f"item {start + row}: {_unfit_cell(items[row], table)}", f"{field}[{start + row}]")
    return SentRows(items, rows.notes)


def _mask(found: Any, schema: Schema) -> NDArray[np.bool_]:
    if isinstance(found, Mapping):
        unknown = [name for name in found if name not in schema.places]
        if unknown:
            raise WrongValue(f"mask: there is no column {unknown[0][:60]!r}", "mask")
        found = [found.get(name, 0) for name in schema.names]
    if not isinstance(found, list) or len(found) != len(schema):
        raise WrongValue(f"mask must be a list of {len(schema)}, or an object by column name", "mask")
    try:
        return np.array([[bool(float(each)) for each in found]])
    except (TypeError, ValueError):
        raise WrongValue("mask must hold numbers: anything but 0 is filled in", "mask") from None


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not valid JSON") from error
    if not isinstance(found, dict):
        raise WrongValue("the body must be a JSON object")
    return found


def _member(data: bytes, field: str) -> Any:
    document = _document(data)
    if field not in document:
        raise WrongValue(f"the JSON object lacks {field!r}", field)
    return document[field]
