"""Rows that are the same, or nearly so: they stay together when data are split, since one would tell of the other."""

from __future__ import annotations

import torch
from torch import Tensor

_NEARLY = 1e-3
"""Of a column's standard deviation: rows all of whose entries differ by less are nearly the same."""
_NEIGHBOURS = 4
"""Rows that follow in the order of a projection and are compared: others may lie between two of a group."""
_PROJECTIONS = 2
_COPIES = 8
"""Rows of a group that are always kept together."""
_LARGEST_SHARE = 10
"""Of what is held out, a group that is kept together may have a tenth. A larger one is a value that many rows have."""


def groups_of(items: Tensor, most: int | None = None) -> Tensor:
    """The group (N,) of each vector (N, D): those that are nearly the same share a number. NaN is like NaN only.

    In a group of more than ``most`` vectors, or a few, each has a number of its own: so many are no copies of one, but
    a value that is common, such as a machine at rest, and it must be on every side of a split.

    Vectors that are nearly the same have nearly the same projection on any direction, so only neighbours in the order
    of two random projections are compared.
    """
    columns = items.double()
    present = ~columns.isnan()
    count = present.sum(dim=0).clamp_min(1)
    mean = torch.where(present, columns, 0.0).sum(dim=0) / count
    centred = torch.where(present, columns - mean, 0.0)
    std = (centred.square().sum(dim=0) / count).sqrt()
    scaled = torch.where(present, centred / torch.where(std > 0, std, 1.0), _FAR)
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(_PROJECTIONS):
        order = (scaled @ torch.randn(scaled.shape[1], generator=generator, dtype=scaled.dtype)).argsort(stable=True)
        for step in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            left, right = order[:-step], order[step:]
            for column in scaled.T:  # most pairs differ in the first already
                close = (column[left] - column[right]).abs() < _NEARLY
                left, right = left[close], right[close]
            pairs.append(torch.stack([left, right]))
    if not pairs:
        return torch.zeros(len(items), dtype=torch.int64)
    groups = _connected(len(items), torch.cat(pairs, dim=1))
    common = torch.bincount(groups)[groups] > max(_COPIES, len(items) if most is None else most)
    alone = torch.where(common, len(items) + torch.arange(len(items)), groups)
    numbers: Tensor = torch.unique(alone, return_inverse=True)[1]
    return numbers


_FAR = 1e6
"""What stands for a missing entry: no other is near it."""


def _connected(count: int, pairs: Tensor) -> Tensor:
    """Numbers (count,) from 0, the same for all that pairs (2, P) connect."""
    lowest = torch.arange(count)
    while True:
        least = lowest[pairs].amin(dim=0)
        lower = lowest.scatter_reduce(0, pairs[0], least, "amin").scatter_reduce(0, pairs[1], least, "amin")
        lower = lower[lower]
        if torch.equal(lower, lowest):
            numbers: Tensor = torch.unique(lowest, return_inverse=True)[1]
            return numbers
        lowest = lower


def divided(items: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The indices of about ``count`` items to hold out, and of all others, both in a random order.

    Vectors that are nearly the same are on one side: where that is the last of those held out, the whole group is. A
    value that is common is on both. Without such vectors the order is that of ``torch.randperm``.
    """
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))
    if not items.is_floating_point() or count == 0 or len(items) == 0:
        return order[:count], order[count:]
    groups = groups_of(items, count // _LARGEST_SHARE)[order]
    if int(groups.max()) + 1 == len(groups):
        return order[:count], order[count:]
    first = torch.full((int(groups.max()) + 1,), len(groups)).scatter_reduce(
        0, groups, torch.arange(len(groups)), "amin"
    )
    together = first[groups].argsort(stable=True)
    order, groups = order[together], groups[together]
    stop = count
    while stop < len(order) and groups[stop] == groups[stop - 1]:
        stop += 1
    return order[:stop], order[stop:]


def repeated(items: Tensor) -> int:
    """How many vectors are nearly the same as an earlier one."""
    return len(items) - (int(groups_of(items).max()) + 1 if len(items) else 0)
