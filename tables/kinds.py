"""The kind of each column, found from its values: what a table's schema is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tables.cells import Numbers, cell_of
from tables.schema import CATEGORY, CONTINUOUS, INTEGER, MOST_CATEGORIES, TIME, UNITS, Column, Kind

MOST_FOUND_CATEGORIES = 50
"""Different words up to which a column of words is taken as a category by itself."""
_MOST_DECIMALS = 6
_LONGEST_GRID = 2**20
"""Steps between a column's least and greatest number up to which it counts as rounded: float32 resolves them all."""
_QUICK = 1_000
"""Numbers of a long column that are looked at first: most columns without a grid show it there."""
STEPS_A_DEVIATION = 100
"""Least number of float32 steps in a column's standard deviation. With fewer, values would lie on a coarse grid."""
_STRAY_SHARE = 0.02
"""Share of cells that may be words in a column of numbers: they then count as missing."""
_INDEX_NAME = re.compile(
    r"(?i:unnamed.*|__index_level_\d+__|index|row|row[ _.-]?(id|number|nr|no)|id|#|nr|no|column 1|.*[ _-]id)"
    r"|.*[a-z0-9](Id|ID)"
)
_INDEX_SHARE = 0.9
"""Share of different numbers in a column that is named like an index."""
_FEWEST_VALUES = 10
"""Cells with a value in a column, of which others are missing. With fewer, a fold of five may have none."""
_WITH_VALUE = " that has a value"
LARGEST = 1e37
"""Numbers up to which float32 has room for sums and products with small factors."""
_QUANTITY = re.compile(r"([^\w\s]{1,3}|[A-Za-z]{1,4}\s)?\s*[+-]?\d+([' .,\u00a0\u202f]\d{3})*([.,]\d+)?\s*[^\d\s]{0,8}")
"""A number with a sign or a unit around it."""


class LeftOut(NamedTuple):
    """A column that is no input, and why."""

    name: str
    reason: str


class Found(NamedTuple):
    """A column with its kind, its numbers (N,), and what people should know of it."""

    column: Column
    numbers: Numbers
    notes: tuple[str, ...] = ()


_PART = 65_536
"""Values that are scaled at a time."""


def numeric(name: str, numbers: Numbers, kind: Kind | None, words: Mapping[str, int] | None = None) -> Found | LeftOut:
    """A column of numbers (N,). ``words`` are cells that are no numbers, and how often each occurs.

    ``kind`` is what the user said that it is, if anything.
    """
    finite = np.isfinite(numbers)
    notes = _numeric_notes(numbers, words or {})
    present = numbers
    if not finite.all():
        present, numbers = numbers[finite], np.where(finite, numbers, np.nan)
    if len(present) == 0:
        return LeftOut(name, "every cell is missing")
    if (present == present[0]).all():
        return LeftOut(name, f"is constant ({present[0]:g} in every row{'' if finite.all() else _WITH_VALUE})")
    if np.abs(present).max() > LARGEST:
        return LeftOut(name, f"holds {np.abs(present).max():.3g}, too large for float32; take its logarithm")
    if kind is None and _is_index(name, numbers):
        return LeftOut(name, "numbers the rows")
    step = 0.0 if kind == CONTINUOUS else step_of(present)
    if kind == INTEGER and not step:
        return LeftOut(name, "is no column of integers or rounded numbers; --kind NAME=continuous takes it")
    offset = _offset(present, step)
    spread = float(present.std())
    coarse = float(np.spacing(np.float32(np.abs(present - offset).max())))
    if not step and spread < STEPS_A_DEVIATION * coarse:
        return LeftOut(name, f"varies by {spread:.3g} around {present.mean():.6g}, below what float32 resolves")
    missing = float(np.isnan(numbers).mean())
    found = Column(
        name, INTEGER if step else CONTINUOUS, offset, step, float(present.min()), float(present.max()), missing
    )
    return Found(found, numbers, notes)


def category(name: str, codes: Numbers, words: tuple[str, ...]) -> Found | LeftOut:
    """A column of words by their indices (N,), NaN where missing."""
    present = codes[np.isfinite(codes)]
    if len(words) < 2:
        where = _WITH_VALUE if np.isnan(codes).any() else ""
        return LeftOut(name, f"is constant ({words[0]!r} in every row{where})" if words else "every cell is missing")
    missing = float(np.isnan(codes).mean())
    column = Column(name, CATEGORY, 0.0, 1.0, float(present.min()), float(present.max()), missing, words)
    return Found(column, codes)


def time(name: str, seconds: Numbers, form: str, notes: tuple[str, ...] = ()) -> Found | LeftOut:
    """A column of points in time as seconds since 1970 (N,), NaN where missing, written in the format ``form``."""
    present = seconds[np.isfinite(seconds)]
    if len(present) == 0 or (present == present[0]).all():
        return LeftOut(name, "is constant" if len(present) else "every cell is missing")
    span = float(np.ptp(present))
    unit = (
        "day"
        if not (present % UNITS["day"]).any()
        else next(u for u in ("hour", "minute", "second") if span >= 24 * UNITS[u] or u == "second")
    )
    whole = step_of(present)
    numbers = seconds / UNITS[unit]
    shown = present / UNITS[unit]
    step = whole / UNITS[unit]
    if float(np.ptp(present)) / whole > _LONGEST_GRID if whole else True:
        step = 0.0
    column = Column(
        name, TIME, _offset(shown, step), step, float(shown.min()), float(shown.max()),
        float(np.isnan(seconds).mean()), (), unit, form,
    )  # fmt: skip
    if _is_evenly_rising(seconds):
        notes = (
            *notes,
            "rises with every row: rows of another time will all be atypical; --drop leaves it out",
        )
    return Found(column, numbers, notes)


