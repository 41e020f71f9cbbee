"""Rows by column name to numbers in a schema's order: from files, from small texts and from JSON objects."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tables.cells import BadCell, Numbers, column_numbers, number_of
from tables.dialect import SAMPLE_BYTES, detect, plain_number
from tables.errors import TableError
from tables.reading import Block, TableFile, open_table
from tables.schema import CATEGORY, TIME, Schema, common_names


class ColumnMismatch(TableError):
    """Rows whose columns are not those of the schema. ``column`` is the name of the first one at fault."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class BadRow(NamedTuple):
    """Why a row has no numbers; ``column`` is None where the whole row is at fault."""

    column: str | None
    reason: str

    def __str__(self) -> str:
        return self.reason if self.column is None else f"column {self.column!r} {self.reason}"


@dataclass(frozen=True)
class Rows:
    """Rows in a schema's order. Rows that are in ``faults`` hold NaN."""

    numbers: Numbers
    """(N, D), NaN where a cell is missing."""
    faults: dict[int, BadRow]
    """By the place of the row among these."""
    notes: tuple[str, ...] = ()
    """What the sender should know, such as columns that were ignored."""


class Matched(NamedTuple):
    """Where the columns of a schema stand among given names, and what else there is."""

    places: list[int]
    notes: tuple[str, ...]


def match(schema: Schema, names: Sequence[str], named: bool = True) -> Matched:
    """Find the schema's columns among the names of a table, in any order.

    Columns that the schema does not have are ignored with a note; those that training left out too, without one. A
    table that has no line of names (``named`` false) must have the schema's columns in their order. Raises
    ColumnMismatch for a column that is missing, and for one that occurs twice.
    """
    if not named and set(schema.names) - set(names):
        if len(names) != len(schema):
            raise ColumnMismatch(
                f"the rows have {len(names)} columns and no names; the model takes {len(schema)}: "
                f"{common_names(schema.names)}",
                schema.names[0],
            )
        return Matched(list(range(len(schema))), ("no line of names: columns were taken in the model's order",))
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in found and name in schema.places:
            raise ColumnMismatch(f"column {name!r} occurs twice", name)
        found[name] = place
    missing = [name for name in schema.names if name not in found]
    extra = [name for name in found if name not in schema.places]
    if missing:
        close = get_close_matches(missing[0], extra, n=1, cutoff=0.5)
        hint = f"; is {close[0]!r} it?" if close else ""
        unknown = f"; unknown: {common_names(extra)}" if extra else ""
        raise ColumnMismatch(f"column {common_names(missing)} is missing{hint}{unknown}", missing[0])
    ignored = [name for name in extra if name not in schema.left_out]
    notes = (f"ignored, since the model has no such column: {common_names(ignored)}",) if ignored else ()
    return Matched([found[name] for name in schema.names], notes)


def rows_of_objects(schema: Schema, objects: Sequence[Mapping[str, object]]) -> Rows:
    """Rows from JSON objects by column name. Raises ColumnMismatch for the first object that lacks a column."""
    numbers = np.full((len(objects), len(schema)), np.nan)
    faults: dict[int, BadRow] = {}
    notes: dict[str, None] = {}
    known: dict[tuple[str, ...], Matched] = {}
    for row, fields in enumerate(objects):
        names = tuple(fields)
        if names not in known:
            try:
                known[names] = match(schema, names)
            except ColumnMismatch as error:
                unknown = "" if error.column in fields else "; null stands for a value that is not known"
                raise ColumnMismatch(f"item {row}: {error}{unknown}", error.column) from None
            notes.update(dict.fromkeys(known[names].notes))
        for place, column in enumerate(schema.columns):
            try:
                numbers[row, place] = number_of(column, fields[column.name])
            except BadCell as error:
                faults.setdefault(row, BadRow(column.name, str(error)))
    return _cleared(numbers, faults, tuple(notes))


