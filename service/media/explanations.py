"""Which items are to be explained, and how many of their columns: what a request wishes of contributions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.media.documents import ColumnContribution, ItemScore
from service.protocol.messages import Arrays
from service.protocol.model_info import ModelInfo

Wish = Literal["none", "anomalous", "all"]

TOP_COLUMNS = 3
"""Columns of an anomalous item that are told where not all are asked for."""
MOST_ITEMS = 32
"""Anomalous items that are explained at most where not all are asked for: each costs as much as hundreds of scores."""


def explained(model: ModelInfo, wish: Wish, p_values: npt.NDArray[np.float64] | None, alpha: float) -> list[int]:
    """The places of the items to explain. None where the model has no cross-conformal p-values of rows."""
    if (
        wish == "none"
        or p_values is None
        or model.calibration is None
        or model.calibration.folds is None
        or model.pictures is not None
    ):
        return []
    if wish == "all":
        return list(range(len(p_values)))
    return [int(place) for place in np.flatnonzero(p_values <= alpha)[:MOST_ITEMS]]


def column_contributions(
    model: ModelInfo, wish: Wish, items: npt.NDArray[Any], arrays: Arrays
) -> list[list[ColumnContribution]]:
    """The documents of explained items (N, D), from the arrays ``gain`` and ``expected`` (N, D).

    Values are in the columns' units: of a category the index of its word, of a time the units since 1970.
    """
    expectations = arrays["expected"]
    if model.table is not None:
        items, expectations = model.table.numbers(items), model.table.numbers(expectations)
        for place, words in enumerate(model.table.levels):
            if words:  # the others of a strange row may let expect a word beyond the last
                expectations[:, place] = expectations[:, place].clip(0, words - 1)
    names: Sequence[str] = (
        model.table.names if model.table is not None else [str(column + 1) for column in range(model.dimensions)]
    )
    most = None if wish == "all" else TOP_COLUMNS
    found = []
    for row, gains, expected in zip(items, arrays["gain"], expectations, strict=True):
        order = np.argsort(-gains, kind="stable")[:most]
        found.append(
            [
                ColumnContribution(
                    names[column],
                    float(gains[column]),
                    float(row[column]) if np.isfinite(row[column]) else None,
                    float(expected[column]),
                )
                for column in order
            ]
        )
    return found


def with_contributions(
    scores: Iterator[ItemScore], told: Mapping[int, list[ColumnContribution]]
) -> Iterator[ItemScore]:
    """Scores with the contributions that are told by the items' places."""
    for place, item in enumerate(scores):
        item.contributions = told.get(place)
        yield item
