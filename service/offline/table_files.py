"""Tables of numbers, a vector a row: CSV and Parquet, read some rows at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from service.media.items import ItemSpec
from service.media.npy import Array
from service.offline.unusable import UnusableFile, missing_extra


def vectors(path: Path, spec: ItemSpec, rows: int) -> Iterator[Array]:
    """Rows as vectors (B, D) float32, in batches of at most so many.

    Raises UnusableFile, naming item and column, for what is no number that float32 can hold.
    """
    if spec.is_image:
        raise UnusableFile(f"{path}: is a table of numbers; the model takes images of shape {spec.shape}")
    first = 0
    for columns, values in READERS[path.suffix.lower()](path, spec.shape[0], rows):
        with np.errstate(over="ignore"):
            items = values.astype(np.float32)
        bad = np.argwhere(~np.isfinite(items))
        if len(bad):
            row, column = (int(index) for index in bad[0])
            what = "missing" if np.isnan(values[row, column]) else f"{values[row, column]}, too large for float32"
            raise UnusableFile(f"{path}: item {first + row}, column {columns[column]!r}: the value is {what}")
        yield items
        first += len(items)
    if not first:
        raise UnusableFile(f"{path}: has no rows")


def rows_in(path: Path) -> int:
    """How many items a table has, or a little more: for a progress bar. Raises UnusableFile."""
    try:
        if path.suffix.lower() == ".csv":
            with path.open("rb") as file:
                return sum(block.count(b"\n") for block in iter(lambda: file.read(2**16), b""))
        return int(_parquet(path).metadata.num_rows)
    except OSError as error:
        raise UnusableFile(f"{path}: cannot be read: {error.strerror}") from error


def _csv_rows(path: Path, dimensions: int, rows: int) -> Iterator[tuple[Sequence[str], Array]]:
    """Fields between commas, semicolons or tabs; the first line names columns unless all of it is numbers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            sample = file.readline()
            file.seek(0)
            lines = (line for line in csv.reader(file, delimiter=max(",;\t", key=sample.count)) if line)
            head = next(lines, [])
            named = not all(_is_number(field) for field in head)
            columns = [field.strip() for field in head] if named else [str(index + 1) for index in range(len(head))]
            _check_width(path, len(columns), dimensions)
            body, first = lines if named else chain([head], lines), 0
            while batch := list(islice(body, rows)):
                yield columns, np.array([_numbers(path, first + row, line, columns) for row, line in enumerate(batch)])
                first += len(batch)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableFile(f"{path}: cannot be read: {error}") from error


def _numbers(path: Path, item: int, line: list[str], columns: list[str]) -> list[float]:
    if len(line) != len(columns):
        raise UnusableFile(f"{path}: item {item} has {len(line)} fields where there are {len(columns)} columns")
    for column, field in zip(columns, line, strict=True):
        if field.strip() and not _is_number(field):
            raise UnusableFile(f"{path}: item {item}, column {column!r}: {field[:40]!r} is not a number")
    return [float(field) if field.strip() else np.nan for field in line]


def _parquet_rows(path: Path, dimensions: int, rows: int) -> Iterator[tuple[Sequence[str], Array]]:
    from pyarrow import ArrowException, types

    try:
        file = _parquet(path)
        schema = file.schema_arrow
        _check_width(path, len(schema.names), dimensions)
        for field in schema:
            if not (types.is_integer(field.type) or types.is_floating(field.type) or types.is_decimal(field.type)):
                raise UnusableFile(f"{path}: column {field.name!r} holds {field.type}, not numbers")
        for batch in file.iter_batches(rows):
            columns = [column.cast("float64", safe=False).to_numpy(zero_copy_only=False) for column in batch.columns]
            yield schema.names, np.stack(columns, axis=1)
    except (OSError, ArrowException) as error:
        raise UnusableFile(f"{path}: cannot be read: {error}") from error


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise missing_extra(f"{path}: to read Parquet", "pyarrow", "data") from error
    try:
        return parquet.ParquetFile(path)
    except (OSError, ArrowException) as error:
        raise UnusableFile(f"{path}: cannot be read: {error}") from error


def _check_width(path: Path, found: int, dimensions: int) -> None:
    if found != dimensions:
        raise UnusableFile(f"{path}: has {found} columns; the model's items are vectors of {dimensions}")


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


READERS = {".csv": _csv_rows, ".parquet": _parquet_rows}
