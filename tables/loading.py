"""A whole table from its file to vectors: kinds found, columns left out, rows in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tables import kinds
from tables.cells import quick_numbers, texts_of
from tables.errors import TableError
from tables.gathering import Gathered
from tables.kinds import Found, LeftOut
from tables.reading import NotPlainNumbers, TableFile, open_table, release_memory
from tables.schema import CATEGORY, KINDS, MOST_COLUMNS, TIME, Kind, Schema, common_names


@dataclass(frozen=True)
class Wishes:
    """What a user says of a table's columns; anything else is found out."""

    columns: tuple[str, ...] = ()
    """Take these columns only."""
    drop: tuple[str, ...] = ()
    """Leave these out."""
    label: str | None = None
    """A column that is neither input nor verdict."""
    kinds: tuple[tuple[str, Kind], ...] = ()
    """The kinds of columns by name."""
    names: bool | None = None
    """Whether the first line of a text file holds the names of columns."""


class LoadedTable(NamedTuple):
    """A table as vectors, with what was decided about it."""

    schema: Schema
    entries: npt.NDArray[np.float32]
    """(N, D), NaN where a cell is missing."""
    label: npt.NDArray[np.str_] | None
    """(N,): the cells of the label column, if one was named."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    """What people should know, a line each."""

    def told(self) -> list[str]:
        """Everything that was found, a line each: columns with their kinds, then what was left out, then notes."""
        names = [" ".join(name.split()) for name in self.schema.names]  # a name may have several lines
        width = max(map(len, names))
        told = [" ".join(kinds.told(column).split()) for column in self.schema.columns]
        lines = [f"{name:<{width}}  {text}" for name, text in zip(names, told, strict=True)]
        lines += [f"left out {each.name!r}: {each.reason}" for each in self.left_out]
        return lines + list(self.notes)


def load_table(path: Path, wishes: Wishes | None = None) -> LoadedTable:
    """Read a table and find the kinds of its columns.

    Raises TableError when it cannot be read, when a wish names a column that is not there, and when fewer than two
    columns are left.
    """
    wishes = wishes or Wishes()
    table = open_table(path, wishes.names)
    taken = _taken(table, wishes)
    if len(taken) > MOST_COLUMNS:
        raise TableError(
            f"{path}: has {len(taken):,} columns; at most {MOST_COLUMNS:,} are taken: --columns names them"
        )
    try:
        gathered, labels, faults, rows = _gathered(table, taken, wishes, _plain_columns(table, taken, wishes))
    except NotPlainNumbers:  # a word far down in a column of numbers
        gathered, labels, faults, rows = _gathered(table, taken, wishes, ())
    if not rows:
        raise TableError(f"{path}: no row can be read: {_told_of(faults)}" if faults else f"{path}: has no rows")
    release_memory()
    _read_words(table, {name: column for name, column in gathered.items() if column.needs_words})
    found: list[Found] = []
    left_out = [LeftOut(wishes.label, "the label")] if wishes.label else []
    left_out += [LeftOut(name, "dropped") for name in wishes.drop]
    left_out += [LeftOut(name, why) for name, why in table.unusable.items() if name not in wishes.drop]
    columns = np.empty((len(taken), rows), dtype=np.float32)  # column by column, while those read are let go
    for name in taken:
        column = gathered.pop(name).found(name, rows)
        if isinstance(column, LeftOut):
            if name in wishes.columns or name in dict(wishes.kinds):
                raise TableError(f"{path}: column {name!r} {column.reason}")
            left_out.append(column)
            continue
        with np.errstate(over="ignore"):
            values = (column.numbers - column.column.offset).astype(np.float32)
        values[np.isinf(values)] = np.nan
        columns[len(found)] = values
        found.append(column._replace(numbers=np.empty(0)))
        del column, values
    if len(found) < 2:
        reasons = "; ".join(f"{each.name!r} {each.reason}" for each in left_out[:8])
        one = "; fields must be divided by commas, semicolons, tabs or bars" if len(table.names) == 1 else ""
        of = "has one column" if one else f"has {len(found)} usable columns"
        why = f" ({reasons})" if reasons else ""
        raise TableError(f"{path}: {of}; a flow needs two or more{why}{one}")
    notes = [str(table), *_fault_notes(faults), *kinds.notes_of(found)]
    others = [name for name in table.names if name not in {column.column.name for column in found}]
    schema = Schema(tuple(each.column for each in found), tuple(others))
    label = np.concatenate(labels).astype(np.str_) if labels else None
    entries = np.ascontiguousarray(columns[: len(found)].T)
    return LoadedTable(schema, entries, label, tuple(left_out), tuple(notes))


def _gathered(
    table: TableFile, taken: Sequence[str], wishes: Wishes, numbers: Collection[str]
) -> tuple[dict[str, Gathered], list[Any], dict[int, str], int]:
    """Every column of ``taken`` as far as one reading tells, the label's cells, the bad rows, and the number of rows.

    Columns of ``numbers`` are read as such; raises NotPlainNumbers where one is not.
    """
    wished = dict(wishes.kinds)
    gathered = {name: Gathered(wished.get(name), table.dialect) for name in taken}
    labels: list[Any] = []
    faults: dict[int, str] = {}
    rows = 0
    for block in table.blocks([*taken, *([wishes.label] if wishes.label else [])], numbers=numbers):
        rows += len(block.rows)
        faults.update(block.faults)
        for name in taken:
            gathered[name].add(block.cells[name])
        if wishes.label:
            labels.append(texts_of(block.cells[wishes.label]).fill_null("").to_numpy(zero_copy_only=False))
    return gathered, labels, faults, rows


def _plain_columns(table: TableFile, taken: Sequence[str], wishes: Wishes) -> list[str]:
    """Columns of a text file whose first cells are plain numbers and empty cells."""
    if table.dialect is None or table.dialect.decimal != ".":
        return []
    able = [name for name in taken if dict(wishes.kinds).get(name) not in (CATEGORY, TIME)]
    first = next(table.blocks(able, rows=_FIRST_ROWS), None) if able else None
    return [] if first is None else [name for name in able if quick_numbers(first.cells[name]) is not None]


def check_names(table: TableFile, names: Sequence[str], option: str) -> None:
    """Raises TableError, with what may have been meant, for names that are not there."""
    for name in names:
        if name not in table.names:
            close = get_close_matches(name, table.names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; there are {common_names(table.names)}"
            raise TableError(f"{table.path}: {option}: there is no column {name!r}{hint}")


def _taken(table: TableFile, wishes: Wishes) -> list[str]:
    """The columns that may become inputs, in the order of the file."""
    check_names(table, wishes.columns, "--columns")
    check_names(table, wishes.drop, "--drop")
    check_names(table, [wishes.label] if wishes.label else [], "--label")
    check_names(table, [name for name, _ in wishes.kinds], "--kind")
    for name, kind in wishes.kinds:
        if kind not in KINDS:
            raise TableError(f"--kind {name}={kind}: the kinds are {', '.join(KINDS)}")
    for name in (*wishes.columns, *dict(wishes.kinds)):
        if name in table.unusable:
            raise TableError(f"{table.path}: column {name!r} {table.unusable[name]}")
    wanted = set(wishes.columns or table.names) - set(wishes.drop) - {wishes.label} - set(table.unusable)
    return [name for name in table.names if name in wanted]


_FIRST_ROWS = 1_000
"""Rows that tell which columns are read as numbers. A cell further down that is none costs a second reading."""


def _read_words(table: TableFile, columns: Mapping[str, Gathered]) -> None:
    """Read the file once more for columns that turned out to be words."""
    if columns:
        for block in table.blocks(list(columns)):
            for name, column in columns.items():
                column.words.append(texts_of(block.cells[name]))


def _fault_notes(faults: Mapping[int, str]) -> list[str]:
    return [f"{_told_of(faults)}; left out"] if faults else []


def _told_of(faults: Mapping[int, str]) -> str:
    """The first bad row, and how many more there are."""
    first = min(faults)
    more = f", and {len(faults) - 1:,} more such rows" if len(faults) > 1 else ""
    return f"row {first + 1} {faults[first]}{more}"
