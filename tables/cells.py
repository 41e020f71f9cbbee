"""Cells to numbers and back: one at a time, as JSON and small bodies bring them, or a column of pyarrow's at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from tables.dialect import MISSING, NUMBER, Dialect, grouped, is_missing
from tables.schema import CATEGORY, INTEGER, TIME, UNITS, Column

Numbers = npt.NDArray[np.float64]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 40
"""Characters of a cell that an error message repeats."""


class BadCell(ValueError):
    """A cell that does not belong into its column; the message says why, without the column's name."""


def number_of(column: Column, cell: object) -> float:
    """The number of one cell as JSON or text holds it; NaN where it is missing.

    Numbers may be written as text. A category is its word. A point in time is ISO 8601, the column's own format, or its
    number. Raises BadCell for anything else.
    """
    if cell is None or (isinstance(cell, str) and is_missing(cell)):
        return math.nan
    if column.kind == CATEGORY:
        return float(_code(column, cell))
    if isinstance(cell, bool):
        return float(cell)
    if isinstance(cell, int | float):
        try:
            value = float(cell)
        except OverflowError:
            raise BadCell("is too large a number") from None
    elif not isinstance(cell, str):
        raise BadCell(f"must be {_expected(column)}")
    elif NUMBER.fullmatch(cell.strip()):
        value = float(cell.strip())  # float itself takes fewer characters for space
    elif column.kind == TIME:
        return time_of(column, cell)
    else:
        raise BadCell(f"{cell[:_SHOWN]!r} is not {_expected(column)}")
    if math.isinf(value):
        raise BadCell("is not a finite number")
    return value


def cell_of(column: Column, number: float) -> Any:
    """A number as JSON holds it: None, an integer, a float, a category's word, or a time in ISO 8601."""
    if math.isnan(number):
        return None
    if column.kind == CATEGORY:
        return column.categories[min(max(round(number), 0), len(column.categories) - 1)]
    if column.kind == TIME:
        try:
            moment = _EPOCH + timedelta(seconds=round(number * UNITS[column.unit]))
        except OverflowError:
            return number
        return moment.date().isoformat() if column.unit == "day" else moment.replace(tzinfo=None).isoformat()
    if column.kind == INTEGER:
        places = max(0, math.ceil(-math.log10(column.resolution) - 1e-9))
        return (
            round(number)
            if places == 0
            else round(number, places + 2 if column.resolution * 10**places % 1 else places)
        )
    return number


