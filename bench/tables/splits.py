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
