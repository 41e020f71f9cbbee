"""Files of tables, read block by block through pyarrow: text in any dialect, plain or compressed, and Parquet."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tables.cells import is_usable, simple_cells
from tables.dialect import MISSING, SAMPLE_BYTES, Dialect, detect, unique_names
from tables.errors import TableError, missing_extra
from tables.last_row import LastRow

_Handler = TypeVar("_Handler", bound=Callable[..., Any])

_BLOCK_BYTES = 2**20
"""Bytes of text that are taken apart at once. Larger blocks cost memory and gain no time; a row must fit into one."""
_END_BYTES = 2**16
_BLOCK_ROWS = 65_536
"""Rows of Parquet that are taken at once."""
_LONGEST_MESSAGE = 500
"""Characters of what pyarrow says of a fault: it repeats cells whole."""
_LONGEST_WAIT = 10.0
"""Seconds that a read ahead which is under way is waited for: of a file that is far away, say."""
_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_TEXTS = (".csv", ".tsv")
_PARQUET = (".parquet", ".pq")
_NULLS = sorted({form for word in MISSING for form in (word, word.upper(), word.title(), "NaN")})
"""Cells that mean that a value is missing, as they are commonly written."""
SUFFIXES = (*_TEXTS, *_PARQUET, *(text + packed for text in _TEXTS for packed in _COMPRESSED))
"""Endings of the files that are read as tables."""


@dataclass(frozen=True)
class Block:
    """Rows of a table that follow one another. A row with another number of fields than the rest has no cells."""

    rows: npt.NDArray[np.int64]
    """(B,): the place of each row among all rows of the file, from 0."""
    cells: dict[str, Any]
    """pyarrow arrays of B cells, by the column's name: text or numbers of a text file, any type of Parquet."""
    faults: dict[int, str]
    """Rows of this block without cells, by their place: why."""


class File(Protocol):
    """What is asked of a table's file: a path, or a file elsewhere that is opened by whoever knows how."""

    @property
    def name(self) -> str: ...

    def open(self, mode: Literal["rb"]) -> IO[bytes]: ...
    def read_bytes(self) -> bytes: ...


class NotPlainNumbers(Exception):
    """A cell of a column that was to be read as numbers is none."""


@dataclass(frozen=True)
class TableFile:
    """A table in a file: the names of its columns, how it is written, and its rows block by block."""

    path: File
    names: tuple[str, ...]
    dialect: Dialect | None = field(repr=False)
    """None for Parquet."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Columns of Parquet that hold no cells of a table, such as lists: why."""

    def __str__(self) -> str:
        return f"{self.path.name}: {'Parquet' if self.dialect is None else self.dialect}"

    def blocks(
        self, names: Sequence[str] | None = None, rows: int | None = None, numbers: Collection[str] = ()
    ) -> Iterator[Block]:
        """All rows, with the cells of the columns named, or of all. Raises TableError for damaged files.

        With ``rows`` blocks of Parquet have at most so many. Columns of ``numbers`` come as float64 from text, null
        where missing, in half the time and memory that text takes. Raises NotPlainNumbers where one of their cells is
        no number with a decimal point.
        """
        wanted = tuple(self.names if names is None else names)
        if self.dialect is None:
            return _parquet_blocks(self, wanted, rows or _BLOCK_ROWS)
        return _text_blocks(self, wanted, numbers)


def is_table(path: File) -> bool:
    """Whether a file's name ends as a table's does."""
    return path.name.lower().endswith(SUFFIXES)


def open_table(path: File, names: bool | None = None) -> TableFile:
    """A table by its file's name: .csv or .tsv, also with .gz, .bz2 or .zst, or .parquet.

    ``names`` says whether the first line of a text file holds the names of columns; by default it is found out. Raises
    TableError when the file cannot be read.
    """
    _pyarrow(path)
    if path.name.lower().endswith(_PARQUET):
        with _faults_named(path):
            schema = parquet_file(path).schema_arrow
        columns = unique_names(schema.names)
        unusable = {
            name: f"holds {kind}: no numbers, words or times"
            for name, kind in zip(columns, schema.types, strict=True)
            if not is_usable(kind)
        }
        return TableFile(path, columns, None, unusable)
    with _faults_named(path):
        with _opened(path) as stream:
            sample = stream.read(SAMPLE_BYTES)
        dialect = detect(sample, names)
    return TableFile(path, dialect.names, dialect)


def _text_blocks(table: TableFile, wanted: tuple[str, ...], numbers: Collection[str]) -> Iterator[Block]:
    pyarrow = _pyarrow(table.path)
    from pyarrow import csv

    dialect = table.dialect
    assert dialect is not None
    bad: dict[int, str] = {}
    last = LastRow()
    with _letting_go() as watched, _faults_named(table.path), _no_numbers_told(), _opened(table.path) as stream:
        reader = csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                use_threads=False,  # only then are the numbers of bad rows known
                block_size=_BLOCK_BYTES,
                column_names=list(table.names),
                skip_rows=dialect.skipped,
                encoding="utf8" if dialect.encoding.startswith("utf-8") else dialect.encoding,
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.separator,
                newlines_in_values=True,
                invalid_row_handler=watched(_noting(bad, dialect.skipped, last)),
            ),
            convert_options=csv.ConvertOptions(
                column_types={name: pyarrow.float64() if name in numbers else pyarrow.string() for name in table.names},
                include_columns=list(dict.fromkeys((*wanted, table.names[-1]))),
                null_values=_NULLS,
                strings_can_be_null=False,
            ),
        )
        try:
            place = 0
            for batch in reader:
                rows, faults = _places(place, batch.num_rows, bad)
                place += batch.num_rows + len(faults)
                if batch.num_rows:
                    last.good(int(rows[-1]), batch[table.names[-1]][-1].as_py())
                # The last column of the file is read too, for its last cell, where nobody wants it.
                yield Block(rows, dict(zip(wanted, batch.columns, strict=False)), faults)
        finally:
            del reader
        last.check(lambda: _end_of(table.path, dialect.encoding))
        if bad:  # bad rows after the last good one
            yield Block(
                np.empty(0, dtype=np.int64), {name: pyarrow.array([], pyarrow.string()) for name in wanted}, bad
            )


