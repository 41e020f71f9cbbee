"""How the rows of a table are split, and figures that are computed of every detector in the same way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]
LARGEST_TEST = 2000
"""Test rows of a kind that are used at most."""


class Split(NamedTuple):
    """Half of the ordinary rows to train on, the other half and the anomalous rows to test on; standardised."""

    train: Rows
    ordinary: Rows
    anomalous: Rows

    @property
    def test(self) -> Rows:
        return np.concatenate([self.ordinary, self.anomalous])


def split(ordinary: Rows, anomalous: Rows, seed: int) -> Split:
    """The split of a seed. Mean and standard deviation are those of the training rows."""
    order = np.random.default_rng(seed).permutation(len(ordinary))
    train, rest = ordinary[order[: len(order) // 2]], ordinary[order[len(order) // 2 :]]
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    parts = (train, rest[:LARGEST_TEST], anomalous[:LARGEST_TEST])
    return Split(*((rows - mean) / std for rows in parts))


def auroc(ordinary: Rows, anomalous: Rows) -> float:
    """The probability that an anomalous row scores higher than an ordinary one, with ties counted half."""
    ordered = np.sort(np.nan_to_num(ordinary, nan=np.inf, posinf=1e300, neginf=-1e300))
    scores = np.nan_to_num(anomalous, nan=np.inf, posinf=1e300, neginf=-1e300)
    places = np.searchsorted(ordered, scores) + np.searchsorted(ordered, scores, side="right")
    return float(places.mean()) / 2 / len(ordered)


def swapped(rows: Rows, seed: int) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Rows in each of which one cell is replaced by that of another row, and the column (N,) of that cell."""
    generator = np.random.default_rng(seed)
    columns = generator.integers(rows.shape[1], size=len(rows))
    others = (np.arange(len(rows)) + generator.integers(1, len(rows), size=len(rows))) % len(rows)
    damaged = rows.copy()
    damaged[np.arange(len(rows)), columns] = rows[others, columns]
    return damaged, columns


def with_gaps(rows: Rows, share: float, seed: int) -> Rows:
    """Rows in which each cell is missing, NaN, with probability ``share``. Of each row at least one cell is left."""
    generator = np.random.default_rng(seed)
    gone = generator.random(rows.shape) < share
    gone[np.arange(len(rows)), generator.integers(rows.shape[1], size=len(rows))] = False
    return np.where(gone, np.nan, rows)


def nearest_with_medians(train: Rows, ordinary: Rows, anomalous: Rows) -> tuple[Rows, Rows]:
    """Mean distances (N,) and (M,) of test rows to the 5 nearest training rows, with medians for missing cells."""
    median = np.nanmedian(train, axis=0)
    filled = [np.where(np.isnan(rows), median, rows) for rows in (train, ordinary, anomalous)]
    mean, std = filled[0].mean(axis=0), filled[0].std(axis=0)
    kept, *tested = ((rows - mean) / np.where(std > 0, std, 1.0) for rows in filled)

    def distances(rows: Rows) -> Rows:
        squares = (rows**2).sum(axis=1)[:, None] + (kept**2).sum(axis=1) - 2 * rows @ kept.T
        nearest: Rows = np.sqrt(np.maximum(np.partition(squares, 4, axis=1)[:, :5], 0)).mean(axis=1)
        return nearest

    return distances(tested[0]), distances(tested[1])
