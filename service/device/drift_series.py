"""The series of live items that are watched for drift, and the bin of each item in each series."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flows import DequantiseColumns, noise
from flows.anomaly import BINS, LEVELS, CrossCalibration, bins_of, cells
from model_store import LoadedModel
from model_store.calibrations import AnyCalibration
from service.protocol.drift import Sort

SEED = 20030812
"""Of the numbers that break ties between an item and a calibrating one. Any number would do; this one is stated."""
MOST_COLUMNS = 256
"""Columns of a table that are watched: the first ones."""


class Series(NamedTuple):
    """One martingale: which verdict, test or column it looks at, and by which member of the calibration."""

    sort: Sort
    name: str
    member: int = 0


class PValueSeries:
    """The combined p-value and that of each test, by each member of a calibration: S series.

    Scores that equal a calibrating one are ordered at random: calibrating item i has a fixed number u_i, the live item
    draws its own, and the smaller number counts as the smaller score. Without this, ties would be gaps between
    p-values, and evidence against ordinary items.
    """

    def __init__(self, calibration: AnyCalibration) -> None:
        tests = [Series("test", test.name) for test in calibration.tests]
        self.sizes = calibration.sizes
        self.series = [
            each._replace(member=member)
            for member in range(len(self.sizes))
            for each in (Series("verdict", "all tests"), *tests)
        ]
        self.cells = torch.stack([cells(self.sizes[each.member]) for each in self.series])
        self._of_calibrating = noise.uniform(noise.keys(SEED, max(self.sizes)), (len(self.series),)).T.contiguous()

    def bins(self, ranks: Tensor, first: int) -> Tensor:
        """The bins (B, S) of items with ``Verdict.ranks`` (B, K, 1 + T, 2), which are numbered from ``first``."""
        lower, at_most = ranks.flatten(1, 2).unbind(dim=2)
        found, other = self._bins(lower), self._bins(at_most)
        # Most ties lie within a bin, whatever their order.
        rows, places = (found != other).nonzero(as_tuple=True)
        if len(rows):
            own = noise.uniform(noise.keys(SEED + 1, len(lower), first=first), (lower.shape[1],))
            below = lower.clone()
            below[rows, places] += self._ties_below(
                lower[rows, places], at_most[rows, places], own[rows, places], places
            )
            found[rows, places] = self._bins(below)[rows, places]
        return found

    def _bins(self, below: Tensor) -> Tensor:
        """The bins (B, S) of items that so many calibrating ones (B, S) lie below."""
        sizes = [self.sizes[each.member] for each in self.series]
        return torch.stack([bins_of(n - below[:, place], n) for place, n in enumerate(sizes)], dim=1)

    def _ties_below(self, lower: Tensor, at_most: Tensor, own: Tensor, places: Tensor) -> Tensor:
        """For scores (M,), each of the series at ``places``: how many calibrating ties have a smaller number."""
        most = int((at_most - lower).max())
        found = torch.zeros_like(lower)
        for step in range(0, most, _TIES_AT_ONCE):
            index = lower[:, None] + torch.arange(step, min(step + _TIES_AT_ONCE, most))
            tied = index < at_most[:, None]
            index = index.clamp_max(self._of_calibrating.shape[1] - 1)
            found += (tied & (self._of_calibrating[places[:, None], index] < own[:, None])).sum(dim=1)
        return found


_TIES_AT_ONCE = 64


class ColumnSeries:
    """The values of a table's columns among those of the rows that its calibration ``kept`` (M, D).

    What is missing has been drawn given the others, of live rows as of the kept ones (``Flow.to_continuous``): present
    cells alone would be others than the kept ones, wherever it depends on a row which of its cells are missing.
    ``grid`` knows the steps of columns that have such: values are compared on it.
    """

    def __init__(self, names: Sequence[str], kept: Tensor, grid: DequantiseColumns | None = None) -> None:
        names = names[:MOST_COLUMNS]
        self.series = [Series("column", name) for name in names]
        self._grid = None if grid is None else copy.deepcopy(grid).cpu()
        self._width = len(names)
        rows, count = self._values(kept), len(kept)
        self.cells = cells(count).repeat(self._width, 1)
        places = [round(level * (count + 1)) for level in LEVELS]
        numbers = noise.uniform(noise.keys(SEED, count), (self._width,))
        edges, edge_numbers = [], []
        for column, own in zip(rows.T, numbers.T, strict=True):
            order = own.argsort()
            order = order[column[order].argsort(stable=True)]
            edges.append([_edge(column[order], place) for place in places])
            edge_numbers.append([_edge(own[order], place) for place in places])
        self.edges = torch.tensor(edges, dtype=torch.float64)
        """(D, BINS - 1): the value at the end of each bin."""
        self._numbers = torch.tensor(edge_numbers, dtype=torch.float64)

    @classmethod
    def of(cls, model: LoadedModel) -> ColumnSeries | None:
        """None where the calibration keeps no rows that were drawn as the calibrating ones.

        So it is of images, of tables that were trained without neighbours, and where live traffic calibrates: the kept
        rows are then older than it.
        """
        calibration, note = model.calibration, model.manifest.calibration
        if not isinstance(calibration, CrossCalibration) or not len(calibration.kept):
            return None
        if note is not None and note.live:
            return None
        return cls(_names(model, calibration.kept.shape[1]), calibration.kept, model.flow.columns)

    def bins(self, items: Tensor, first: int) -> Tensor:
        """The bins (B, D) of rows without missing cells, numbered from ``first``."""
        values = self._values(items)
        own = noise.uniform(noise.keys(SEED + 1, len(values), first=first), (self._width,))
        beyond = values[:, :, None] > self.edges
        tied = (values[:, :, None] == self.edges) & (own[:, :, None] > self._numbers)
        return (beyond | tied).sum(dim=2)

    def _values(self, rows: Tensor) -> Tensor:
        """Rows (N, D), as float64, in which equal values are equal whatever rounding they went through."""
        rows = rows.cpu().float()
        if self._grid is not None:
            rows = self._grid.inverse(rows)[0]
        return rows[:, : self._width].double()


def counted(bins: Tensor) -> Tensor:
    """How many items (S, BINS) of bins (B, S) fell into each."""
    flat = (bins + torch.arange(bins.shape[1]) * BINS).flatten()
    return torch.bincount(flat, minlength=bins.shape[1] * BINS).view(bins.shape[1], BINS).double()


def _edge(ordered: Tensor, place: int) -> float:
    """The last of the first ``place`` values; below all where there are none, above all where all would not do."""
    if place == 0:
        return -torch.inf
    return float(ordered[place - 1]) if place <= len(ordered) else torch.inf


def _names(model: LoadedModel, width: int) -> Sequence[str]:
    table = model.manifest.table
    if table is not None:
        return [column.name for column in table.columns]
    return [f"entry {place}" for place in range(width)]
