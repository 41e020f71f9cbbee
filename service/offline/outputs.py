"""Scores to files: CSV, Parquet, or JSON lines, some rows at a time."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import msgspec

from service.media.documents import ColumnContribution, ItemScore, to_json
from service.offline.sources import Place
from service.offline.unusable import UnusableFile, missing_extra
from service.protocol.model_info import ModelInfo
from tables import CATEGORY, TIME, Column, Schema
from tables.cells import cell_of

_FIGURES = ("log_likelihood", "bits_per_dim", "p_value", "anomalous", "discovery")


class Row(NamedTuple):
    place: Place
    score: ItemScore


class Writer(ABC):
    """Writes rows to a binary stream; used as a context, which ends the document."""

    def __init__(self, stream: IO[bytes], model: ModelInfo) -> None:
        self.stream = stream
        self.tests = [test.name for test in model.tests]
        self.table = model.table

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.flush()

    def columns(self) -> dict[str, str]:
        """Names of a table's columns and what they hold: text, whole, number or flag."""
        return {
            "file": "text",
            "item": "whole",
            "log_likelihood": "number",
            "bits_per_dim": "number",
            "p_value": "number",
            "anomalous": "flag",
            "discovery": "flag",
            **{f"p_value_{test}": "number" for test in self.tests},
            "reason": "text",
            "contributions": "text",
        }

    def cells(self, row: Row) -> dict[str, Any]:
        """A row under these names; None where there is nothing to say."""
        score = row.score
        return {
            "file": row.place.file,
            "item": row.place.item,
            **{name: getattr(score, name) for name in _FIGURES},
            **dict.fromkeys(f"p_value_{test}" for test in self.tests),
            **{f"p_value_{name}": result.p_value for name, result in score.tests.items()},
            "reason": score.reason,
            "contributions": _told(score.contributions, self.table),
        }


def _told(contributions: Sequence[ColumnContribution] | None, table: Schema | None) -> str | None:
    """Contributions in a cell: ``column +gain (value, expected value)``, between semicolons."""
    if contributions is None:
        return None
    columns = {} if table is None else {column.name: column for column in table.columns}
    return "; ".join(
        f"{found.column} {found.gain:+.3g} ({_text(found.value, columns.get(found.column))}, "
        f"expected {_text(found.expected, columns.get(found.column))})"
        for found in contributions
    )


def _text(value: float | None, column: Column | None) -> str:
    """A value as its column writes it: a word, a time, or a number of six digits."""
    if value is None:
        return "missing"
    return str(cell_of(column, value)) if column is not None and column.kind in (CATEGORY, TIME) else f"{value:.6g}"


class Csv(Writer):
    """A line of names and a line an item; an empty field where there is nothing to say."""

    def __init__(self, stream: IO[bytes], model: ModelInfo) -> None:
        super().__init__(stream, model)
        self._line(list(self.columns()))

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._line(["" if cell is None else cell for cell in self.cells(row).values()])

    def _line(self, cells: Sequence[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self.stream.write(text.getvalue().encode())


class JsonLines(Writer):
    """A line an item: the document that /score answers with, and the item's place."""

    def write(self, rows: Sequence[Row]) -> None:
        for place, score in rows:
            document = msgspec.structs.asdict(score)
            if document["regions"] is msgspec.UNSET:
                del document["regions"]
            self.stream.write(to_json({**place._asdict(), **document}) + b"\n")


class Parquet(Writer):
    """The columns of CSV, typed; null where there is nothing to say."""

    def __init__(self, stream: IO[bytes], model: ModelInfo) -> None:
        super().__init__(stream, model)
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise missing_extra("to write Parquet", "pyarrow", "data") from error
        types = {
            "text": pyarrow.string(),
            "whole": pyarrow.int64(),
            "number": pyarrow.float64(),
            "flag": pyarrow.bool_(),
        }
        self._schema = pyarrow.schema([(name, types[kind]) for name, kind in self.columns().items()])
        self._table = pyarrow.Table
        self._parquet = parquet.ParquetWriter(stream, self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        self._parquet.write_table(self._table.from_pylist([self.cells(row) for row in rows], self._schema))

    def __exit__(self, *_: object) -> None:
        self._parquet.close()
        super().__exit__()


FORMATS: dict[str, type[Writer]] = {"csv": Csv, "parquet": Parquet, "jsonl": JsonLines}


@contextmanager
def writer_to(output: Path | None, stdout: IO[bytes], form: str, model: ModelInfo) -> Iterator[Writer]:
    """A writer to a file, or to the standard output. Raises UnusableFile when the file cannot be written.

    The file appears when all is written: an error leaves what was there before.
    """
    if output is None:
        with FORMATS[form](stdout, model) as writer:
            yield writer
        return
    partial = output.with_name(f".{output.name}.partial")
    try:
        stream = partial.open("wb")
    except OSError as error:
        raise UnusableFile(f"{output}: cannot be written: {error.strerror}") from error
    try:
        with stream, FORMATS[form](stream, model) as writer:
            yield writer
        partial.replace(output)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
