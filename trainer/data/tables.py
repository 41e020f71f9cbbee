"""Vectors from tables of numbers, as CSV or Parquet. Errors name the column and the row at fault."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.errors import DataError, missing_extra

_STEPS_A_DEVIATION = 100
"""Least number of float32 steps in a column's standard deviation. With fewer the values would lie on a coarse grid."""


class Table(NamedTuple):
    """The names of D columns and their values (N, D), float64."""

    columns: list[str]
    values: npt.NDArray[np.float64]


def read_csv(path: Path) -> Table:
    """A table separated by commas, semicolons or tabs. A first line that is not all numbers holds the columns' names.

    Raises DataError with column and row for a field that is not a number; rows count from 1 below the names.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            sample = file.read(8192)
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter=_delimiter(sample)) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable table: {error}") from error
    if not rows:
        raise DataError(f"{path}: is empty")
    named = not all(_is_number(field) for field in rows[0])
    columns = [field.strip() for field in rows[0]] if named else [str(index + 1) for index in range(len(rows[0]))]
    body = rows[1:] if named else rows
    for number, row in enumerate(body, start=1):
        if len(row) != len(columns):
            raise DataError(f"{path}: row {number} has {len(row)} fields where {len(columns)} columns are named")
    values = np.empty((len(body), len(columns)))
    for number, row in enumerate(body):
        for index, field in enumerate(row):
            try:
                values[number, index] = float(field) if field.strip() else np.nan
            except ValueError:
                raise DataError(
                    f"{path}: column {columns[index]!r}, row {number + 1}: {field!r} is not a number"
                ) from None
    return Table(columns, values)


def read_parquet(path: Path) -> Table:
    """A table of numeric columns. Raises DataError with the column's name for one that is not numeric."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise missing_extra(f"{path}: to read Parquet", "pyarrow", "data") from error
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: not a readable table: {error}") from error
    types = pyarrow.types
    for field in table.schema:
        if not (types.is_integer(field.type) or types.is_floating(field.type) or types.is_decimal(field.type)):
            raise DataError(f"{path}: column {field.name!r} holds {field.type}, not numbers")
    columns = [column.cast("float64", safe=False).to_numpy(zero_copy_only=False) for column in table.columns]
    values = np.stack(columns, axis=1) if columns else np.empty((0, 0))
    return Table(list(table.column_names), values)


def vectors(table: Table, where: str) -> Tensor:
    """A table's rows as float32 vectors (N, D).

    Raises DataError with the column, and with the row where there is one, for a missing or infinite value, for a
    constant column, and for a column that varies by too few float32 steps.
    """
    values = table.values
    if values.shape[1] < 2:
        raise DataError(f"{where}: has {values.shape[1]} columns; a flow needs two or more")
    if len(values) == 0:
        raise DataError(f"{where}: has no rows")
    bad = np.argwhere(~(np.abs(values) <= np.finfo(np.float32).max))  # so written, NaN counts as bad
    if len(bad):
        row, column = (int(index) for index in bad[0])
        what = "missing" if np.isnan(values[row, column]) else f"{values[row, column]}, which float32 cannot hold"
        more = f" (and {len(bad) - 1} more such values)" if len(bad) > 1 else ""
        raise DataError(f"{where}: column {table.columns[column]!r}, row {row + 1}: the value is {what}{more}")
    for name, column in zip(table.columns, values.T, strict=True):
        _check_spread(name, column, where)
    return torch.from_numpy(values.astype(np.float32))


def _check_spread(name: str, column: npt.NDArray[np.float64], where: str) -> None:
    if (column == column[0]).all():
        raise DataError(f"{where}: column {name!r} is constant ({column[0]:g} in every row); leave it out")
    step = float(np.spacing(np.float32(np.abs(column).max())))
    if column.std() < _STEPS_A_DEVIATION * step:
        raise DataError(
            f"{where}: column {name!r} varies by {column.std():.3g} around {column.mean():.6g}, which float32 resolves "
            f"only in steps of {step:.2g}; subtract an offset"
        )


def _delimiter(sample: str) -> str:
    first = sample.splitlines()[0] if sample else ""
    return max(",;\t", key=first.count)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
