"""Rows of inpaintings between two ticks: shares of a batch that is copied only when its members change.

While nobody joins or leaves, a tick puts new rows into the batch and touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from service.device.columns import Rows, filled


@dataclass(slots=True)
class Batch:
    """Rows that travel through the device together. A tick replaces ``rows``; ``members`` counts them unfilled."""

    rows: Any
    members: int


@dataclass(slots=True)
class Share:
    """The rows at ``places`` of a batch in which other jobs may have shares as well."""

    batch: Batch
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def select(self, index: Tensor) -> Share:
        return Share(self.batch, [self.places[i] for i in index.tolist()])


def join(shares: Sequence[Share], fit: Callable[[int], int]) -> Batch:
    """One batch of the shares' rows, in order, filled up to the size that ``fit`` gives for their number.

    Shares that already make up one batch give that batch, untouched.
    """
    found: list[Rows] = []
    members = sum(map(len, shares))
    size = fit(members)
    for _, group in groupby(shares, key=lambda share: id(share.batch)):
        run = list(group)
        batch, places = run[0].batch, [place for share in run for place in share.places]
        whole = places == list(range(batch.members))
        if whole and len(run) == len(shares) and len(batch.rows) == size:
            return batch
        as_it_is = whole and len(batch.rows) == len(places)
        found.append(batch.rows if as_it_is else batch.rows.select(torch.tensor(places)))
    return Batch(filled(found[0] if len(found) == 1 else type(found[0]).cat(found), size), members)
