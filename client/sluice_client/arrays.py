"""Arrays in answers, and those of several requests put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sluice_client.calls import JSON, NPY, Answer
from sluice_client.npy import Array, from_npy

Part = tuple[Array, str, Array | None]
"""An array of rows, the model that made it, and perhaps a number for each row."""


def read_array(answer: Answer) -> Part:
    """Reads an answer in npy, which has no log-determinants."""
    return from_npy(answer.content), answer.header("x-sluice-model"), None


def array_form(log_abs_det: bool, name: str) -> tuple[str, Callable[[Answer], Part]]:
    """The media type to ask for, and how it is read: log-determinants come in JSON only."""
    return (JSON, _reader(name)) if log_abs_det else (NPY, read_array)


def _reader(name: str) -> Callable[[Answer], Part]:
    """Reads the JSON of `/encode` and `/decode`, which tells log-determinants too."""

    def read(answer: Answer) -> Part:
        document = answer.json()
        rows, _ = rows_of(document[name])
        return rows, document["model"], np.array(document["log_abs_det"], dtype=np.float64)

    return read


def rows_of(items: Sequence[Any]) -> tuple[Array, tuple[str, ...]]:
    """Items as JSON has them, as an array, and the column names of a table's rows, which are objects.

    Whole numbers are pixels; numbers of vectors are float32, and cells of a table what JSON makes of them.
    """
    columns = tuple(items[0]) if len(items) and isinstance(items[0], dict) else ()
    if columns:
        return np.array([[row[name] for name in columns] for row in items], dtype=object), columns
    rows = np.array(items)
    return rows.astype(np.uint8 if rows.dtype.kind == "i" else np.float32), ()


def together(parts: Sequence[Part]) -> Part:
    """What several requests of one call brought, as one."""
    determinants = [part[2] for part in parts if part[2] is not None]
    whole = np.concatenate(determinants) if determinants else None
    return stacked([part[0] for part in parts]), parts[0][1], whole


def filled_up(arrays: Sequence[Array]) -> Array:
    """Maps (N, H, W) of several requests as one array: smaller ones are filled up with NaN, as the service does."""
    height, width = (max(each.shape[axis] for each in arrays) for axis in (1, 2))
    return stacked(
        [
            np.pad(each, ((0, 0), (0, height - each.shape[1]), (0, width - each.shape[2])), constant_values=np.nan)
            for each in arrays
        ]
    )


def stacked(arrays: Sequence[Array]) -> Array:
    """Arrays of several requests as one, along the first axis."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
