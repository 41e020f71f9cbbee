"""The schema of a table: its columns by name, each with its kind, and how a cell becomes an entry of a vector.

A cell has a *number*: the value itself, the index of a category, or a point in time in units since 1970. The entry of
the vector that a flow works on is ``number - offset``, as float32. A missing cell is NaN in both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

Kind = Literal["continuous", "integer", "category", "time"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
CONTINUOUS: Final = "continuous"
INTEGER: Final = "integer"
CATEGORY: Final = "category"
TIME: Final = "time"

UNITS: Final[dict[str, float]] = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}
"""Units of time, in seconds."""
LONGEST_NAME: Final = 256
MOST_COLUMNS: Final = 10_000
MOST_CATEGORIES: Final = 1_000

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One column. Raises ValueError, naming the field, for values that do not fit together."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    name: str
    kind: Kind
    offset: float = 0.0
    """Subtracted from a number before it becomes an entry, so that float32 resolves a column far from zero."""
    resolution: float = 0.0
    """The step between neighbouring numbers: 1 of integers and categories, 0.01 of prices. 0 where there is none.

    A column with a step is dequantised: the density is over a number with uniform noise of one step added. The
    logarithm of a value's probability is then, on average, at least the log-density plus the logarithm of the step.
    """
    low: float = 0.0
    """The least number in the training rows."""
    high: float = 0.0
    """The greatest number in the training rows."""
    missing: float = 0.0
    """The share of training rows in which the cell is missing."""
    categories: tuple[str, ...] = ()
    """The words of a category column; a cell's number is its word's index."""
    unit: str = ""
    """Of a time column: a key of ``UNITS``. Numbers count these from 1970-01-01, UTC."""
    format: str = ""
    """Of a time column: how cells are written, as ``strptime`` understands it; empty for ISO 8601."""

    def __post_init__(self) -> None:
        def refuse(field: str, what: str) -> None:
            raise ValueError(f"column {self.name[:60]!r}: {field} {what}")

        if not self.name or len(self.name) > LONGEST_NAME:
            raise ValueError(f"column {self.name[:60]!r}: name must have 1 to {LONGEST_NAME} characters")
        if self.kind not in KINDS:
            refuse("kind", f"must be one of {', '.join(KINDS)}")
        for field in ("offset", "resolution", "low", "high", "missing"):
            if not math.isfinite(getattr(self, field)):
                refuse(field, "must be finite")
        if self.resolution < 0 or (self.resolution == 0 and self.kind in (INTEGER, CATEGORY)):
            refuse("resolution", "must be above 0" if self.kind != CONTINUOUS else "must not be negative")
        if not 0 <= self.missing <= 1:
            refuse("missing", "must be a share from 0 to 1")
        if self.low > self.high:
            refuse("low", "must not be above high")
        if (self.kind == CATEGORY) != bool(self.categories):
            refuse("categories", "must hold the words of a category column, and nothing for other kinds")
        if len(set(self.categories)) != len(self.categories) or len(self.categories) > MOST_CATEGORIES:
            refuse("categories", f"must be at most {MOST_CATEGORIES} different words")
        if self.kind == CATEGORY and (self.resolution != 1 or self.offset != 0):
            refuse("resolution", "of a category column must be 1, and its offset 0")
        if (self.unit in UNITS) != (self.kind == TIME) or (self.unit and self.unit not in UNITS):
            refuse("unit", f"of a time column must be one of {', '.join(UNITS)}, and empty for other kinds")

    @property
    def is_discrete(self) -> bool:
        """Whether its numbers lie on a grid, and are dequantised."""
        return self.resolution > 0

    @cached_property
    def codes(self) -> dict[str, int]:
        """The index of each word of a category column."""
        return {word: index for index, word in enumerate(self.categories)}


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in the order of a vector's entries. Raises ValueError where names repeat.

    >>> schema = Schema((Column("age", "integer", resolution=1.0), Column("height", "continuous")))
    >>> schema.names, len(schema)
    (('age', 'height'), 2)
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True}

    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()
    """Columns of the training file that are no input: the label, constant ones, row numbers, and dropped ones."""

    def __post_init__(self) -> None:
        if not self.columns or len(self.columns) > MOST_COLUMNS:
            raise ValueError(f"a schema has 1 to {MOST_COLUMNS} columns")
        seen: set[str] = set()
        for name in self.names:
            if name in seen:
                raise ValueError(f"two columns are named {name[:60]!r}")
            seen.add(name)

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each column in a vector."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def offsets(self) -> _Numbers:
        """(D,): what is subtracted from each number."""
        return np.array([column.offset for column in self.columns])

    @property
    def resolutions(self) -> list[float]:
        """The step of each column; 0 where there is none."""
        return [column.resolution for column in self.columns]

    @property
    def levels(self) -> list[int]:
        """The number of categories of each column; 0 for other kinds."""
        return [len(column.categories) for column in self.columns]

    def entries(self, numbers: _Numbers) -> npt.NDArray[np.float32]:
        """Numbers (N, D), NaN where missing -> vectors (N, D). A number beyond float32 becomes infinite."""
        with np.errstate(over="ignore"):
            return (numbers - self.offsets).astype(np.float32)

    def numbers(self, entries: npt.NDArray[np.floating[Any]]) -> _Numbers:
        """Vectors (N, D) -> numbers (N, D), exact multiples of the step in columns that have one."""
        values = entries.astype(np.float64)
        for place, column in enumerate(self.columns):
            if column.resolution > 0:
                values[:, place] = np.rint(values[:, place] / column.resolution) * column.resolution
        return values + self.offsets


def common_names(names: Sequence[str], limit: int = 8) -> str:
    """Names as a list for people, shortened where there are many."""
    shown = ", ".join(repr(name[:60]) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
