"""Cells to numbers and back: one at a time, as JSON and small bodies bring them, or a column of pyarrow's at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tables.dialect import MISSING, NUMBER, Dialect, grouped, is_missing
from tables.schema import CATEGORY, INTEGER, TIME, UNITS, Column
from tables.times import CLOCK_FORMATS, is_clock, seconds_of_text, text_of_seconds

Numbers = npt.NDArray[np.float64]
_DIGITS_OF_A_DATE = "%Y%m%d"
"""A format of times that look like numbers, and are not taken as numbers."""
_TRUTH = {"false": 0.0, "true": 1.0}
_MOST_DECIMALS = 9
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
    if column.kind == TIME and column.format == _DIGITS_OF_A_DATE and isinstance(cell, int):
        cell = str(cell)
    if isinstance(cell, bool):
        return float(cell)
    if isinstance(cell, int | float):
        try:
            value = float(cell)
        except OverflowError:
            raise BadCell("is too large a number") from None
    elif not isinstance(cell, str):
        raise BadCell(f"must be {_expected(column)}")
    elif NUMBER.fullmatch(cell.strip()) and not (column.kind == TIME and column.format == _DIGITS_OF_A_DATE):
        value = float(cell.strip())  # float itself takes fewer characters for space
    elif column.kind == TIME:
        return time_of(column, cell)
    elif _is_yes_or_no(column) and cell.strip().lower() in _TRUTH:
        return _TRUTH[cell.strip().lower()]
    else:
        raise BadCell(f"{cell[:_SHOWN]!r} is not {_expected(column)}")
    if math.isinf(value):
        raise BadCell("is not a finite number")
    return value


def _is_yes_or_no(column: Column) -> bool:
    """Whether a column holds 0 and 1 only, as columns of truth values of Parquet do."""
    return column.kind == INTEGER and column.low == 0 and column.high == 1


def cell_of(column: Column, number: float) -> Any:
    """A number as JSON holds it: None, an integer, a float, a category's word, or a time in ISO 8601."""
    if math.isnan(number):
        return None
    if column.kind == CATEGORY:
        return column.categories[min(max(round(number), 0), len(column.categories) - 1)]
    if column.kind == TIME:
        try:
            return text_of_seconds(number * UNITS[column.unit], column.format, column.unit == "day")
        except OverflowError:
            return number
    if column.kind == INTEGER:
        places = _decimals(column)
        return number if places is None else round(number, places or None)
    return number


def _decimals(column: Column) -> int | None:
    """The decimal places in which every number of a column's grid is written; None where no few are enough."""
    for places in range(_MOST_DECIMALS + 1):
        step, offset = column.resolution * 10**places, column.offset * 10**places
        if round(step) >= 1 and all(abs(value - round(value)) < 1e-6 for value in (step, offset)):
            return places
    return None


def time_of(column: Column, cell: str) -> float:
    """A point in time in the column's unit since 1970. Raises BadCell."""
    text = cell.strip()
    for form in dict.fromkeys((column.format, "", *(CLOCK_FORMATS if is_clock(column.format) else ()))):
        with suppress(ValueError):
            return seconds_of_text(text, form) / UNITS[column.unit]
    wanted = f"a time such as {datetime(2024, 12, 31, 23, 59).strftime(column.format or '%Y-%m-%d')}"
    raise BadCell(f"{cell[:_SHOWN]!r} is not {wanted}")


def _code(column: Column, cell: object) -> int:
    for word in _words(cell):
        code = column.codes.get(word)
        if code is not None:
            return code
    known = ", ".join(column.categories[:10]) + (" …" if len(column.categories) > 10 else "")
    raise BadCell(f"{str(cell)[:_SHOWN]!r} is not one of {known}")


def _words(cell: object) -> tuple[str, ...]:
    """How a cell may be written as a category's word, the likeliest first."""
    if isinstance(cell, bool):
        word = str(cell)
        return (word, word.lower(), word.upper(), "yes" if cell else "no", "1" if cell else "0")
    if isinstance(cell, int | float):
        cell = str(cell)
    if not isinstance(cell, str):
        return ()
    text = cell.strip()
    if text.lower() in _TRUTH:
        return (text, text.lower(), text.upper(), text.capitalize())
    if not NUMBER.fullmatch(text):
        return (text,)
    number = float(text)
    return (text, number_word(number), str(number))


def number_word(number: float) -> str:
    """A number as the word of a category: without a decimal point where it is whole."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)


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
        numbers, faults = _checked(numbers.copy())
        for at in np.flatnonzero(words).tolist():
            try:
                numbers[at] = number_of(column, texts[at].as_py())
            except BadCell as error:
                faults[at] = str(error)
        return numbers, faults
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


def is_usable(kind: Any) -> bool:
    """Whether cells of a type of pyarrow's are numbers, words, points in time, times of day or spans of time."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    texts = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind)
    return bool(texts or is_numeric(kind) or types.is_temporal(kind)) and not types.is_interval(kind)


def simple_cells(cells: Any) -> Any:
    """A pyarrow array of a usable type as numbers, text, dates or timestamps: spans of time in seconds."""
    import pyarrow
    from pyarrow import types

    if types.is_null(cells.type) or types.is_large_string(cells.type) or types.is_string_view(cells.type):
        return cells.cast(pyarrow.string())
    if types.is_time(cells.type):
        return cells.cast(pyarrow.time64("us")).cast(pyarrow.time32("s"), safe=False).cast(pyarrow.string())
    if types.is_duration(cells.type):
        return pyarrow.array(cells.cast(pyarrow.duration("us"), safe=False).cast(pyarrow.int64()).to_numpy(False) / 1e6)
    return cells


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
