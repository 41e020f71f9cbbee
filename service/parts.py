"""Rows between two ticks: parts of a batch that is copied only when its members have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from service.columns import Rows, padded, padded_length


@dataclass(frozen=True)
class Part:
    """The rows ``places`` of a batch in which others may have a part as well."""

    batch: Any
    members: int
    """How many rows the batch has, padding not counted."""
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def select(self, index: Tensor) -> Part:
        return Part(self.batch, self.members, [self.places[i] for i in index.tolist()])


def join(parts: Sequence[Part], multiple: int) -> Any:
    """One batch of the parts' rows, in order, padded to a multiple (see ``columns.padded``).

    Parts that make up one batch again give that batch, untouched: an inpainting of hundreds of steps moves no memory
    while nobody joins or leaves.
    """
    batches: list[Rows] = []
    for _, group in groupby(parts, key=lambda part: id(part.batch)):
        run = list(group)
        batch, places = run[0].batch, [place for part in run for place in part.places]
        whole = places == list(range(run[0].members))
        if whole and len(run) == len(parts) and len(batch) == padded_length(len(places), multiple):
            return batch
        batches.append(batch if whole and len(batch) == len(places) else batch.select(torch.tensor(places)))
    return padded(batches[0] if len(batches) == 1 else type(batches[0]).cat(batches), multiple)