def enough(found: Found) -> Found | LeftOut:
    """The column, left out where most cells are missing and the others are too few to learn from."""
    present = int(np.isfinite(found.numbers).sum())
    if present >= min(_FEWEST_VALUES, len(found.numbers) / 2):
        return found
    return LeftOut(found.column.name, f"has a value in {present} of {len(found.numbers):,} rows; --columns takes it")


def step_of(present: Numbers) -> float:
    """The step of the grid that all numbers lie on; 0 where there is none, or one too fine to matter.

    It is the greatest common divisor of the differences, in units of the last decimal place that is used.
    """
    if len(present) > 2 * _QUICK and not step_of(present[:: len(present) // _QUICK]):
        return 0.0
    values = np.unique(present)
    span = float(values[-1] - values[0])
    for places in range(_MOST_DECIMALS + 1):
        largest = 10.0**places * max(abs(float(values[0])), abs(float(values[-1])))
        if largest > 2**52:
            return 0.0
        if _are_whole(values, 10.0**places, 1e-9 + 1e-15 * largest):
            step = int(np.gcd.reduce(np.diff(np.rint(values * 10.0**places)).astype(np.int64))) / 10.0**places
            return step if step and span / step <= _LONGEST_GRID else 0.0
    return 0.0


def _are_whole(values: Numbers, factor: float, allowed: float) -> bool:
    """Whether all values times the factor are whole numbers, looked at in parts to save memory and time."""
    for start in range(0, len(values), _PART):
        scaled = values[start : start + _PART] * factor
        if np.abs(scaled - np.rint(scaled)).max() > allowed:
            return False
    return True


def told(column: Column) -> str:
    """A column in words: its kind, its range, and how much is missing."""
    if column.kind == CATEGORY:
        words = ", ".join(column.categories[:6]) + (" …" if len(column.categories) > 6 else "")
        text = f"category of {len(column.categories)}: {words}"
    else:
        low, high = (cell_of(column, value) for value in (column.low, column.high))
        low, high = (f"{value:.6g}" if isinstance(value, float) else value for value in (low, high))
        kind = column.kind
        if kind == INTEGER and column.resolution != 1:
            kind = f"rounded to {column.resolution:g}"  # type: ignore[assignment]
        if kind == TIME:
            kind = f"time in {column.unit}s"  # type: ignore[assignment]
        text = f"{kind}, {low} to {high}"
    return text + (f", {column.missing:.1%} missing" if column.missing else "")


def left_out_words(name: str, words: Sequence[str], rows: int) -> LeftOut:
    """A column of words that are too many to be categories."""
    told = f"holds {len(words):,} different words such as {words[0][:40]!r}"
    if sum(_QUANTITY.fullmatch(word) is not None for word in words) > 0.9 * len(words):
        return LeftOut(name, f"{told}; write the numbers without signs or units")
    if len(words) > 0.5 * rows:
        return LeftOut(name, f"{told} in {rows:,} rows, which tell rows apart")
    return LeftOut(name, f"{told}; --kind NAME=category takes it with up to {MOST_CATEGORIES}")


def most_categories(rows: int) -> int:
    """Different words up to which a column of ``rows`` cells is taken as a category by itself."""
    return max(2, min(MOST_FOUND_CATEGORIES, rows // 5))


def strays(words: Mapping[str, int], present: int) -> bool:
    """Whether words in a column of ``present`` numbers are few enough to count as missing."""
    return sum(words.values()) <= _STRAY_SHARE * (present + sum(words.values()))


def _numeric_notes(numbers: Numbers, words: Mapping[str, int]) -> tuple[str, ...]:
    notes = []
    if words:
        shown = ", ".join(repr(word[:20]) for word in list(words)[:3])
        notes.append(f"{sum(words.values()):,} cells that are no numbers ({shown}) count as missing")
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        notes.append(f"{infinite:,} infinite cells count as missing")
    return tuple(notes)


def _offset(present: Numbers, step: float) -> float:
    """What is subtracted: a number amid the others, where float32 would be coarse or where the grid has no zero."""
    span = float(np.ptp(present))
    if not step and np.abs(present[0]) <= 32 * span:
        return 0.0
    middle = float(np.partition(present, len(present) // 2)[len(present) // 2])
    if step:
        return middle if abs(middle / step - round(middle / step)) > 1e-6 or abs(middle) > 64 * span else 0.0
    return middle if abs(middle) > 64 * span else 0.0


def _is_index(name: str, numbers: Numbers) -> bool:
    """Whether a column numbers the rows: each is one more than the last, or most differ under such a name."""
    if not np.isfinite(numbers).all() or (numbers != np.rint(numbers)).any():
        return False
    if len(numbers) > 2 and (np.diff(numbers) == 1).all():
        return True
    return bool(_INDEX_NAME.fullmatch(name.strip())) and len(np.unique(numbers)) >= _INDEX_SHARE * len(numbers)


def _is_evenly_rising(values: Numbers) -> bool:
    return len(values) > 2 and bool((np.diff(values) > 0).all())


def notes_of(found: Sequence[Found]) -> Iterator[str]:
    """What people should know of columns that are taken, a line each."""
    for each in found:
        for note in each.notes:
            yield f"{each.column.name}: {note}"


__all__ = [
    "LARGEST",
    "MOST_CATEGORIES",
    "STEPS_A_DEVIATION",
    "Found",
    "LeftOut",
    "category",
    "enough",
    "left_out_words",
    "most_categories",
    "notes_of",
    "numeric",
    "step_of",
    "strays",
    "time",
    "told",
]
