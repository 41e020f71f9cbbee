"""Rows between two ticks: parts of a batch that is copied only when its members have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from service.columns import Rows, padded, padded_length


@dataclass(slots=True)
class Batch:
    """Rows on their way through the device together; a tick puts others in their place."""

    rows: Any
    members: int
    """How many rows it has, padding not counted."""


@dataclass(slots=True)
class Part:
    """The rows ``places`` of a batch in which others may have a part as well."""

    batch: Batch
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def select(self, index: Tensor) -> Part:
        return Part(self.batch, [self.places[i] for i in index.tolist()])


def join(parts: Sequence[Part], multiple: int) -> Batch:
    """One batch of the parts' rows, in order, padded to a multiple (see ``columns.padded``).

    Parts that make up one batch again give that batch, untouched: an inpainting of hundreds of steps moves no memory
    while nobody joins or leaves.
    """
    found: list[Rows] = []
    members = sum(map(len, parts))
    for _, group in groupby(parts, key=lambda part: id(part.batch)):
        run = list(group)
        batch, places = run[0].batch, [place for part in run for place in part.places]
        whole = places == list(range(batch.members))
        if whole and len(run) == len(parts) and len(batch.rows) == padded_length(members, multiple):
            return batch
        as_it_is = whole and len(batch.rows) == len(places)
        found.append(batch.rows if as_it_is else batch.rows.select(torch.tensor(places)))
    return Batch(padded(found[0] if len(found) == 1 else type(found[0]).cat(found), multiple), members)