def rows_of_text(schema: Schema, data: bytes, most: int | None = None) -> Rows:
    """Rows from a small text such as the body of a request, in any dialect that files may have.

    Raises TableError for what is no table, and for more than ``most`` rows; ColumnMismatch for other columns.
    """
    dialect = detect(data[:SAMPLE_BYTES])
    if not dialect.has_names and set(dialect.first) & set(schema.names):
        dialect = detect(data[:SAMPLE_BYTES], names=True)
    try:
        text = data.decode(dialect.encoding)
    except UnicodeDecodeError as error:
        raise TableError(f"is no text in {dialect.encoding}: byte {error.start}") from error
    try:
        reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=dialect.separator)
        body = [cells for cells in reader if cells and reader.line_num > dialect.skipped]
    except csv.Error as error:
        raise TableError(f"is no table: {error}") from error
    if not body:
        raise TableError("has no rows")
    if most is not None and len(body) > most:
        raise TableError(f"has {len(body):,} rows; at most {most:,} are taken at once")
    places, notes = match(schema, dialect.names, dialect.has_names)
    numbers = np.full((len(body), len(schema)), np.nan)
    faults: dict[int, BadRow] = {}
    words = [column.kind in (CATEGORY, TIME) for column in schema.columns]
    for row, cells in enumerate(body):
        if len(cells) != len(dialect.names):
            faults[row] = BadRow(None, f"has {len(cells)} fields where there are {len(dialect.names)} columns")
            continue
        for at, (column, place) in enumerate(zip(schema.columns, places, strict=True)):
            cell = cells[place]
            try:
                plain = cell if words[at] else plain_number(cell, dialect.decimal, dialect.grouping)
                numbers[row, at] = number_of(column, plain)
            except BadCell as error:
                faults.setdefault(row, BadRow(column.name, str(error)))
    return _cleared(numbers, faults, notes)


def rows_of_file(
    schema: Schema, table: TableFile, rows: int | None = None
) -> Iterator[tuple[npt.NDArray[np.int64], Rows]]:
    """A file's rows block by block: the place of each among all rows of the file, and the rows.

    ``rows`` asks for small blocks. Raises ColumnMismatch for other columns, TableError for a damaged file.
    """
    table = with_names(table, schema)
    matched = match(schema, table.names, table.dialect is None or table.dialect.has_names)
    wanted = [table.names[place] for place in matched.places]
    for block in table.blocks(wanted, rows):
        yield _of_block(schema, table, block, wanted, matched.notes)


def with_names(table: TableFile, schema: Schema) -> TableFile:
    """The table, opened anew where its first line, which looks like a row, holds names of the schema's columns."""
    if table.dialect is not None and not table.dialect.has_names and set(table.dialect.first) & set(schema.names):
        return open_table(table.path, names=True)
    return table


def _of_block(
    schema: Schema, table: TableFile, block: Block, wanted: Sequence[str], notes: tuple[str, ...]
) -> tuple[npt.NDArray[np.int64], Rows]:
    rows = np.sort(np.concatenate([block.rows, np.array(list(block.faults), dtype=np.int64)]))
    good = np.searchsorted(rows, block.rows)
    numbers = np.full((len(rows), len(schema)), np.nan)
    faults = {int(np.searchsorted(rows, place)): BadRow(None, reason) for place, reason in block.faults.items()}
    for at, (column, name) in enumerate(zip(schema.columns, wanted, strict=True)):
        values, bad = column_numbers(column, block.cells[name], table.dialect)
        numbers[good, at] = values
        for place, reason in bad.items():
            faults.setdefault(int(good[place]), BadRow(column.name, reason))
    return rows, _cleared(numbers, dict(sorted(faults.items())), notes)


def _cleared(numbers: Numbers, faults: dict[int, BadRow], notes: tuple[str, ...]) -> Rows:
    if faults:
        numbers[list(faults)] = np.nan
    return Rows(numbers, faults, notes)
