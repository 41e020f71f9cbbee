"""Tables for a model of vectors, read some rows at a time: by column name where the model has a schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from service.media.items import ItemSpec
from service.media.npy import Array
from service.offline.printable import printable
from service.offline.remote_files import File
from service.offline.unusable import UnusableFile
from tables import Column, Schema
from tables.dialect import SAMPLE_BYTES, detect
from tables.errors import MissingExtra, TableError
from tables.reading import File as TablePath
from tables.reading import open_table, parquet_file
from tables.rows import Rows, rows_of_file, rows_of_text, with_names

_LARGEST = 2**16
"""Bytes that are looked at together to count lines."""


def rows_of(
    path: File, spec: ItemSpec, rows: int, tell: Callable[[str], object]
) -> Iterator[tuple[NDArray[np.int64], Array, dict[int, str]]]:
    """Rows in batches of at most so many: their places in the file, vectors (B, D) float32, and faults by index.

    A row with a fault holds zeros. Raises UnusableFile where the columns are not the model's, or the file is damaged.
    """
    if spec.is_image:
        raise UnusableFile(f"{path}: is a table of numbers; the model takes images of shape {spec.shape}")
    told: set[str] = set()
    found = False
    takes_missing = spec.table is not None and spec.table.takes_missing
    try:
        for schema, places, block in _blocks(path, spec, rows):
            for note in block.notes:
                if note not in told:
                    told.add(note)
                    tell(printable(f"{path}: {note}"))
            entries = schema.entries(block.numbers)
            faults = {row: str(fault) for row, fault in block.faults.items()}
            for row, place in np.argwhere(np.isinf(entries) | (np.isnan(entries) & (not takes_missing))).tolist():
                what = "is missing" if np.isnan(entries[row, place]) else "is too large for float32"
                faults.setdefault(row, f"column {schema.names[place]!r} {what}")
            entries[list(faults)] = 0
            for start in range(0, len(places), rows):
                stop = start + rows
                found = True
                here = {row - start: why for row, why in faults.items() if start <= row < stop}
                yield places[start:stop], entries[start:stop], here
    except TableError as error:
        text = str(error)
        raise UnusableFile(text if text.startswith(printable(path)) else f"{path}: {text}") from error
    if not found:
        raise UnusableFile(f"{path}: has no rows")


def rows_in(path: File) -> int:
    """How many items a table has, about: for a progress bar. Raises UnusableFile."""
    try:
        if path.name.lower().endswith((".parquet", ".pq")):
            return _parquet_rows(path)
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(_LARGEST), b""))
    except OSError as error:
        raise UnusableFile(f"{path}: cannot be read: {error.strerror}") from error


def exact_rows_in(path: File, spec: ItemSpec) -> int:
    """How many items a table has, those that cannot be read among them: text is gone through. Raises UnusableFile."""
    try:
        if path.name.lower().endswith((".parquet", ".pq")):
            return _parquet_rows(path)
        table = open_table(_for_pyarrow(path))
        if spec.table is not None:
            table = with_names(table, spec.table.schema)
        return sum(len(block.rows) + len(block.faults) for block in table.blocks(table.names[:1]))
    except TableError as error:
        raise UnusableFile(str(error)) from error


def _parquet_rows(path: File) -> int:
    file = _for_pyarrow(path)
    try:
        open_table(file)
    except TableError as error:
        raise UnusableFile(str(error)) from error
    return int(parquet_file(file).metadata.num_rows)


class _Opened:
    """A file that pyarrow gets opened, since it opens none by a name that is not UTF-8."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return printable(self._path)

    @property
    def name(self) -> str:
        return printable(self._path.name)

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        return self._path.open(mode)

    def read_bytes(self) -> bytes:
        return self._path.read_bytes()


def _for_pyarrow(path: File) -> TablePath:
    return _Opened(path) if isinstance(path, Path) and printable(path) != str(path) else path


def _blocks(path: File, spec: ItemSpec, rows: int) -> Iterator[tuple[Schema, NDArray[np.int64], Rows]]:
    """A file's rows with the schema that they are in. Where pyarrow is missing, plain text is read as a whole."""
    try:
        table = open_table(_for_pyarrow(path))
    except MissingExtra:
        if not path.name.lower().endswith((".csv", ".tsv")):
            raise
        data = path.read_bytes()
        names = detect(data[:SAMPLE_BYTES]).names
        schema = _plain(names, spec, path)
        found = rows_of_text(schema, data)
        yield schema, np.arange(len(found.numbers)), found
        return
    schema = _plain(table.names, spec, path)
    for places, block in rows_of_file(schema, table, rows):
        yield schema, places, block


def _plain(names: Sequence[str], spec: ItemSpec, path: File) -> Schema:
    """The model's schema; for a model that has none, columns of numbers in the file's order."""
    if spec.table is not None:
        return spec.table.schema
    if len(names) != spec.shape[0]:
        raise UnusableFile(f"{path}: has {len(names)} columns; the model's items are vectors of {spec.shape[0]}")
    return Schema(tuple(Column(name, "continuous") for name in names))
