"""Tables of pandas, polars, pyarrow, or a dictionary of columns, by the names of their columns. None is imported."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sluice_client.errors import UnusableInput
from sluice_client.npy import Array

_SHOWN = 5
"""Names that an error lists."""


class Table:
    """Columns of equal length by name. Raises UnusableInput for any other."""

    def __init__(self, columns: Mapping[str, Array]) -> None:
        self.columns = columns
        lengths = {len(values) for values in columns.values() if values.ndim == 1}
        if not columns or any(values.ndim != 1 for values in columns.values()) or len(lengths) > 1:
            raise UnusableInput("items: a table needs columns of one length")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def chosen(self, names: Sequence[str]) -> Table:
        """These columns in this order. Raises UnusableInput, naming those that are missing."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise UnusableInput(
                f"items: the table lacks the columns {_listed(missing)}; it has {_listed(self.columns)}"
            )
        return Table({name: self.columns[name] for name in names})

    def is_numeric(self) -> bool:
        """Whether every column holds numbers."""
        return all(values.dtype.kind in "iufb" for values in self.columns.values())

    def numbers(self) -> Array:
        """Rows (N, D) in the order of the columns. Raises UnusableInput for a column of anything but numbers."""
        for name, values in self.columns.items():
            if values.dtype.kind not in "iufb":
                raise UnusableInput(f"items: column {name!r} holds {values.dtype}, not numbers")
        return np.stack([np.asarray(values, np.float64) for values in self.columns.values()], axis=1)

    def with_counts(self, names: Sequence[str]) -> Table:
        """The same with 0 and 1 for truth values in some columns."""
        return Table(
            {
                name: values.astype(np.int64) if name in names and values.dtype.kind == "b" else values
                for name, values in self.columns.items()
            }
        )

    def rows(self, first: int, stop: int) -> Table:
        """Some rows."""
        return Table({name: values[first:stop] for name, values in self.columns.items()})

    def to_csv(self) -> bytes:
        """The table as CSV in UTF-8, the names first; an empty field where a value is missing."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        cells = (_written(values) for values in self.columns.values())
        writer.writerows([["" if _missing(cell) else cell for cell in row] for row in zip(*cells, strict=True)])
        return text.getvalue().encode()


def table_of(value: Any) -> Table | None:
    """The table that a value is: a dictionary of columns, or a data frame; None for anything else."""
    if isinstance(value, Mapping):
        return Table({str(name): _column(name, column) for name, column in value.items()})
    names = getattr(value, "column_names", None) or getattr(value, "columns", None)
    if names is None or isinstance(value, np.ndarray) or not hasattr(value, "__getitem__"):
        return None
    found = [str(name) for name in names]
    if len(set(found)) < len(found):
        raise UnusableInput("items: two columns of the table have the same name")
    return Table({str(name): _column(name, value[name]) for name in names})


def _column(name: object, values: Any) -> Array:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise UnusableInput(f"items: column {str(name)!r} cannot be read: {error}") from error


def _written(values: Array) -> list[Any]:
    """The cells of a column as they are written: points in time in ISO 8601, to the day where no time is told."""
    if values.dtype.kind != "M":
        return values.tolist()  # type: ignore[no-any-return]
    days = np.array_equal(values.astype("datetime64[D]"), values, equal_nan=True)
    return np.datetime_as_string(values, unit="D" if days else "us").tolist()  # type: ignore[no-any-return]


def _missing(cell: Any) -> bool:
    # The missing value of pandas is neither equal to itself nor not.
    return cell is None or str(cell) in ("<NA>", "NaT") or cell != cell


def _listed(names: Any) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