def time_of(column: Column, cell: str) -> float:
    """A point in time in the column's unit since 1970. Raises BadCell."""
    text = cell.strip()
    try:
        moment = _moment(text, column.format)
    except ValueError:
        wanted = f"a time such as {datetime(2024, 12, 31).strftime(column.format or '%Y-%m-%d')}"
        raise BadCell(f"{cell[:_SHOWN]!r} is not {wanted}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH).total_seconds() / UNITS[column.unit]


def _moment(text: str, written: str) -> datetime:
    """A time as a column writes it, or else in ISO 8601. Raises ValueError."""
    if written:
        with suppress(ValueError):
            return datetime.strptime(text, written)
    return datetime.fromisoformat(text)


def _code(column: Column, cell: object) -> int:
    for word in _words(cell):
        code = column.codes.get(word)
        if code is not None:
            return code
    known = ", ".join(column.categories[:10]) + (" …" if len(column.categories) > 10 else "")
    raise BadCell(f"{str(cell)[:_SHOWN]!r} is not one of {known}")


def _words(cell: object) -> tuple[str, ...]:
    """How a cell may be written as a category's word."""
    if isinstance(cell, str):
        text = cell.strip()
        return (text, f"{float(text):g}") if NUMBER.fullmatch(text) else (text,)
    if isinstance(cell, bool):
        return (str(cell), str(cell).lower(), "yes" if cell else "no", "1" if cell else "0")
    if isinstance(cell, int | float):
        return (str(cell), f"{float(cell):g}")
    return ()


def _expected(column: Column) -> str:
    return {CATEGORY: "one of the column's words", TIME: "a time or a number"}.get(column.kind, "a number")


# Whole columns.


def texts_of(cells: Any) -> Any:
    """A pyarrow array as text without white space around it; missing cells become null."""
    import pyarrow
    from pyarrow import compute, types

    if types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if not types.is_string(cells.type):
        cells = cells.cast(pyarrow.string())
    trimmed = compute.utf8_trim_whitespace(cells)
    absent = compute.is_in(compute.utf8_lower(trimmed), value_set=pyarrow.array(sorted(MISSING)))
    return compute.if_else(absent, pyarrow.scalar(None, pyarrow.string()), trimmed)


def plain_texts(texts: Any, dialect: Dialect | None) -> Any:
    """Text of numbers with a decimal point and without signs between groups of digits."""
    from pyarrow import compute

    if dialect is not None and dialect.grouping:
        in_groups = compute.match_substring_regex(texts, f"^{grouped(dialect.grouping, dialect.decimal)}$")
        texts = compute.if_else(in_groups, compute.replace_substring(texts, dialect.grouping, ""), texts)
    if dialect is not None and dialect.decimal != ".":
        texts = compute.replace_substring(texts, dialect.decimal, ".")
    return texts


def quick_numbers(cells: Any) -> Numbers | None:
    """Numbers (B,) of text that is plain numbers and empty cells; None where anything else is among it."""
    import pyarrow
    from pyarrow import compute

    try:
        return _doubles(cells)
    except pyarrow.ArrowInvalid:
        pass
    try:
        filled = compute.if_else(compute.equal(cells, ""), pyarrow.scalar(None, pyarrow.string()), cells)
        return _doubles(filled)
    except pyarrow.ArrowInvalid:
        return None


def _doubles(cells: Any) -> Numbers:
    import pyarrow

    found: Numbers = cells.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
    return found


def numbers_of_texts(texts: Any, dialect: Dialect | None) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Numbers (B,) of text, NaN where it is null or no number, and (B,) which of the others are no number."""
    import pyarrow
    from pyarrow import compute

    plain = plain_texts(texts, dialect)
    try:
        return _doubles(plain), np.zeros(len(texts), dtype=bool)
    except pyarrow.ArrowInvalid:
        fits = compute.match_substring_regex(plain, f"^(?i:{NUMBER.pattern})$")
        words = compute.and_kleene(compute.invert(fits), compute.is_valid(plain))
        kept = compute.if_else(fits, plain, pyarrow.scalar(None, pyarrow.string()))
        # A leading + is a number for people, and none for pyarrow.
        kept = compute.utf8_ltrim(kept, characters="+")
        return _doubles(kept), compute.fill_null(words, fill_value=False).to_numpy(zero_copy_only=False)


def column_numbers(column: Column, cells: Any, dialect: Dialect | None) -> tuple[Numbers, Mapping[int, str]]:
    """Numbers (B,) of a column's cells, a pyarrow array, and why a cell at a place has none, other than missing."""
    from pyarrow import types

    kind = cells.type
    if column.kind not in (CATEGORY, TIME) and is_numeric(kind):
        return _checked(floats(cells))
    if column.kind == TIME and (types.is_timestamp(kind) or types.is_date(kind)):
        return seconds_of(cells) / UNITS[column.unit], {}
    texts = texts_of(cells)
    if column.kind not in (CATEGORY, TIME):
        numbers, words = numbers_of_texts(texts, dialect)
        numbers, faults = _checked(numbers)
        bad = {int(at): f"{texts[int(at)].as_py()[:_SHOWN]!r} is not a number" for at in np.flatnonzero(words)}
        return numbers, {**faults, **bad}
    encoded = texts.dictionary_encode()
    numbers_of_words = np.full(len(encoded.dictionary) + 1, np.nan)
    reasons: dict[int, str] = {}
    for index, word in enumerate(encoded.dictionary.to_pylist()):
        try:
            numbers_of_words[index] = number_of(column, word)
        except BadCell as error:
            reasons[index] = str(error)
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    faults = {}
    if reasons:
        faults = {int(at): reasons[int(codes[at])] for at in np.flatnonzero(np.isin(codes, list(reasons)))}
    return numbers_of_words[codes], faults


def _checked(numbers: Numbers) -> tuple[Numbers, dict[int, str]]:
    return numbers, {int(at): "is not a finite number" for at in np.flatnonzero(np.isinf(numbers))}


def is_numeric(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind))


def floats(cells: Any) -> Numbers:
    import pyarrow

    if pyarrow.types.is_boolean(cells.type):
        cells = cells.cast(pyarrow.int8())
    found: Numbers = cells.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def seconds_of(cells: Any) -> Numbers:
    """Timestamps or dates as seconds since 1970, UTC."""
    import pyarrow

    stamps = cells.cast(pyarrow.timestamp("us")) if not pyarrow.types.is_timestamp(cells.type) else cells
    micro = stamps.cast(pyarrow.timestamp("us", tz=stamps.type.tz), safe=False).cast(pyarrow.int64())
    found: Numbers = micro.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False) / 1e6
    return found
