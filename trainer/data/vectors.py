"""Vectors from arrays of numbers. Errors name the column and the row at fault."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.errors import DataError

_STEPS_A_DEVIATION = 100
"""Least number of float32 steps in a column's standard deviation. With fewer the values would lie on a coarse grid."""


class Numbers(NamedTuple):
    """The names of D columns and their values (N, D), float64."""

    columns: list[str]
    values: npt.NDArray[np.float64]


def vectors(table: Numbers, where: str) -> Tensor:
    """A table's rows as float32 vectors (N, D).

    Raises DataError with the column, and with the row where there is one, for a missing or infinite value, for a
    constant column, and for a column that varies by too few float32 steps.
    """
    values = table.values
    if values.shape[1] < 2:
        raise DataError(f"{where}: has {values.shape[1]} columns; a flow needs two or more")
    if len(values) == 0:
        raise DataError(f"{where}: has no rows")
    bad = np.argwhere(~(np.abs(values) <= np.finfo(np.float32).max))  # so written, NaN counts as bad
    if len(bad):
        row, column = (int(index) for index in bad[0])
        what = "missing" if np.isnan(values[row, column]) else f"{values[row, column]}, which float32 cannot hold"
        more = f" (and {len(bad) - 1} more such values)" if len(bad) > 1 else ""
        raise DataError(f"{where}: column {table.columns[column]!r}, row {row + 1}: the value is {what}{more}")
    for name, column in zip(table.columns, values.T, strict=True):
        _check_spread(name, column, where)
    return torch.from_numpy(values.astype(np.float32))


def _check_spread(name: str, column: npt.NDArray[np.float64], where: str) -> None:
    if (column == column[0]).all():
        raise DataError(f"{where}: column {name!r} is constant ({column[0]:g} in every row); leave it out")
    step = float(np.spacing(np.float32(np.abs(column).max())))
    if column.std() < _STEPS_A_DEVIATION * step:
        raise DataError(
            f"{where}: column {name!r} varies by {column.std():.3g} around {column.mean():.6g}, which float32 resolves "
            f"only in steps of {step:.2g}; subtract an offset"
        )
