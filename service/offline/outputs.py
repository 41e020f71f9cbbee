"""Scores to files: CSV, Parquet, or JSON lines, some rows at a time."""

from __future__ import annotations

import csv
import io
import os
import secrets
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import msgspec

from service.media.documents import ColumnContribution, ItemScore, to_json
from service.offline.sources import Place
from service.offline.unusable import UnwritableFile, missing_extra, writable
from service.protocol.model_info import ModelInfo
from tables import CATEGORY, TIME, Column, Schema
from tables.cells import cell_of

_FIGURES = ("log_likelihood", "bits_per_dim", "p_value", "anomalous", "discovery")


class Row(NamedTuple):
    place: Place
    score: ItemScore


class Writer(ABC):
    """Writes rows to a binary stream; used as a context, which ends the document.

    ``name`` is that of the stream, for people. Raises UnwritableFile where the system refuses to write.
    """

    def __init__(self, stream: IO[bytes], name: str, model: ModelInfo) -> None:
        self.stream, self.name = stream, name
        self.tests = [test.name for test in model.tests]
        self.table = model.table
        with writable(name):
            self._begin()

    def write(self, rows: Sequence[Row]) -> None:
        with writable(self.name):
            self._write(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            with writable(self.name):
                self._end()
                self.stream.flush()
        else:
            with suppress(Exception):  # the error that came first is told
                self._end()

    def _begin(self) -> None:  # noqa: B027 - most formats begin with nothing
        """Write what comes before all rows."""

    @abstractmethod
    def _write(self, rows: Sequence[Row]) -> None: ...

    def _end(self) -> None:  # noqa: B027 - most formats end with nothing
        """Write what comes after all rows."""

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

    def _begin(self) -> None:
        self._line(list(self.columns()))

    def _write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._line(["" if cell is None else cell for cell in self.cells(row).values()])

    def _line(self, cells: Sequence[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self.stream.write(text.getvalue().encode())


class JsonLines(Writer):
    """A line an item: the document that /score answers with, and the item's place."""

    def _write(self, rows: Sequence[Row]) -> None:
        for place, score in rows:
            document = msgspec.structs.asdict(score)
            if document["regions"] is msgspec.UNSET:
                del document["regions"]
            self.stream.write(to_json({**place._asdict(), **document}) + b"\n")


class Parquet(Writer):
    """The columns of CSV, typed; null where there is nothing to say."""

    def _begin(self) -> None:
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
        self._parquet = parquet.ParquetWriter(self.stream, self._schema)

    def _write(self, rows: Sequence[Row]) -> None:
        self._parquet.write_table(self._table.from_pylist([self.cells(row) for row in rows], self._schema))

    def _end(self) -> None:
        self._parquet.close()


FORMATS: dict[str, type[Writer]] = {"csv": Csv, "parquet": Parquet, "jsonl": JsonLines}


@contextmanager
def writer_to(output: Path | None, stdout: IO[bytes], form: str, model: ModelInfo) -> Iterator[Writer]:
    """A writer to a file, or to the standard output. Raises UnusableFile when it cannot be written.

    A file appears when all is written: an error leaves what was there before. A device or a pipe gets rows at once.
    """
    if output is not None:
        with _stream_to(output) as stream, FORMATS[form](stream, str(output), model) as writer:
            yield writer
        return
    try:
        with FORMATS[form](stdout, "the standard output", model) as writer:
            yield writer
    except UnwritableFile:
        _let_go(stdout)
        raise


@contextmanager
def _stream_to(output: Path) -> Iterator[IO[bytes]]:
    """A stream into a file that takes the output's place in the end, or into the output itself if it is no file."""
    target = Path(os.path.realpath(output))  # so that a link stays, and the file that it leads to is replaced
    # The name is drawn: of two runs with one output, each writes a file of its own.
    partial = target.with_name(f".{secrets.token_hex(8)}.partial") if _is_replaceable(output) else None
    with writable(output):
        # Appending: the standard output may lead to a file that has something in it.
        stream = output.open("ab") if partial is None else partial.open("xb")
    try:
        yield stream
        with writable(output):
            stream.close()
            if partial is not None:
                if target.exists():
                    partial.chmod(stat.S_IMODE(target.stat().st_mode))
                partial.replace(target)
    except BaseException:
        with suppress(OSError):  # of what the stream still holds
            stream.close()
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise


def _is_replaceable(output: Path) -> bool:
    """Whether another file may take the output's place: it is a file or not there, and no name of an open stream."""
    if os.path.abspath(output).startswith(("/dev/fd/", "/dev/std", "/proc/")):
        return False
    try:
        return stat.S_ISREG(output.stat().st_mode)
    except OSError:
        return True


def _let_go(stdout: IO[bytes]) -> None:
    """Discard what the stream holds and cannot write: Python would try again when it ends, and exit with 120."""
    try:
        stdout.flush()
    except OSError:
        with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stdout.fileno())