def _noting(bad: dict[int, str], skipped: int, last: LastRow) -> Callable[[Any], str]:
    """What pyarrow calls for a row with another number of fields than the rest: it is put into ``bad``."""

    def note(row: Any) -> str:
        found, expected = row.actual_columns, row.expected_columns
        place = int(row.number) - 1 - skipped
        bad[place] = f"has {found} fields where there are {expected} columns"
        last.bad(place, row.text)
        return "skip"

    return note


@contextmanager
def _letting_go() -> Iterator[Callable[[_Handler], _Handler]]:
    """Give a function to name a handler by, and wait at the end until pyarrow holds that no more.

    pyarrow reads ahead in threads, and the last of them that is done with a file takes Python's lock to let go of the
    handler. Where Python is about to end by then, the process aborts.
    """
    freed: SimpleQueue[object] = SimpleQueue()
    watches: list[weakref.ref[Any]] = []

    def watched(handler: _Handler) -> _Handler:
        watches.append(weakref.ref(handler, freed.put))  # a callback in C: it keeps the lock till all is let go
        return handler

    try:
        yield watched
    finally:
        with suppress(Empty):
            for _ in watches:
                freed.get(timeout=_LONGEST_WAIT)


def _places(first: int, count: int, bad: dict[int, str]) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
    """The places of ``count`` good rows from ``first`` on, and the bad rows among them, which leave ``bad``."""
    faults: dict[int, str] = {}
    if not bad:
        return np.arange(first, first + count), faults
    last = first + count
    for place in sorted(bad):
        if place > last:
            break
        faults[place] = bad.pop(place)
        last += 1
    rows = np.setdiff1d(np.arange(first, last), np.array(list(faults), dtype=np.int64), assume_unique=True)
    return rows, faults


def _parquet_blocks(table: TableFile, wanted: tuple[str, ...], rows: int) -> Iterator[Block]:
    for name in wanted:
        if name in table.unusable:
            raise TableError(f"{table.path}: column {name!r} {table.unusable[name]}")
    with _faults_named(table.path):
        file = parquet_file(table.path)
        stored = file.schema_arrow.names
        # A name that two columns share chooses both, so they are told apart by their places.
        chosen = list(wanted) if set(wanted) <= set(stored) and len(set(stored)) == len(stored) else None
        places_of = {name: place for place, name in enumerate(chosen or table.names)}
        place = 0
        for batch in file.iter_batches(rows, columns=chosen, use_threads=False):
            places = np.arange(place, place + batch.num_rows)
            yield Block(places, {name: simple_cells(batch.column(places_of[name])) for name in wanted}, {})
            place += batch.num_rows


def parquet_file(path: File) -> Any:
    """A file of Parquet, opened by pyarrow: a path is mapped into memory."""
    from pyarrow import parquet

    if isinstance(path, Path):
        return parquet.ParquetFile(path, memory_map=True)
    return parquet.ParquetFile(path.open("rb"))


@contextmanager
def _opened(path: File) -> Iterator[IO[bytes]]:
    """A file's bytes, unpacked if its name says that it is compressed."""
    from pyarrow import input_stream

    packed = next((kind for suffix, kind in _COMPRESSED.items() if path.name.lower().endswith(suffix)), None)
    source = str(path) if isinstance(path, Path) else path.open("rb")
    with input_stream(source, compression=packed) as stream:
        yield stream


def _end_of(path: File, encoding: str) -> str:
    """The last characters of a text file."""
    found = b""
    with _opened(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            found = (found + block)[-_END_BYTES:]
    return found.decode(encoding, "replace")


@contextmanager
def _no_numbers_told() -> Iterator[None]:
    """Raise NotPlainNumbers where pyarrow finds a cell that is no number."""
    from pyarrow import ArrowInvalid

    try:
        yield
    except ArrowInvalid as error:
        if "conversion error to double" in str(error):
            raise NotPlainNumbers(str(error)) from error
        raise


@contextmanager
def _faults_named(path: File) -> Iterator[None]:
    """Turn what pyarrow and the operating system raise into errors that name the file."""
    from pyarrow import ArrowException

    try:
        yield
    except TableError as error:
        raise error if str(error).startswith(str(path)) else TableError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError, ArrowException, EOFError) as error:
        told = str(error)
        if "straddles two block boundaries" in told:
            told = f"a row is longer than {_BLOCK_BYTES:,} bytes; is a quotation mark not closed?"
        raise TableError(f"{path}: cannot be read as a table: {told[:_LONGEST_MESSAGE]}") from error


def release_memory() -> None:
    """Give the memory back that pyarrow holds of arrays that are no more."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


def _pyarrow(path: File) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise missing_extra(f"{path}: to read tables", "pyarrow", "data") from error
    return pyarrow
